package rollout

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Pauses of the driver.
const (
	// shortestPause and longestPause bound the back-off after a failure.
	shortestPause = 20 * time.Millisecond
	longestPause  = time.Second
	// longestSleep bounds the wait for a deadline: the clock's time of day may be moved.
	longestSleep = time.Second
)

// Driver makes the machine's steps true. Its methods may be called from anywhere; Run only
// once at a time.
type Driver struct {
	cfg  Config
	wake chan struct{}

	mu sync.Mutex
	// leading says that Run has loaded the state.
	leading bool
	state   State
	// policies are those of the last step.
	policies map[wire.Channel]Policy
	answers  answers
	changed  chan struct{}
	empty    map[wire.Channel]int64
}

// New checks the configuration and returns a driver that does nothing until [Driver.Run].
func New(cfg Config) (*Driver, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Driver{
		cfg: cfg, wake: make(chan struct{}, 1), changed: make(chan struct{}),
		empty: map[wire.Channel]int64{},
	}, nil
}

// Notify asks for a step soon. It never blocks.
func (d *Driver) Notify() { poke(d.wake) }

// Run rolls out until ctx ends, and then returns nil, or until another leader was elected,
// and then returns [ledger.ErrDeposed]. Every other failure is logged and tried again from
// what the store says.
func (d *Driver) Run(ctx context.Context, term Term) error {
	defer d.resign()
	pause := time.Duration(0)
	for ctx.Err() == nil {
		began := d.cfg.Clock.Now()
		err := d.lead(ctx, term)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ledger.ErrDeposed):
			d.cfg.Logger.InfoContext(ctx, "another leader was elected, the rollout ends", "error", err)
			return err
		}
		if d.cfg.Clock.Since(began) > longestPause {
			pause = 0
		}
		pause = min(max(2*pause, shortestPause), longestPause)
		d.cfg.Logger.WarnContext(ctx, "rollout failed and is tried again", "error", err, "pause", pause)
		timer := d.cfg.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.Chan():
		}
		timer.Stop()
	}
	return nil
}

// lead loads the state and steps until something fails.
func (d *Driver) lead(ctx context.Context, term Term) error {
	r, err := d.load(ctx, term)
	if err != nil {
		return err
	}
	control := d.cfg.Control.SubscribeFrom(ctx, ledger.ControlPrefix, r.view)
	for {
		err := r.step(ctx)
		if r.outpaced(err) {
			// Something was sealed at the same moment. Nothing of the step was stored, so
			// the state stands; only the view has to be newer.
			if r.view, err = d.cfg.Control.Read(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if err := d.idle(ctx, control, r.state.Wake); err != nil {
			return err
		}
		if err := r.refresh(ctx); err != nil {
			return err
		}
	}
}

// idle waits until a step is worth it.
func (d *Driver) idle(ctx context.Context, control *watchcache.Subscription, deadline time.Time) error {
	var due <-chan time.Time
	if !deadline.IsZero() {
		timer := d.cfg.Clock.NewTimer(min(max(deadline.Sub(d.cfg.Clock.Now()), 0), longestSleep))
		defer timer.Stop()
		due = timer.Chan()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.wake:
	case <-d.cfg.Observer.Changed():
	case <-due:
	case <-control.Wait():
		// Only that something changed matters; the view has it. Next must not wait, for the
		// change may be outside of its prefix.
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := control.Next(gone); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return ctx.Err()
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
