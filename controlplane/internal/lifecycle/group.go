package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Group runs named loops that end together: the first that fails stops the others.
type Group struct {
	// ctx is the lifetime of the loops, which the group owns.
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu  sync.Mutex
	err error
}

// NewGroup returns a group whose loops get a context below ctx.
func NewGroup(ctx context.Context) *Group {
	ctx, cancel := context.WithCancel(ctx)
	return &Group{ctx: ctx, cancel: cancel}
}

// Go runs a loop until it returns. An error stops the group, unless the group was stopping
// already and the error is only that its context ended. Nil is the end of this loop alone.
func (g *Group) Go(name string, loop func(context.Context) error) {
	g.loops.Go(func() {
		err := loop(g.ctx)
		if err == nil || (g.ctx.Err() != nil && errors.Is(err, g.ctx.Err())) {
			return
		}
		g.mu.Lock()
		g.err = errors.Join(g.err, fmt.Errorf("%s: %w", name, err))
		g.mu.Unlock()
		g.cancel()
	})
}

// Done is closed when the group stops, by Stop, by its parent, or by a loop's error.
func (g *Group) Done() <-chan struct{} { return g.ctx.Done() }

// Stop asks all loops to end and does not wait.
func (g *Group) Stop() { g.cancel() }

// Wait waits until all loops ended and returns the errors of those that failed. No Go may
// begin once Wait was called on a group without loops.
func (g *Group) Wait() error {
	g.loops.Wait()
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Close is Stop and Wait.
func (g *Group) Close() error {
	g.Stop()
	return g.Wait()
}
