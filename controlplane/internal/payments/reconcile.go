package payments

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/billing"
)

// Comparer compares an account with the provider. A [billing.Engine] is one.
type Comparer interface {
	Reconcile(ctx context.Context, account string, repair bool) ([]billing.Difference, error)
}

// ReconcilerConfig is what a Reconciler needs. Fields without a default are required.
type ReconcilerConfig struct {
	Payments *Payments
	Engine   Comparer
	// Ticker is the machine's clock: the provider's limits are not the clock's that a
	// development server moves.
	Ticker  clockwork.Clock
	Logger  *slog.Logger
	Metrics *Metrics
	// Every is the time between two rounds; an hour if zero.
	Every time.Duration
	// Pace is the time between two accounts of a round, which keeps room for customers below
	// the provider's rate limit; 200 ms if zero.
	Pace time.Duration
}

// Reconciler compares all accounts that pay with what the provider has, and has repaired
// what differs.
type Reconciler struct{ cfg ReconcilerConfig }

// NewReconciler makes a Reconciler.
func NewReconciler(cfg ReconcilerConfig) *Reconciler {
	if cfg.Every <= 0 {
		cfg.Every = time.Hour
	}
	if cfg.Pace <= 0 {
		cfg.Pace = 200 * time.Millisecond
	}
	return &Reconciler{cfg: cfg}
}

// page is how many accounts are listed at a time.
const page = 200

// firstRound is when a new leader compares for the first time, so that it happens also where
// leaders do not last for an hour.
const firstRound = 5 * time.Minute

// Run compares all accounts, round after round, until ctx ends. Only the leader runs it.
func (r *Reconciler) Run(ctx context.Context) error {
	wait := min(r.cfg.Every, firstRound)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.cfg.Ticker.After(wait):
		}
		r.round(ctx)
		wait = r.cfg.Every
	}
}

// round compares every account once. What fails is logged and left to the next round.
func (r *Reconciler) round(ctx context.Context) {
	after := ""
	for ctx.Err() == nil {
		accounts, err := r.cfg.Payments.Accounts(ctx, after, page)
		if err != nil {
			r.cfg.Logger.WarnContext(ctx, "accounts could not be compared with the payment provider", "error", err)
			return
		}
		for _, account := range accounts {
			select {
			case <-ctx.Done():
				return
			case <-r.cfg.Ticker.After(r.cfg.Pace):
			}
			if _, err := r.Account(ctx, account, true); err != nil && ctx.Err() == nil {
				r.cfg.Logger.WarnContext(ctx, "an account could not be compared with the payment provider", "account", account, "error", err)
			}
			after = account
		}
		if len(accounts) < page {
			return
		}
	}
}

// accountLimit bounds the comparison of one account.
const accountLimit = time.Minute

// Account compares one account with the provider.
func (r *Reconciler) Account(ctx context.Context, account string, repair bool) ([]billing.Difference, error) {
	ctx, cancel := context.WithTimeout(ctx, accountLimit)
	defer cancel()
	found, err := r.cfg.Engine.Reconcile(ctx, account, repair)
	if err != nil {
		r.cfg.Metrics.compared(false)
		return nil, err
	}
	r.cfg.Metrics.compared(true)
	for _, d := range found {
		r.cfg.Metrics.differed(d)
		r.cfg.Logger.WarnContext(ctx, "the payment provider had something else than it should",
			"account", account, "kind", d.Kind, "ours", d.Ours, "theirs", d.Theirs, "repaired", d.Repaired)
	}
	return found, nil
}

// Finding is a difference of one account.
type Finding struct {
	Account string
	billing.Difference
}

// Limit bounds one [Reconciler.Some]; every bound must be positive.
type Limit struct {
	// Accounts is how many are compared at most.
	Accounts int
	// Findings is after how many nothing more is compared, but for the account at hand.
	Findings int
	// Time is after how long nothing more is compared, but for the account at hand.
	Time time.Duration
}

// Round is what a part of a comparison of all accounts found.
type Round struct {
	Findings []Finding
	// Accounts is how many were compared, and Last the last one.
	Accounts int
	Last     string
	// More says that there are accounts after the last one.
	More bool
}

// Some compares accounts after one of them, in order and within limits. Where one can't be
// compared it ends before that one, with an error where that is the first.
func (r *Reconciler) Some(ctx context.Context, after string, limit Limit, repair bool) (Round, error) {
	began := r.cfg.Ticker.Now()
	out := Round{Last: after}
	for {
		accounts, err := r.cfg.Payments.Accounts(ctx, out.Last, min(page, limit.Accounts-out.Accounts+1))
		if err != nil {
			return Round{}, err
		}
		for _, account := range accounts {
			out.More = true
			if out.Accounts >= limit.Accounts || len(out.Findings) >= limit.Findings || r.cfg.Ticker.Since(began) >= limit.Time {
				return out, nil
			}
			differences, err := r.Account(ctx, account, repair)
			if err != nil {
				// What was compared is worth knowing; whoever asks goes on from there.
				if out.Accounts > 0 && ctx.Err() == nil {
					return out, nil
				}
				return Round{}, fmt.Errorf("account %s: %w", account, err)
			}
			for _, d := range differences {
				out.Findings = append(out.Findings, Finding{Account: account, Difference: d})
			}
			out.Accounts, out.Last, out.More = out.Accounts+1, account, false
		}
		if len(accounts) == 0 {
			return out, nil
		}
	}
}
