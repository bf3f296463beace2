package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const leaderKey = "registry/leader"

type world struct {
	t     *testing.T
	store *memory.Store
	clock *clockwork.FakeClock

	mu      sync.Mutex
	handler outbox.Handler
	runs    []outbox.Item
	fence   registry.Compare
	leads   bool
	worker  *outbox.Worker
}

func start(t *testing.T, handler outbox.Handler) *world {
	t.Helper()
	clk := clockwork.NewFakeClock()
	w := &world{t: t, store: memory.New(memory.Config{}), clock: clk, handler: handler, leads: true}
	t.Cleanup(w.store.Close)
	cache := watchcache.New(w.store, watchcache.Config{Prefix: resource.StatePrefix})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	w.lead(t.Context())
	work := func(ctx context.Context, item outbox.Item) error {
		w.mu.Lock()
		w.runs = append(w.runs, item)
		handler := w.handler
		w.mu.Unlock()
		return handler(ctx, item)
	}
	w.worker = outbox.New(outbox.Config{
		Store: w.store, Feed: cache, Clock: clk, Logger: slog.New(slog.DiscardHandler), Rand: func() float64 { return 0 },
		Fence: func() (registry.Compare, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.fence, w.leads
		},
		Handlers: map[string]outbox.Handler{"test": work, "other": work},
	})
	return w
}

// lead writes the leader's key: whoever was fenced by its old revision is not any more.
func (w *world) lead(ctx context.Context) {
	w.t.Helper()
	rev, err := w.store.Commit(ctx, registry.Txn{Then: []registry.Op{registry.Put(leaderKey, []byte("me"))}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fence = registry.Compare{Key: leaderKey, ModRevision: rev}
}

// Put and Now make world an outbox.Puts that stores at once.
func (w *world) Put(key string, m proto.Message) error {
	value, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, value)}})
	return err
}

func (w *world) Now() time.Time { return w.clock.Now() }

func (w *world) put(id, kind string) {
	w.t.Helper()
	if err := outbox.Put(w, id, kind, "acme", []byte("payload of "+id)); err != nil {
		w.t.Fatal(err)
	}
}

// due runs what is due and returns how many times the handler ran.
func (w *world) due() int {
	w.t.Helper()
	w.mu.Lock()
	before := len(w.runs)
	w.mu.Unlock()
	_ = w.worker.RunDue(w.t.Context())
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.runs) - before
}

func (w *world) item(id string) *storev1.OutboxItem {
	w.t.Helper()
	kv, err := w.store.Get(w.t.Context(), resource.Outbox(id))
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	item := &storev1.OutboxItem{}
	if err == nil {
		err = proto.Unmarshal(kv.Value, item)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return item
}

func TestDone(t *testing.T) {
	w := start(t, func(context.Context, outbox.Item) error { return nil })
	w.put("a", "test")
	w.put("b", "test")
	if n := w.due(); n != 2 {
		t.Errorf("%d runs", n)
	}
	if w.item("a") != nil || w.item("b") != nil || w.due() != 0 {
		t.Error("what is done is still there")
	}
	if got := w.runs[0]; got.Subject != "acme" || string(got.Payload) != "payload of "+got.ID || got.Attempts != 0 {
		t.Errorf("the handler got %+v", got)
	}
}

func TestPauses(t *testing.T) {
	w := start(t, func(context.Context, outbox.Item) error { return errors.New(strings.Repeat("down ", 1000)) })
	w.put("a", "test")
	for attempt, pause := range []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second,
		320 * time.Second, 640 * time.Second, 1280 * time.Second, 2560 * time.Second, time.Hour, time.Hour,
	} {
		if w.due() != 1 {
			t.Fatalf("attempt %d: not due", attempt+1)
		}
		item := w.item("a")
		if got := item.GetNextTime().AsTime().Sub(w.clock.Now()); got != pause || int(item.GetAttempts()) != attempt+1 {
			t.Errorf("after %d failures, in fact %d: waits %v, not %v", attempt+1, item.GetAttempts(), got, pause)
		}
		if n := len(item.GetLastError()); n != 1000 {
			t.Errorf("%d bytes of the error are kept", n)
		}
		w.clock.Advance(pause - time.Nanosecond)
		if w.due() != 0 {
			t.Errorf("attempt %d: due too soon", attempt+2)
		}
		w.clock.Advance(time.Nanosecond)
	}
}

// TestForeignText: what others answer is stored, whatever its encoding.
func TestForeignText(t *testing.T) {
	for name, text := range map[string]string{
		"another encoding": "550 Empf\xe4nger unbekannt",
		"cut in a letter":  strings.Repeat("a", 999) + "é",
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, func(context.Context, outbox.Item) error { return outbox.Dead(errors.New(text)) })
			w.put("a", "test")
			w.due()
			if item := w.item("a"); !item.GetDead() || item.GetAttempts() != 1 || !strings.HasPrefix(item.GetLastError(), text[:8]) {
				t.Errorf("%v", item)
			}
		})
	}
}

// TestKindsDoNotWait: work of a kind is done while more of another kind hangs than is worked
// on at a time.
func TestKindsDoNotWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan string, 1)
	w := start(t, func(ctx context.Context, item outbox.Item) error {
		if strings.HasPrefix(item.ID, "hangs") {
			<-ctx.Done()
			return ctx.Err()
		}
		done <- item.ID
		return nil
	})
	for i := range 40 {
		w.put(fmt.Sprint("hangs", i), "test")
	}
	w.put("goes", "other")
	ended := make(chan error, 1)
	go func() { ended <- w.worker.Run(ctx) }()
	if id := <-done; id != "goes" {
		t.Error(id)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestGivenUp(t *testing.T) {
	outcome := errors.New("down")
	w := start(t, func(context.Context, outbox.Item) error { return outcome })
	w.put("a", "test")
	w.put("unknown", "nobody's")
	w.due()
	if !w.item("unknown").GetDead() || w.item("a").GetDead() {
		t.Error("work that nobody does is dead at once, other work is not")
	}
	w.clock.Advance(73 * time.Hour)
	w.due()
	if item := w.item("a"); !item.GetDead() || item.GetLastError() != "down" {
		t.Errorf("after three days: %v", item)
	}
	w.clock.Advance(time.Hour)
	if w.due() != 0 {
		t.Error("a dead item was tried")
	}
	// Whoever asks again gives it another three days.
	w.put("a", "test")
	if w.due() != 1 || w.item("a").GetDead() {
		t.Error("an item that was asked for again is dead")
	}
	outcome = outbox.Dead(errors.New("hopeless"))
	w.put("a", "test")
	w.due()
	item := w.item("a")
	if !item.GetDead() || item.GetLastError() != "hopeless" {
		t.Errorf("a hopeless one: %v", item)
	}
	outcome = nil
	outbox.Retry(item, w.clock.Now())
	if err := w.Put(resource.Outbox("a"), item); err != nil {
		t.Fatal(err)
	}
	if w.due() != 1 || w.item("a") != nil {
		t.Error("a retry did nothing")
	}
}

func TestAfter(t *testing.T) {
	outcome := errors.New("down")
	w := start(t, func(context.Context, outbox.Item) error { return outcome })
	w.put("a", "test")
	w.due()
	later := w.clock.Now().Add(30 * 24 * time.Hour)
	outcome = outbox.After(later)
	w.clock.Advance(time.Minute)
	w.due()
	item := w.item("a")
	if item.GetAttempts() != 0 || item.GetLastError() != "" || !item.GetNextTime().AsTime().Equal(later) {
		t.Errorf("waiting: %v", item)
	}
	// A failure after a month of waiting is the first one, not one that lasts for a month.
	outcome = errors.New("down")
	w.clock.Advance(later.Sub(w.clock.Now()))
	if w.due() != 1 {
		t.Fatal("not due after its time")
	}
	if item := w.item("a"); item.GetDead() || item.GetAttempts() != 1 {
		t.Errorf("after its time: %v", item)
	}
}

// What is touched while it runs runs again: the touch may have come after the handler looked.
func TestTouched(t *testing.T) {
	var w *world
	touch := true
	w = start(t, func(context.Context, outbox.Item) error {
		if touch {
			touch = false
			w.put("a", "test")
		}
		return nil
	})
	w.put("a", "test")
	if n := w.due(); n != 2 || w.item("a") != nil {
		t.Errorf("%d runs, left %v", n, w.item("a"))
	}
}

// A server that does not lead any more changes nothing, and knows what is due when it leads
// again.
func TestFenced(t *testing.T) {
	var w *world
	w = start(t, func(ctx context.Context, _ outbox.Item) error {
		w.mu.Lock()
		stale := w.fence
		w.mu.Unlock()
		w.lead(ctx)
		w.mu.Lock()
		w.fence = stale
		w.mu.Unlock()
		return nil
	})
	w.put("a", "test")
	if w.due() != 1 || w.item("a") == nil {
		t.Error("a deposed leader removed an item")
	}
	w.mu.Lock()
	w.leads, w.handler = false, func(context.Context, outbox.Item) error { return nil }
	w.mu.Unlock()
	w.clock.Advance(time.Minute)
	if w.due() != 0 {
		t.Error("worked without leading")
	}
	w.mu.Lock()
	w.leads = true
	w.mu.Unlock()
	w.lead(t.Context())
	w.clock.Advance(time.Minute)
	if w.due() != 1 || w.item("a") != nil {
		t.Error("what was due is forgotten")
	}
}
