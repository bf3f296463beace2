package memory

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var _ registry.ProgressRequester = (*watch)(nil)

// maxReplay bounds the events of one batch while a watch replays history.
const maxReplay = 256

// watch queues what its consumer has not taken yet. The store fills the queue, the watch's
// goroutine empties it.
type watch struct {
	store  *Store
	prefix string
	out    chan registry.Batch
	wake   chan struct{}
	done   chan struct{}

	// mu guards what follows. Where both are held, the store's lock comes first.
	mu       sync.Mutex
	queue    []registry.Batch
	buffered int
	err      error
	ended    bool
}

// Watch implements [registry.Store].
func (s *Store) Watch(ctx context.Context, prefix string, after int64) registry.Watch {
	w := &watch{
		store:  s,
		prefix: prefix,
		out:    make(chan registry.Batch),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	if err := s.enter(ctx); err != nil {
		w.err = err
		close(w.out)
		return w
	}
	defer s.mu.Unlock()
	switch {
	case after < s.compacted:
		w.err = &registry.CompactedError{Oldest: s.compacted}
	case after > s.rev:
		w.err = s.behind(after)
	}
	if w.err != nil {
		close(w.out)
		return w
	}
	w.replay(s.log, after)
	w.progress(s.rev)
	s.watches[w] = struct{}{}
	s.wg.Add(1)
	go w.pump(ctx)
	return w
}

func (w *watch) C() <-chan registry.Batch { return w.out }

func (w *watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// RequestProgress implements [registry.ProgressRequester].
func (w *watch) RequestProgress() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if !w.store.fault.down {
		w.progress(w.store.rev)
	}
}

// replay queues the history after a revision, several revisions to a batch.
func (w *watch) replay(log []revision, after int64) {
	var b registry.Batch
	for _, r := range log {
		if r.rev <= after {
			continue
		}
		b.Events = append(b.Events, w.filter(r.events)...)
		b.Revision = r.rev
		if len(b.Events) >= maxReplay {
			w.push(b)
			b = registry.Batch{}
		}
	}
	if len(b.Events) > 0 {
		w.push(b)
	}
}

// offer queues the events of one new revision.
func (w *watch) offer(rev int64, events []registry.Event) {
	if mine := w.filter(events); len(mine) > 0 {
		w.push(registry.Batch{Revision: rev, Events: mine})
	}
}

func (w *watch) filter(events []registry.Event) []registry.Event {
	var mine []registry.Event
	for _, ev := range events {
		if strings.HasPrefix(ev.Key, w.prefix) {
			mine = append(mine, ev)
		}
	}
	return mine
}

func (w *watch) progress(rev int64) { w.push(registry.Batch{Revision: rev}) }

func (w *watch) push(b registry.Batch) {
	w.mu.Lock()
	last := len(w.queue) - 1
	switch {
	case len(b.Events) == 0 && last >= 0 && len(w.queue[last].Events) == 0:
		w.queue[last] = b // two notices in a row say no more than the second
	default:
		w.queue = append(w.queue, b)
		w.buffered += len(b.Events)
	}
	full := w.buffered > w.store.cfg.MaxBuffered
	w.mu.Unlock()
	if full {
		w.end(fmt.Errorf("%w: the watcher lags by more than %d events",
			registry.ErrUnavailable, w.store.cfg.MaxBuffered))
	}
	w.poke()
}

func (w *watch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// end makes the goroutine stop with err. The first reason counts.
func (w *watch) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		w.err = err
		close(w.done)
	}
}

func (w *watch) pop() (registry.Batch, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return registry.Batch{}, false
	}
	b := w.queue[0]
	w.queue = w.queue[1:]
	w.buffered -= len(b.Events)
	return b, true
}

// pump is the watch's goroutine.
func (w *watch) pump(ctx context.Context) {
	ticker := w.store.cfg.Clock.NewTicker(w.store.cfg.ProgressInterval)
	defer w.store.wg.Done()
	defer close(w.out)
	defer ticker.Stop()
	defer w.leave()
	for {
		if !w.store.silent() {
			if b, ok := w.pop(); ok {
				select {
				case w.out <- b:
					continue
				case <-w.done:
					return
				case <-ctx.Done():
					w.end(contextError(ctx))
					return
				}
			}
		}
		select {
		case <-w.wake:
		case <-ticker.Chan():
			w.RequestProgress()
		case <-w.done:
			return
		case <-ctx.Done():
			w.end(contextError(ctx))
			return
		}
	}
}

func (w *watch) leave() {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	delete(w.store.watches, w)
}
