package server

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// readiness says whether the server can do its work: etcd answers and the caches are
// current. A development server is ready once its data centers are there, too.
func (s *Server) readiness(svc *services) *lifecycle.Ready {
	ready := lifecycle.NewReady(0, s.rooms.machine, s.rooms.log)
	ready.Add("etcd", answers(s.rooms.registry))
	if s.rooms.edge != s.rooms.registry {
		ready.Add("edge etcd", answers(s.rooms.edge))
	}
	ready.Add("registry cache", current(s.rooms.state))
	ready.Add("control cache", current(s.rooms.control))
	if s.cfg.Dev {
		ready.Add("simulated fleet", reported(svc.fleet, svc.codes()))
	}
	return ready
}

// reported says whether every data center has reported since the start. Once it has, it may
// be killed: that is what a development server is for.
func reported(f *fleet.Fleet, codes []string) lifecycle.Check {
	var once atomic.Bool
	return func(context.Context) error {
		if once.Load() {
			return nil
		}
		there := map[string]bool{}
		for _, s := range f.Snapshot() {
			there[s.DataCenter] = there[s.DataCenter] || s.Connected
		}
		for _, code := range codes {
			if !there[code] {
				return lifecycle.NotReady("data center %s has not reported yet", code)
			}
		}
		once.Store(true)
		return nil
	}
}

func answers(store registry.Store) lifecycle.Check {
	return func(ctx context.Context) error {
		if _, err := store.Revision(ctx); err != nil {
			return fmt.Errorf("%w: %w", lifecycle.NotReady("the store does not answer"), err)
		}
		return nil
	}
}

func current(cache *watchcache.Cache) lifecycle.Check {
	return func(context.Context) error {
		if !cache.Ready() {
			return lifecycle.NotReady("the cache is not current")
		}
		return nil
	}
}

// awaitCaches waits until both caches show the present.
func (r *rooms) awaitCaches(ctx context.Context) error {
	for name, cache := range map[string]*watchcache.Cache{"registry": r.state, "control": r.control} {
		for {
			_, err := cache.Read(ctx)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%s cache: %w", name, err)
			}
		}
	}
	return nil
}
