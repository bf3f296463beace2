package watchcache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// tester is what rapid's and testing's T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newStore(t *testing.T, clock clockwork.Clock) *memory.Store {
	t.Helper()
	s := memory.New(memory.Config{Clock: clock})
	t.Cleanup(s.Close)
	return s
}

// run starts a cache and returns what stops it.
func run(t tester, ctx context.Context, c *watchcache.Cache) (stop func()) { //nolint:revive // t comes first in helpers
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			panic(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// newCache runs a cache for the length of a test and waits until it is ready.
func newCache(t *testing.T, store registry.Store, cfg watchcache.Config) *watchcache.Cache {
	t.Helper()
	if cfg.RetryMin == 0 {
		cfg.RetryMin, cfg.RetryMax = time.Millisecond, 10*time.Millisecond
	}
	c := watchcache.New(store, cfg)
	t.Cleanup(run(t, t.Context(), c))
	if err := c.WaitRevision(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	return c
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func put(t tester, s registry.Store, key, value string) int64 {
	t.Helper()
	rev, err := s.Commit(context.Background(), registry.Txn{Then: []registry.Op{registry.Put(key, []byte(value))}})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func read(t *testing.T, c *watchcache.Cache) watchcache.View {
	t.Helper()
	v, err := c.Read(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReadSeesEveryAcknowledgedWrite(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{Prefix: "a/"})
	for i := range 200 {
		want := fmt.Sprint(i)
		put(t, s, "a/k", want)
		v := read(t, c)
		if kv, ok := v.Get("a/k"); !ok || string(kv.Value) != want {
			t.Fatalf("got %+v, want %s", kv, want)
		}
	}
	if !c.Ready() {
		t.Fatal("not ready")
	}
}

// TestReadPastForeignWrites has the revision move outside of the prefix, so that only
// progress on demand can satisfy the barrier: the clock stands still.
func TestReadPastForeignWrites(t *testing.T) {
	clock := clockwork.NewFakeClock()
	s := newStore(t, clock)
	c := newCache(t, s, watchcache.Config{Prefix: "a/", Clock: clock})
	for range 50 {
		rev := put(t, s, "b/k", "")
		if v := read(t, c); v.Revision() < rev || v.Len() != 0 {
			t.Fatalf("revision %d with %d keys, want %d and none", v.Revision(), v.Len(), rev)
		}
	}
}

func TestViewsDoNotChange(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	for i := range 300 {
		put(t, s, fmt.Sprintf("k%03d", i), "old")
	}
	old := read(t, c)
	for i := range 300 {
		put(t, s, fmt.Sprintf("k%03d", i), "new")
	}
	now := read(t, c)
	if err := checkView(t.Context(), s, "", old); err != nil {
		t.Error(err)
	}
	if err := checkView(t.Context(), s, "", now); err != nil {
		t.Error(err)
	}
}

func TestViewList(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{})
	for _, k := range []string{"a", "b/", "b/1", "b/2", "b0", "c"} {
		put(t, s, k, "")
	}
	v := read(t, c)
	tests := []struct {
		prefix, after string
		limit         int
		want          []string
		more          bool
	}{
		{"", "", 0, []string{"a", "b/", "b/1", "b/2", "b0", "c"}, false},
		{"b/", "", 0, []string{"b/", "b/1", "b/2"}, false},
		{"b/", "", 2, []string{"b/", "b/1"}, true},
		{"b/", "", 3, []string{"b/", "b/1", "b/2"}, false},
		{"b/", "b/1", 2, []string{"b/2"}, false},
		{"b/", "b/15", 0, []string{"b/2"}, false},
		{"b/", "a", 1, []string{"b/"}, true},
		{"b/", "c", 0, nil, false},
		{"d", "", 0, nil, false},
	}
	for _, tt := range tests {
		kvs, more := v.List(tt.prefix, tt.after, tt.limit)
		var got []string
		for _, kv := range kvs {
			got = append(got, kv.Key)
		}
		if !slices.Equal(got, tt.want) || more != tt.more {
			t.Errorf("List(%q, %q, %d) = %q, %v", tt.prefix, tt.after, tt.limit, got, more)
		}
	}
	if _, ok := (watchcache.View{}).Get("a"); ok || (watchcache.View{}).Len() != 0 {
		t.Error("the zero view holds something")
	}
}

// gateStore lets a test hold revision reads back and counts them.
type gateStore struct {
	registry.Store
	calls atomic.Int64
	gate  chan struct{} // nil lets through; else each read takes a value
	came  chan struct{}
}

func (g *gateStore) Revision(ctx context.Context) (int64, error) {
	g.calls.Add(1)
	rev, err := g.Store.Revision(ctx)
	if g.gate != nil {
		g.came <- struct{}{}
		<-g.gate
	}
	return rev, err
}

// TestReadersShareABarrierThatBeginsAfterThem holds one barrier open: a write made then is
// not covered by it, so later readers must not join it, and all share the next.
func TestReadersShareABarrierThatBeginsAfterThem(t *testing.T) {
	s := newStore(t, nil)
	g := &gateStore{Store: s, gate: make(chan struct{}), came: make(chan struct{})}
	clock := clockwork.NewFakeClock()
	c := newCache(t, g, watchcache.Config{Clock: clock})
	first := make(chan error, 1)
	go func() {
		_, err := c.Read(deadline(t))
		first <- err
	}()
	<-g.came
	rev := put(t, s, "k", "v")

	const readers = 20
	results := make(chan error, readers)
	for range readers {
		go func() {
			v, err := c.Read(deadline(t))
			if err == nil && v.Revision() < rev {
				err = fmt.Errorf("revision %d, want %d", v.Revision(), rev)
			}
			results <- err
		}()
	}
	// Each reader has a timer, beside the two of the watch loop, once it has joined.
	if err := clock.BlockUntilContext(deadline(t), 2+1+readers); err != nil {
		t.Fatal(err)
	}
	g.gate <- struct{}{}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-g.came
	g.gate <- struct{}{}
	for range readers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := g.calls.Load(); n != 2 {
		t.Errorf("%d revision reads for %d readers", n, readers+1)
	}
}

func TestReadFailsClearly(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{ReadLimit: 50 * time.Millisecond})
	put(t, s, "k", "v")
	read(t, c)

	s.SetUnavailable(true)
	_, err := c.Read(t.Context())
	var stale *watchcache.StaleError
	if !errors.As(err, &stale) || !errors.Is(err, registry.ErrUnavailable) || stale.Revision == 0 {
		t.Fatalf("down: %v", err)
	}
	if kv, ok := c.Cached().Get("k"); !ok || string(kv.Value) != "v" {
		t.Fatal("the cached view is gone")
	}
	s.SetUnavailable(false)
	if err := c.WaitRevision(deadline(t), put(t, s, "k", "w")); err != nil {
		t.Fatal(err)
	}

	s.SetSilent(true) // the barrier passes but the watch does not follow
	put(t, s, "k", "x")
	if _, err := c.Read(t.Context()); !errors.As(err, &stale) {
		t.Fatalf("silent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Read(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("cancelled: %v", err)
	}
	if err := c.WaitRevision(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled wait: %v", err)
	}
	s.SetSilent(false)
}

func TestBeforeAndAfterRun(t *testing.T) {
	s := newStore(t, nil)
	c := watchcache.New(s, watchcache.Config{ReadLimit: 20 * time.Millisecond})
	var stale *watchcache.StaleError
	if _, err := c.Read(t.Context()); !errors.As(err, &stale) || c.Ready() || c.Cached().Revision() != 0 {
		t.Fatalf("before: %v", err)
	}
	stop := run(t, t.Context(), c)
	if err := c.WaitRevision(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := c.Run(t.Context()); err == nil {
		t.Error("Run may be called twice")
	}
	for range 2 {
		if _, err := c.Read(t.Context()); !errors.As(err, &stale) {
			t.Fatalf("after: %v", err)
		}
	}
	if err := c.WaitRevision(t.Context(), 99); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("after: %v", err)
	}
}

// TestSilentWatchIsReplaced moves the clock past the silence that is allowed.
func TestSilentWatchIsReplaced(t *testing.T) {
	clock := clockwork.NewFakeClock()
	s := newStore(t, clock)
	c := newCache(t, s, watchcache.Config{Clock: clock})
	read(t, c)
	s.SetSilent(true)
	rev := put(t, s, "k", "v")
	clock.Advance(11 * time.Second)
	if c.Ready() || c.Staleness() < 11*time.Second || c.Cached().Age() < 11*time.Second {
		t.Fatalf("ready after a silence of %v", c.Staleness())
	}
	s.SetSilent(false)
	ctx := deadline(t)
	for c.Cached().Revision() < rev && ctx.Err() == nil {
		clock.Advance(time.Second) // the pause before the next attempt
	}
	if ctx.Err() != nil {
		t.Fatal("the watch was not replaced")
	}
}

func TestSeveralPrefixes(t *testing.T) {
	s := newStore(t, nil)
	a := newCache(t, s, watchcache.Config{Prefix: "a/"})
	b := newCache(t, s, watchcache.Config{Prefix: "b/"})
	put(t, s, "a/1", "")
	put(t, s, "b/1", "")
	put(t, s, "c/1", "")
	for prefix, c := range map[string]*watchcache.Cache{"a/": a, "b/": b} {
		v := read(t, c)
		if v.Len() != 1 {
			t.Errorf("%s holds %d keys", prefix, v.Len())
		}
		if err := checkView(t.Context(), s, prefix, v); err != nil {
			t.Error(err)
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := newStore(t, nil)
	c := newCache(t, s, watchcache.Config{RingEvents: 100})
	ctx := deadline(t)
	var wg sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		wg.Go(func() {
			var last int64
			for !done.Load() {
				v, err := c.Read(ctx)
				if err != nil || v.Revision() < last {
					t.Errorf("revision %d after %d, %v", v.Revision(), last, err)
					return
				}
				last = v.Revision()
				v.Ascend("", func(kv registry.KV) bool { return kv.ModRevision <= last })
			}
		})
	}
	wg.Go(func() {
		r := newReplica(ctx, c, "")
		for !done.Load() {
			if err := r.catchUp(ctx); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 1000 {
		put(t, s, fmt.Sprintf("k%02d", i%50), fmt.Sprint(i))
	}
	done.Store(true)
	wg.Wait()
}
