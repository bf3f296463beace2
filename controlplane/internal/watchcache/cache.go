package watchcache

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/btree"
	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Config says what to cache. The zero value of everything but Prefix has a default.
type Config struct {
	// Prefix is what the cache holds; empty means everything.
	Prefix string
	// Clock drives time-outs and ages. Nil means the real one.
	Clock clockwork.Clock
	// Logger gets what an operator should know. Nil discards it.
	Logger *slog.Logger
	// ReadLimit bounds a [Cache.Read] beside its context; zero means 2 s.
	ReadLimit time.Duration
	// MaxStaleness is the age at which the cache is no longer [Cache.Ready]; zero means
	// 10 s. A watch that is silent for so long is taken to be broken.
	MaxStaleness time.Duration
	// RingEvents is the number of events kept for subscribers; zero means 65,536.
	RingEvents int
	// RingBytes bounds the keys and values of those events; zero means 64 MiB.
	RingBytes int
	// PageSize is the number of keys listed at a time; zero means 1,000.
	PageSize int
	// RetryMin and RetryMax bound the pause before trying again after a failure, which
	// doubles each time; zero means 20 ms and 2 s.
	RetryMin, RetryMax time.Duration
}

func (c Config) withDefaults() Config {
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.ReadLimit = orDefault(c.ReadLimit, 2*time.Second)
	c.MaxStaleness = orDefault(c.MaxStaleness, 10*time.Second)
	c.RetryMin = orDefault(c.RetryMin, 20*time.Millisecond)
	c.RetryMax = max(orDefault(c.RetryMax, 2*time.Second), c.RetryMin)
	c.RingEvents = orDefault(c.RingEvents, 1<<16)
	c.RingBytes = orDefault(c.RingBytes, 64<<20)
	c.PageSize = orDefault(c.PageSize, 1000)
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Cache holds a prefix of a store. Its methods may be called concurrently, before, while
// and after [Cache.Run] runs.
type Cache struct {
	store registry.Store
	cfg   Config

	// snapshot is the newest content, or nil before the first list. progress is when it
	// was last known to be current, in the clock's nanoseconds.
	snapshot atomic.Pointer[snapshot]
	progress atomic.Int64
	started  atomic.Bool

	barriers barriers
	waiters  waiters
	ring     *ring

	// ask tells the watch loop that somebody waits for a revision; suspect, that the
	// store's revision went back.
	ask     chan struct{}
	suspect chan struct{}

	// What follows belongs to the goroutine of Run.
	tree       *btree.BTreeG[item]
	generation int64
	cluster    uint64
	relist     relist
}

// snapshot is the content at a revision of a generation: each reset of the store begins
// another one. It is never changed.
type snapshot struct {
	tree       *btree.BTreeG[item]
	revision   int64
	generation int64
}

// item is what the tree orders. The value is behind a pointer to keep the nodes small.
type item struct {
	key string
	kv  *registry.KV
}

// newItem copies kv, so that the tree keeps no other value of its batch in memory.
func newItem(kv registry.KV) item { return item{key: kv.Key, kv: &kv} }

const treeDegree = 32

func newTree() *btree.BTreeG[item] {
	return btree.NewG(treeDegree, func(a, b item) bool { return a.key < b.key })
}

// New returns a cache that is empty and not ready until [Cache.Run] has listed.
func New(store registry.Store, cfg Config) *Cache {
	cfg = cfg.withDefaults()
	c := &Cache{
		store:   store,
		cfg:     cfg,
		ring:    newRing(cfg.RingEvents, cfg.RingBytes),
		ask:     make(chan struct{}, 1),
		suspect: make(chan struct{}, 1),
	}
	c.barriers.wake = make(chan struct{}, 1)
	return c
}

// Run keeps the cache current until ctx ends, and then returns nil. It fails only when it
// was called before.
func (c *Cache) Run(ctx context.Context) error {
	if !c.started.CompareAndSwap(false, true) {
		return errors.New("watchcache: Run was called twice")
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.runBarriers(ctx) })
	c.keepFollowing(ctx)
	wg.Wait()
	c.waiters.fail(errStopped)
	return nil
}

// Ready says that the cache holds the prefix and that it was current within
// Config.MaxStaleness.
func (c *Cache) Ready() bool { return c.Staleness() <= c.cfg.MaxStaleness }

// Staleness is the time since the content was last known to be current. Before the first
// list it is the longest duration there is.
func (c *Cache) Staleness() time.Duration {
	if c.snapshot.Load() == nil {
		return math.MaxInt64
	}
	return max(0, time.Duration(c.cfg.Clock.Now().UnixNano()-c.progress.Load()))
}

// Cached returns the newest content known, at once. Before the first list it is empty, at
// revision zero.
func (c *Cache) Cached() View {
	age := c.Staleness()
	return View{snapshot: c.snapshot.Load(), age: age}
}

// publish makes a snapshot of the tree the newest content. changed says whether the tree
// was changed since the last one.
func (c *Cache) publish(revision int64, changed bool) {
	next := &snapshot{revision: revision, generation: c.generation}
	if old := c.snapshot.Load(); old != nil && !changed {
		next.tree = old.tree
	} else {
		next.tree = c.tree.Clone()
	}
	c.snapshot.Store(next)
	c.progress.Store(c.cfg.Clock.Now().UnixNano())
}
