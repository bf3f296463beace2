package registrytest

import (
	"context"
	"fmt"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// watcher reads a watch on behalf of a check, which it fails when the watch ends early or
// keeps it waiting.
type watcher struct {
	registry.Watch
	s    *suite
	last int64
}

func (s *suite) watch(after int64) *watcher { return s.watchPrefix(s.prefix, after) }

// watchPrefix starts a watch that ends with the check.
func (s *suite) watchPrefix(prefix string, after int64) *watcher {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	w := &watcher{s: s, Watch: s.Store.Watch(ctx, prefix, after), last: after}
	s.Cleanup(func() {
		cancel()
		for range w.C() {
		}
	})
	return w
}

// next returns the next batch, progress or not.
func (w *watcher) next() registry.Batch {
	w.s.Helper()
	select {
	case b, ok := <-w.C():
		if !ok {
			w.s.Fatalf("the watch ended: %v", w.Err())
		}
		if b.Revision < w.last {
			w.s.Fatalf("revision %d after %d", b.Revision, w.last)
		}
		w.last = b.Revision
		return b
	case <-w.s.ctx.Done():
		w.s.Fatal("the watch is silent")
	}
	return registry.Batch{}
}

// batch returns the next batch that has events.
func (w *watcher) batch() registry.Batch {
	w.s.Helper()
	for {
		if b := w.next(); len(b.Events) > 0 {
			return b
		}
	}
}

// events returns the next n events.
func (w *watcher) events(n int) []registry.Event {
	w.s.Helper()
	var got []registry.Event
	for len(got) < n {
		got = append(got, w.next().Events...)
	}
	if len(got) > n {
		w.s.Fatalf("%d events, want %d", len(got), n)
	}
	return got
}

// expect reads as many events as it names and compares them.
func (w *watcher) expect(want ...string) {
	w.s.Helper()
	var got []string
	for _, ev := range w.events(len(want)) {
		name := strings.TrimPrefix(ev.Key, w.s.prefix)
		if ev.Deleted {
			got = append(got, "delete "+name)
		} else {
			got = append(got, fmt.Sprintf("put %s=%s", name, ev.Value))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.s.Fatalf("watched %q, want %q", got, want)
	}
}

// end waits for the end of the watch and returns its reason.
func (w *watcher) end() error {
	w.s.Helper()
	for {
		select {
		case _, ok := <-w.C():
			if !ok {
				return w.Err()
			}
		case <-w.s.ctx.Done():
			w.s.Fatal("the watch goes on")
		}
	}
}
