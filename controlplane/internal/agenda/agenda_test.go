package agenda_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/agenda"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// world is an agenda of keys whose values are the times at which they are due.
type world struct {
	t      *testing.T
	store  *memory.Store
	clock  *clockwork.FakeClock
	agenda *agenda.Agenda
	// worked gets each key that is worked on; work is what is done then.
	worked chan string
	work   func(ctx context.Context, key string) error

	mu   sync.Mutex
	gone []string
}

func start(t *testing.T, concurrency int) *world {
	t.Helper()
	w := &world{t: t, store: memory.New(memory.Config{}), clock: clockwork.NewFakeClock(), worked: make(chan string, 100)}
	w.work = w.remove
	t.Cleanup(w.store.Close)
	cache := watchcache.New(w.store, watchcache.Config{Prefix: "k/"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	w.agenda = agenda.New(agenda.Config{
		Name: "test", Feed: cache, Prefix: "k/", Clock: w.clock, Logger: slog.New(slog.DiscardHandler), Concurrency: concurrency,
		When: func(kv registry.KV) (time.Time, bool, error) {
			at, err := time.Parse(time.RFC3339, string(kv.Value))
			return at, err == nil, nil
		},
		Work: func(ctx context.Context, key string) error {
			w.worked <- key
			return w.work(ctx, key)
		},
		Gone: func(key string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.gone = append(w.gone, key)
		},
	})
	return w
}

func (w *world) commit(ctx context.Context, op registry.Op) error {
	_, err := w.store.Commit(ctx, registry.Txn{Then: []registry.Op{op}})
	return err
}

func (w *world) put(key string, in time.Duration) {
	w.t.Helper()
	at := w.clock.Now().Add(in).Format(time.RFC3339)
	if err := w.commit(w.t.Context(), registry.Put(key, []byte(at))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(ctx context.Context, key string) error {
	return w.commit(ctx, registry.Delete(key))
}

// run runs the agenda until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.agenda.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
}

// next waits for the next key that is worked on.
func (w *world) next() string {
	w.t.Helper()
	select {
	case key := <-w.worked:
		return key
	case <-time.After(patience):
		w.t.Fatal("nothing is worked on")
		return ""
	}
}

// due does what is due and returns it, in order.
func (w *world) due() string {
	w.t.Helper()
	_ = w.agenda.RunDue(w.t.Context())
	var keys []string
	for len(w.worked) > 0 {
		keys = append(keys, <-w.worked)
	}
	return strings.Join(keys, " ")
}

func TestDue(t *testing.T) {
	w := start(t, 1)
	w.put("k/later", time.Hour)
	w.put("k/second", -time.Second)
	w.put("k/first", -time.Minute)
	if err := w.commit(t.Context(), registry.Put("k/never", []byte("-"))); err != nil {
		t.Fatal(err)
	}
	if got := w.due(); got != "k/first k/second" {
		t.Errorf("due now: %s", got)
	}
	w.clock.Advance(time.Hour)
	if got := w.due(); got != "k/later" {
		t.Errorf("due an hour later: %s", got)
	}
	// What is put off, or never due any more, is not due.
	w.put("k/a", time.Minute)
	w.put("k/b", time.Minute)
	w.due()
	w.put("k/a", time.Hour)
	if err := w.commit(t.Context(), registry.Put("k/b", []byte("-"))); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	if got := w.due(); got != "" {
		t.Errorf("due after it was put off: %s", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.gone, " "); got != "k/first k/second k/later" {
		t.Errorf("gone: %s", got)
	}
}

func TestFailedWorkComesAgain(t *testing.T) {
	w := start(t, 4)
	fail := true
	w.work = func(ctx context.Context, key string) error {
		if fail {
			return errors.New("down")
		}
		return w.remove(ctx, key)
	}
	w.put("k/a", 0)
	if err := w.agenda.RunDue(t.Context()); err == nil || w.next() != "k/a" {
		t.Errorf("a failure: %v", err)
	}
	if got := w.due(); got != "" {
		t.Errorf("at once again: %s", got)
	}
	fail = false
	w.clock.Advance(5 * time.Second)
	if got := w.due(); got != "k/a" {
		t.Errorf("5 s later: %s", got)
	}
}

// What changes while it is worked on is worked on again as soon as that ends, not at a tick.
func TestTouchedWhileBusy(t *testing.T) {
	w := start(t, 4)
	begun, goOn := make(chan struct{}), make(chan struct{})
	first := true
	w.work = func(ctx context.Context, key string) error {
		if first {
			first = false
			close(begun)
			<-goOn
			return nil
		}
		return w.remove(ctx, key)
	}
	w.put("k/a", 0)
	w.run()
	if got := w.next(); got != "k/a" {
		t.Fatal(got)
	}
	<-begun
	w.put("k/a", 0)
	// Another key's work says that the touch was seen: events come in order.
	w.put("k/b", 0)
	if got := w.next(); got != "k/b" {
		t.Fatal(got)
	}
	close(goOn)
	if got := w.next(); got != "k/a" {
		t.Fatal(got)
	}
}
