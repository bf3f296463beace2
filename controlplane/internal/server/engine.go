package server

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/activation"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/leader"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
)

// sweepEvery is how often deleted accounts are looked through for those to purge.
const sweepEvery = time.Minute

// engine is what the leader does and nobody else. Every replica has one and campaigns.
type engine struct {
	rooms      *rooms
	services   *services
	elector    *leader.Elector
	driver     *rollout.Driver
	publisher  *publish.Publisher
	activation *activation.Worker
}

func newEngine(r *rooms, s *services) (*engine, error) {
	e := &engine{rooms: r, services: s}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	e.elector = leader.New(r.edge, ledger.LeaderKey, host+"/"+newID(r.machine.Now()), leader.Config{Clock: r.machine, Logger: r.log})
	e.driver, err = rollout.New(rollout.Config{
		Edge: r.edge, Control: r.control, Observer: observer{s.fleet, r.machine, r.day}, Trust: s.trust,
		DataCenters: s.codes(), Defaults: s.policies, Clock: r.day, Logger: r.log,
	})
	if err != nil {
		return nil, err
	}
	e.publisher, err = publish.New(publish.Config{
		Registry: r.registry, RegistryCache: r.state, Edge: r.edge, ControlCache: r.control, Gate: e.driver,
		Signer: r.keys.signer, Trust: s.trust, Clock: r.day, Logger: r.log,
	})
	if err != nil {
		return nil, err
	}
	e.activation = activation.New(activation.Config{
		Writer: r.writer, Feed: r.state, History: r.registry, Prover: s.checker, Plans: r.plans,
		Clock: r.day, Logger: r.log, NewID: newID, Rand: rand.Float64, Schedule: s.schedule, Times: s.times,
	})
	return e, nil
}

// run campaigns until ctx ends, and leads whenever it is elected.
func (e *engine) run(ctx context.Context) error { return e.elector.Run(ctx, e.lead) }

// lead runs everything that only the leader does, until the term ends.
func (e *engine) lead(ctx context.Context, term leader.Term) error {
	records, err := fleet.Load(ctx, e.rooms.edge)
	if err != nil {
		return err
	}
	e.services.fleet.Reset(records)
	group := lifecycle.NewGroup(ctx)
	group.Go("reports", func(ctx context.Context) error {
		e.services.reports.Lead(ctx)
		return nil
	})
	group.Go("fleet summaries", func(ctx context.Context) error {
		return e.services.fleet.Write(ctx, e.rooms.edge, term.Fence())
	})
	group.Go("rollout", func(ctx context.Context) error { return e.driver.Run(ctx, term) })
	group.Go("publisher", func(ctx context.Context) error { return e.publisher.Run(ctx, term) })
	group.Go("sealed releases", e.wakeRollout)
	group.Go("activation", e.activation.Run)
	group.Go("account purges", e.sweepAccounts)
	return group.Wait()
}

// wakeRollout tells the rollout at once of what the publisher sealed.
func (e *engine) wakeRollout(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.publisher.Sealed():
			e.driver.Notify()
		}
	}
}

// sweepAccounts purges accounts whose time has come.
func (e *engine) sweepAccounts(ctx context.Context) error {
	tick := e.rooms.machine.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		}
	}
}

// runDue does all work that is due by the time of day, and returns when it is done. It is
// for a development server, whose one replica leads.
func (e *engine) runDue(ctx context.Context) error {
	if err := e.activation.RunDue(ctx); err != nil {
		return err
	}
	e.driver.Notify()
	return nil
}
