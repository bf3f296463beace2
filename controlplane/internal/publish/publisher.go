package publish

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Publisher seals the releases of every channel. Its methods may be called concurrently;
// Run must not run twice at a time.
type Publisher struct {
	cfg    Config
	sealed chan struct{}

	mu     sync.Mutex
	status map[wire.Channel]ChannelStatus
}

// New returns a publisher.
func New(cfg Config) (*Publisher, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Publisher{
		cfg:    cfg,
		sealed: make(chan struct{}, 1),
		status: map[wire.Channel]ChannelStatus{},
	}, nil
}

// Sealed receives a value soon after a release was sealed; several may share one. It is for
// one receiver, which finds the releases in the store.
func (p *Publisher) Sealed() <-chan struct{} { return p.sealed }

// The pause after a failure; it doubles up to the longest.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = 2 * time.Second
)

// Run publishes under a term until ctx ends, and then returns nil, or until the term does,
// which is ledger.ErrDeposed. Everything it knows it reads anew, so it may run again under
// another term.
func (p *Publisher) Run(ctx context.Context, term Term) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer p.clearStatus()
	var wg sync.WaitGroup
	var workers []*worker
	for _, c := range wire.Channels() {
		w := newWorker(p, c, term)
		workers = append(workers, w)
		wg.Go(func() {
			if err := w.run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Go(func() { p.listen(ctx, workers) })
	wg.Wait()
	if err := context.Cause(ctx); errors.Is(err, ledger.ErrDeposed) {
		return err
	}
	return nil
}

// listen wakes the workers when the gate may answer otherwise.
func (p *Publisher) listen(ctx context.Context, workers []*worker) {
	changed := p.cfg.Gate.Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		// The next channel is taken before anyone looks, so that no change falls between.
		changed = p.cfg.Gate.Changed()
		for _, w := range workers {
			poke(w.wake)
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run steps until ctx ends.
func (w *worker) run(ctx context.Context) error {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		wait, err := w.step(ctx)
		switch {
		case ctx.Err() != nil:
			// Whatever failed, it failed because it was told to end.
		case errors.Is(err, ledger.ErrDeposed):
			w.log.Info("another leader was elected, publishing ends", "error", err)
			return err
		case err != nil:
			pause = min(max(2*pause, shortestPause), longestPause)
			wait = pause
			w.log.Warn("publishing failed and is tried again", "error", err, "pause", pause)
		default:
			pause = 0
		}
		if err == nil && wait == 0 {
			continue // There is more to do.
		}
		w.idle(ctx, wait, err != nil)
	}
	return nil
}

// idle waits until a step is worth it. After a failure only time makes it so.
func (w *worker) idle(ctx context.Context, wait time.Duration, failed bool) {
	var timeout <-chan time.Time
	if wait > 0 {
		timer := w.cfg.Clock.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.Chan()
	}
	if failed || w.registry == nil || w.control == nil {
		select {
		case <-timeout:
		case <-ctx.Done():
		}
		return
	}
	select {
	case <-w.wake:
	case <-w.registry.Wait():
	case <-w.control.Wait():
	case <-timeout:
	case <-ctx.Done():
	}
}
