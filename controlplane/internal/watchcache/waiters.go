package watchcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// waiters are those who wait for the cache to reach a revision.
type waiters struct {
	mu      sync.Mutex
	list    []*waiter
	stopped error
}

type waiter struct {
	revision int64
	done     chan struct{}
	err      error // valid once done is closed
}

// add registers a waiter, unless the revision is reached: current is looked at after
// joining could no longer miss it.
func (ws *waiters) add(w *waiter, current func() int64) (waits bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case ws.stopped != nil:
		w.err = ws.stopped
	case current() < w.revision:
		ws.list = append(ws.list, w)
		return true
	}
	close(w.done)
	return false
}

// reach wakes those who wait for a revision up to this one.
func (ws *waiters) reach(revision int64) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.list = slices.DeleteFunc(ws.list, func(w *waiter) bool {
		if w.revision > revision {
			return false
		}
		close(w.done)
		return true
	})
}

// fail wakes all, and all who come later, with an error.
func (ws *waiters) fail(err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.stopped = err
	ws.failAll(err)
}

// drop wakes all with an error: what they wait for may never come.
func (ws *waiters) drop(err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.failAll(err)
}

func (ws *waiters) failAll(err error) {
	for _, w := range ws.list {
		w.err = err
		close(w.done)
	}
	ws.list = nil
}

func (ws *waiters) remove(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if i := slices.Index(ws.list, w); i >= 0 {
		ws.list = slices.Delete(ws.list, i, i+1)
	}
}

func (ws *waiters) any() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.list) > 0
}

// revision is the newest revision known.
func (c *Cache) revision() int64 {
	if s := c.snapshot.Load(); s != nil {
		return s.revision
	}
	return 0
}

// reached is the newest revision that snapshots show and subscribers can have.
func (c *Cache) reached() int64 { return min(c.revision(), c.ring.known()) }

// wait registers a waiter and asks the watch for progress.
func (c *Cache) wait(w *waiter) {
	if c.waiters.add(w, c.reached) {
		poke(c.ask)
	}
}

// WaitRevision waits until the cache shows a revision and subscribers can have its events,
// until ctx ends, or until the store was reset. It fails with ctx's error or a [StaleError].
func (c *Cache) WaitRevision(ctx context.Context, revision int64) error {
	w := &waiter{revision: revision, done: make(chan struct{})}
	c.wait(w)
	select {
	case <-w.done:
		if w.err != nil {
			return c.stale(w.err)
		}
		return nil
	case <-ctx.Done():
		c.waiters.remove(w)
		return c.gaveUp(ctx)
	}
}

// gaveUp is the error of a call whose context ended.
func (c *Cache) gaveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return c.stale(ctx.Err())
}

func (c *Cache) stale(cause error) error {
	return &StaleError{Revision: c.revision(), Staleness: c.Staleness(), Cause: cause}
}

var errWasReset = fmt.Errorf("%w: the store was reset", registry.ErrUnavailable)

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
