package server

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/leader"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/prune"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
)

// engine carries changes to the edge. Every replica has one and campaigns; only the leader
// does anything.
type engine struct {
	rooms     *rooms
	services  *services
	elector   *leader.Elector
	driver    *rollout.Driver
	publisher *publish.Publisher
	pruner    *prune.Pruner
}

func newEngine(ctx context.Context, r *rooms, s *services) (*engine, error) {
	e := &engine{rooms: r, services: s}
	var err error
	if e.elector, err = r.newElector(ctx, r.edge, ledger.LeaderKey); err != nil {
		return nil, err
	}
	e.driver, err = rollout.New(rollout.Config{
		Edge: r.edge, Control: r.control, Observer: newObserver(s.fleet, r.machine, r.day), Trust: s.trust,
		DataCenters: s.codes(), Defaults: s.policies, Clock: r.day, Logger: r.log,
		OnIncident: func(rollout.Incident) { s.tracker.Notify() },
	})
	if err != nil {
		return nil, err
	}
	sealing := publish.Config{
		Registry: r.registry, RegistryCache: r.state, Edge: r.edge, ControlCache: r.control, Gate: e.driver,
		Fleet: numbers{s.fleet, s.codes(), r.machine}, Signer: r.keys.signer, Trust: s.trust, Clock: r.day, Logger: r.log,
	}
	pruning := prune.Config{Edge: r.edge, Control: r.control, Trust: s.trust, Clock: r.machine, Logger: r.log}
	if r.cfg.PruneFast {
		sealing.BaseEvery = 1
		pruning.Every, pruning.SweepEvery, pruning.Pace = 50*time.Millisecond, time.Millisecond, time.Millisecond
	}
	if e.publisher, err = publish.New(sealing); err != nil {
		return nil, err
	}
	e.pruner, err = prune.New(pruning)
	return e, err
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
	group.Go("incidents", func(ctx context.Context) error { return e.services.tracker.Run(ctx, term.Fence()) })
	group.Go("publisher", func(ctx context.Context) error { return e.publisher.Run(ctx, term) })
	group.Go("sealed releases", e.wakeRollout)
	group.Go("pruner", func(ctx context.Context) error { return e.pruner.Run(ctx, term) })
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

// aloneTTL is how long a leader may fail to renew its lease where nobody else could lead:
// longer than a busy machine stalls.
const aloneTTL = 15 * time.Second

// newElector returns a candidate for the leadership that a key of a store stands for.
func (r *rooms) newElector(ctx context.Context, store registry.Store, key string) (*leader.Elector, error) {
	cfg := leader.Config{Clock: r.machine, Logger: r.log}
	if !r.cfg.Etcd.External() && !r.cfg.EdgeEtcd.External() {
		// This process alone reaches its embedded etcd, so whoever led there is dead.
		cfg.TTL = aloneTTL
		if _, err := store.Commit(ctx, registry.Txn{Then: []registry.Op{registry.Delete(key)}}); err != nil {
			return nil, fmt.Errorf("leader's key: %w", err)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return leader.New(store, key, host+"/"+newID(r.machine.Now()), cfg), nil
}
