package payments

import (
	"context"
	"errors"
	"time"

	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
)

// Settler does what is left to be done for an account. A [billing.Engine] is one.
type Settler interface {
	Settle(ctx context.Context, account string) (again time.Time, err error)
}

// Handler settles accounts for the outbox, which repeats it with back-off when it fails.
// Metrics may be nil.
func Handler(engine Settler, metrics *Metrics) outbox.Handler {
	return func(ctx context.Context, item outbox.Item) error {
		again, err := engine.Settle(ctx, item.Subject)
		var hopeless *billing.HopelessError
		switch {
		case errors.As(err, &hopeless):
			metrics.settleFailed(true)
			return outbox.Dead(err)
		case err != nil:
			metrics.settleFailed(false)
			return err
		case !again.IsZero():
			return outbox.After(again)
		}
		return nil
	}
}
