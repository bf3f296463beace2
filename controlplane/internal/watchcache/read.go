package watchcache

import (
	"context"
	"errors"
	"sync"
)

// barriers shares revision reads of the store between readers. At most one is under way;
// everyone who comes meanwhile joins the next one, which therefore begins after they
// called.
type barriers struct {
	wake chan struct{}

	mu      sync.Mutex
	next    *waiter
	stopped bool
}

// join returns the barrier that begins next.
func (b *barriers) join() *waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &waiter{done: make(chan struct{})}
		poke(b.wake)
	}
	if b.stopped {
		b.failNext()
	}
	return b.next
}

// stop fails the next barrier, which from now on is the same for all.
func (b *barriers) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.next != nil {
		b.failNext()
	}
}

func (b *barriers) failNext() {
	if b.next.err == nil {
		b.next.err = errStopped
		close(b.next.done)
	}
}

// take returns the barrier to begin now: nobody joins it from here on.
func (b *barriers) take() *waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.next
	b.next = nil
	return w
}

var (
	errReadLimit = errors.New("the read limit passed")
	errStopped   = errors.New("the cache stopped")
)

// Read returns a view that includes every write acknowledged before the call. It fails with
// ctx's error when the caller gave up, and with a [StaleError] when the store can't be
// reached or the cache does not catch up within Config.ReadLimit.
func (c *Cache) Read(ctx context.Context) (View, error) {
	barrier := c.barriers.join()
	limit := c.cfg.Clock.NewTimer(c.cfg.ReadLimit)
	defer limit.Stop()
	select {
	case <-barrier.done:
		if barrier.err != nil {
			return View{}, c.stale(barrier.err)
		}
		return c.Cached(), nil
	case <-limit.Chan():
		return View{}, c.stale(errReadLimit)
	case <-ctx.Done():
		return View{}, c.gaveUp(ctx)
	}
}

// runBarriers serves barriers until ctx ends.
func (c *Cache) runBarriers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.barriers.stop()
			return
		case <-c.barriers.wake:
		}
		if w := c.barriers.take(); w != nil {
			c.pass(ctx, w)
		}
	}
}

// pass reads the store's revision and hands the barrier over to the waiters.
func (c *Cache) pass(ctx context.Context, w *waiter) {
	known := c.revision()
	bounded, cancel := context.WithTimeout(ctx, c.cfg.ReadLimit)
	defer cancel()
	revision, err := c.store.Revision(bounded)
	if err == nil && revision < known {
		// The watch would find out as well, but only after its next heartbeat.
		poke(c.suspect)
		err = errWasReset
	}
	if ctx.Err() != nil {
		err = errStopped // not the reader's own context, so not its error either
	}
	if err != nil {
		w.err = err
		close(w.done)
		return
	}
	w.revision = revision
	c.wait(w)
}
