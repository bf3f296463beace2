package watchcache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// machine does random things to a store under a cache and a subscriber, and checks after
// each that the cache recovers to exactly what the store holds.
type machine struct {
	ctx     context.Context //nolint:containedctx // a test's state
	store   *memory.Store
	cache   *watchcache.Cache
	replica *replica
	backup  *memory.Backup
}

func (m *machine) key(t *rapid.T) string {
	return fmt.Sprintf("%s/%d", rapid.SampledFrom([]string{"in", "out"}).Draw(t, "space"),
		rapid.IntRange(0, 8).Draw(t, "key"))
}

func (m *machine) commit(t *rapid.T) {
	keys := rapid.SliceOfNDistinct(rapid.Custom(m.key), 1, 5, rapid.ID).Draw(t, "keys")
	txn := registry.Txn{}
	for _, k := range keys {
		if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			txn.Then = append(txn.Then, registry.Delete(k))
		} else {
			txn.Then = append(txn.Then, registry.Put(k, []byte(rapid.StringN(0, 8, 8).Draw(t, "value"))))
		}
	}
	if _, err := m.store.Commit(m.ctx, txn); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) compactWhileBroken(t *rapid.T) {
	m.store.BreakWatches(registry.ErrUnavailable)
	m.commit(t)
	m.commit(t)
	rev, err := m.store.Revision(m.ctx)
	if err != nil {
		t.Fatal(err)
	}
	m.store.Compact(rev)
}

func (m *machine) outage(*rapid.T) {
	m.store.SetUnavailable(true)
	m.store.SetUnavailable(false)
}

func (m *machine) silence(t *rapid.T) {
	m.store.SetSilent(true)
	m.commit(t)
	m.store.SetSilent(false)
}

func (m *machine) keepBackup(*rapid.T) { m.backup = m.store.Backup() }

// restore waits until the cache noticed: until then, a read may take the new history for
// the old one, as the package says.
func (m *machine) restore(t *rapid.T) {
	if m.backup == nil {
		return
	}
	sub := m.cache.SubscribeFrom(m.ctx, "in/", m.cache.Cached())
	m.store.Restore(m.backup)
	for {
		var lagged *watchcache.LaggedError
		if _, err := sub.Next(m.ctx); errors.As(err, &lagged) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func (m *machine) check(t *rapid.T) {
	view, err := m.read()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkView(m.ctx, m.store, "in/", view); err != nil {
		t.Fatal(err)
	}
	if err := m.replica.reach(m.ctx, view.Revision()); err != nil {
		t.Fatal(err)
	}
	// Nothing but progress happens now, so the view agrees with the subscriber.
	if err := m.replica.compare(view); err != nil {
		t.Fatal(err)
	}
}

// read repeats while the cache can't be current, which may only be for a while.
func (m *machine) read() (watchcache.View, error) {
	for {
		view, err := m.cache.Read(m.ctx)
		if err == nil || !errors.Is(err, registry.ErrUnavailable) || m.ctx.Err() != nil {
			return view, err
		}
	}
}

func TestCacheAgreesWithStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		store := memory.New(memory.Config{})
		defer store.Close()
		cache := watchcache.New(store, watchcache.Config{
			Prefix: "in/", PageSize: rapid.IntRange(1, 5).Draw(t, "page"),
			RingEvents: rapid.IntRange(4, 50).Draw(t, "ring"),
			RetryMin:   50 * time.Microsecond, RetryMax: time.Millisecond,
		})
		defer run(t, ctx, cache)()
		if err := cache.WaitRevision(ctx, 1); err != nil {
			t.Fatal(err)
		}
		m := &machine{ctx: ctx, store: store, cache: cache, replica: newReplica(ctx, cache, "in/")}
		t.Repeat(map[string]func(*rapid.T){
			"commit":               m.commit,
			"commit again":         m.commit,
			"compact while broken": m.compactWhileBroken,
			"outage":               m.outage,
			"silence":              m.silence,
			"backup":               m.keepBackup,
			"restore":              m.restore,
			"":                     m.check,
		})
	})
}
