package watchcache

import (
	"context"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// maxBatch is the number of events above which a subscriber gets them in several batches.
const maxBatch = 1000

// Subscription reads the events below a prefix in revision order. It holds no resources,
// so there is nothing to close; it is for one goroutine at a time.
type Subscription struct {
	cache      *Cache
	ctx        context.Context //nolint:containedctx // the subscription ends with it, as documented
	prefix     string
	generation int64
	after      int64
}

// SubscribeFrom begins to read the events below prefix that follow a view. The subscription
// ends with ctx.
func (c *Cache) SubscribeFrom(ctx context.Context, prefix string, view View) *Subscription {
	s := &Subscription{cache: c, ctx: ctx, prefix: prefix, after: view.Revision()}
	if view.snapshot != nil {
		s.generation = view.snapshot.generation
	}
	return s
}

// Subscribe begins to read the events below prefix after a revision that the caller knows
// to be one of the store as it is now, such as one that it stored. Whoever has a [View]
// uses [Cache.SubscribeFrom], which notices that the store was reset in between. The
// subscription ends with ctx.
func (c *Cache) Subscribe(ctx context.Context, prefix string, after int64) *Subscription {
	return &Subscription{
		cache: c, ctx: ctx, prefix: prefix,
		generation: c.ring.currentGeneration(), after: after,
	}
}

// Next waits for events and returns them: all of one revision or of several, never part of
// one. What is there already is returned even when a context has ended. It fails with the
// error of ctx or of the subscription's own context, and with a [LaggedError] when events
// are lost; the subscription is then of no more use.
func (s *Subscription) Next(ctx context.Context) (registry.Batch, error) {
	for {
		batch, changed, err := s.read()
		if err != nil || len(batch.Events) > 0 {
			return batch, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return registry.Batch{}, ctx.Err()
		case <-s.ctx.Done():
			return registry.Batch{}, s.ctx.Err()
		}
	}
}

// Wait returns a channel that is closed when [Subscription.Next] may have something to
// return, for use in a select. It may be closed for events of another prefix.
func (s *Subscription) Wait() <-chan struct{} {
	s.cache.ring.mu.Lock()
	defer s.cache.ring.mu.Unlock()
	r := s.cache.ring
	if s.generation < r.generation || s.generation == r.generation && s.after < r.newest {
		done := make(chan struct{})
		close(done)
		return done
	}
	return r.changed
}

// Revision is the revision up to which the subscription has returned everything.
func (s *Subscription) Revision() int64 { return s.after }

func (s *Subscription) read() (registry.Batch, <-chan struct{}, error) {
	batch, changed, err := s.cache.ring.read(s.generation, s.after, s.prefix, maxBatch)
	if err == nil {
		s.after = batch.Revision
	}
	return batch, changed, err
}
