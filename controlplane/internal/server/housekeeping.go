package server

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/activation"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/audit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/leader"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/mail"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ownerlog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/retention"
)

const (
	// sweepEvery is how often deleted accounts and old audit events are looked for.
	sweepEvery = time.Minute
	// auditRetention is how long audit events are kept.
	auditRetention = 400 * 24 * time.Hour
)

// housekeeping does what time asks for of the registry: proofs of sites and their expiry,
// what changes asked for outside (payments, letters), the audit chain, and the purge of what
// was deleted. It has a leader of its own, since the registry may be another cluster than the
// one that the engine is fenced in.
type housekeeping struct {
	rooms      *rooms
	elector    *leader.Elector
	activation *activation.Worker
	sealer     *audit.Sealer
	outbox     *outbox.Worker
	reconciler *payments.Reconciler
	purger     *retention.Purger
	owners     *ownerlog.Log
}

func newHousekeeping(ctx context.Context, r *rooms, s *services) (*housekeeping, error) {
	h := &housekeeping{rooms: r}
	var err error
	if h.elector, err = r.newElector(ctx, r.registry, resource.HousekeeperKey); err != nil {
		return nil, err
	}
	h.activation = activation.New(activation.Config{
		Writer: r.writer, Feed: r.state, History: r.registry, Prover: s.checker, Plans: r.plans,
		Clock: r.day, Logger: r.log, NewID: newID, Rand: rand.Float64, Schedule: s.schedule, Times: s.times,
		Billing: s.paying.lifecycle,
	})
	h.reconciler = s.paying.reconciler
	h.outbox = outbox.New(outbox.Config{
		Store: r.registry, Feed: r.state, Fence: h.fence, Clock: r.day, Logger: r.log, Rand: rand.Float64,
		Handlers: map[string]outbox.Handler{
			payments.Kind: payments.Handler(s.paying.engine, s.paying.metrics),
			mail.Kind:     mail.Handler(s.paying.letters),
		},
	})
	h.sealer = audit.NewSealer(audit.SealerConfig{
		Store: r.registry, View: func() audit.View { return r.state.Cached() }, Clock: r.day, Logger: r.log,
		Retention: auditRetention,
	})
	h.owners = ownerlog.New(ownerlog.Config{
		Writer: r.writer, Registry: func() ownerlog.View { return r.state.Cached() },
		Control:     func() ownerlog.View { return r.control.Cached() },
		ReadControl: func(ctx context.Context) (ownerlog.View, error) { return r.control.Read(ctx) },
		Owners:      r.ownersOf, Clock: r.machine, Logger: r.log,
	})
	h.purger = retention.New(retention.Config{
		Store: r.registry, View: func() retention.View { return r.state.Cached() }, Logger: r.log,
		NameServersRetired: s.times.Retired,
	})
	return h, nil
}

// fence proves that this replica leads, where it does.
func (h *housekeeping) fence() (registry.Compare, bool) {
	term, ok := h.elector.Leading()
	return term.Fence(), ok
}

// run campaigns until ctx ends, and keeps house whenever it is elected.
func (h *housekeeping) run(ctx context.Context) error { return h.elector.Run(ctx, h.lead) }

func (h *housekeeping) lead(ctx context.Context, term leader.Term) error {
	group := lifecycle.NewGroup(ctx)
	group.Go("activation", h.activation.Run)
	group.Go("owners' logs", h.owners.Run)
	group.Go("outbox", h.outbox.Run)
	group.Go("reconciliation", h.reconciler.Run)
	group.Go("audit", func(ctx context.Context) error { return h.sealer.Run(ctx, term.Fence()) })
	group.Go("sweep", func(ctx context.Context) error { return h.sweep(ctx, term.Fence()) })
	return group.Wait()
}

// sweep purges what is due, until ctx ends. What fails is tried again at the next turn.
func (h *housekeeping) sweep(ctx context.Context, fence registry.Compare) error {
	tick := h.rooms.machine.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		}
		if err := h.purge(ctx, fence); err != nil && ctx.Err() == nil {
			h.rooms.log.WarnContext(ctx, "what is due could not be purged", "error", err)
		}
	}
}

func (h *housekeeping) purge(ctx context.Context, fence registry.Compare) error {
	if _, err := h.purger.PurgeDue(ctx, fence, h.rooms.day.Now()); err != nil {
		return err
	}
	return h.sealer.Retain(ctx, fence)
}

// runDue does all work that is due by the time of day, and returns when it is done. It is
// for a development server, whose one replica leads.
func (h *housekeeping) runDue(ctx context.Context) error {
	if err := h.activation.RunDue(ctx); err != nil {
		return err
	}
	if err := h.outbox.RunDue(ctx); err != nil {
		return err
	}
	if term, ok := h.elector.Leading(); ok {
		return h.purge(ctx, term.Fence())
	}
	return nil
}
