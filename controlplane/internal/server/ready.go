package server

import (
	"context"
	"fmt"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// readiness says whether the server can do its work: etcd answers and the caches are
// current.
func (s *Server) readiness() *lifecycle.Ready {
	ready := lifecycle.NewReady(0, s.rooms.machine, s.rooms.log)
	ready.Add("etcd", answers(s.rooms.registry))
	if s.rooms.edge != s.rooms.registry {
		ready.Add("edge etcd", answers(s.rooms.edge))
	}
	ready.Add("registry cache", current(s.rooms.state))
	ready.Add("control cache", current(s.rooms.control))
	return ready
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
