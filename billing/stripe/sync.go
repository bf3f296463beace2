package stripe

import (
	"context"
	"fmt"
	"io"

	"github.com/breakwater-cdn/breakwater/billing"
)

// Sync makes Stripe's catalogue what the plans say: a product and one active monthly price
// for each plan that costs something, the portal's configuration, and, where the
// configuration names its address, the webhook endpoint. It looks and changes what differs,
// so it may be repeated, and finds nothing to do the second time; a sync that was cut short
// is completed by the next. A price can't be changed: a new one takes the lookup key over,
// the old one is archived, and who pays it goes on paying it. What a plan that is not sold
// any more left is archived too.
//
// With dryRun nothing is changed, and the Diff is what would be. After an error the Diff has
// what was done until then.
func (p *Provider) Sync(ctx context.Context, plans *billing.Plans, dryRun bool) (Diff, error) {
	s := &syncRun{Provider: p, plans: plans, dryRun: dryRun}
	for _, step := range []func(context.Context) error{s.syncPlans, s.syncOldPlans, s.syncPortal, s.syncWebhook} {
		if err := step(ctx); err != nil {
			return s.diff, fmt.Errorf("stripe: sync: %w", err)
		}
	}
	p.forget()
	return s.diff, nil
}

// PrintSync is Sync for a command: it prints what changed, also up to an error. The Diff is
// for the webhook's secret.
func (p *Provider) PrintSync(ctx context.Context, plans *billing.Plans, dryRun bool, w io.Writer) (Diff, error) {
	diff, err := p.Sync(ctx, plans, dryRun)
	if _, printed := diff.WriteTo(w); err == nil {
		err = printed
	}
	return diff, err
}

// syncRun is one run of Sync.
type syncRun struct {
	*Provider
	plans  *billing.Plans
	dryRun bool
	diff   Diff
}

// apply notes a change and, but in a dry run, makes it.
func (s *syncRun) apply(c Change, do func() error) error {
	if !s.dryRun {
		if err := do(); err != nil {
			return err
		}
	}
	s.diff.Changes = append(s.diff.Changes, c)
	return nil
}
