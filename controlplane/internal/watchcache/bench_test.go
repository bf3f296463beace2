package watchcache_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

const benchKeys = 100_000

func benchKey(i int) string { return fmt.Sprintf("accounts/a%05d/sites/example-%d.com", i, i) }

func benchCache(b *testing.B, store registry.Store) *watchcache.Cache {
	b.Helper()
	value := make([]byte, 1000)
	for i := 0; i < benchKeys; {
		txn := registry.Txn{}
		for ; i < benchKeys && len(txn.Then) < 5000; i++ {
			txn.Then = append(txn.Then, registry.Put(benchKey(i), value))
		}
		if _, err := store.Commit(b.Context(), txn); err != nil {
			b.Fatal(err)
		}
	}
	c := watchcache.New(store, watchcache.Config{PageSize: 10_000})
	b.Cleanup(run(b, b.Context(), c))
	if err := c.WaitRevision(b.Context(), 2); err != nil {
		b.Fatal(err)
	}
	return c
}

func BenchmarkViewGet(b *testing.B) {
	store := memory.New(memory.Config{})
	b.Cleanup(store.Close)
	c := benchCache(b, store)
	keys := make([]string, benchKeys)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	b.ReportAllocs()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for i := int(n.Add(7919)); pb.Next(); i += 7919 {
			if _, ok := c.Cached().Get(keys[i%benchKeys]); !ok {
				b.Error("missing")
			}
		}
	})
}

func BenchmarkViewListPage(b *testing.B) {
	store := memory.New(memory.Config{})
	b.Cleanup(store.Close)
	c := benchCache(b, store)
	b.ReportAllocs()
	for b.Loop() {
		if kvs, _ := c.Cached().List("accounts/", benchKey(benchKeys/2), 50); len(kvs) != 50 {
			b.Fatal("missing")
		}
	}
}

// BenchmarkRead measures linearizable reads over a real etcd, by one reader and by many,
// idle and beside a writer whose writes the cache must have before it answers.
func BenchmarkRead(b *testing.B) {
	for _, readers := range []int{1, 64} {
		for _, writing := range []bool{false, true} {
			b.Run(fmt.Sprintf("readers=%d/writing=%v", readers, writing), func(b *testing.B) {
				store := etcdStore(b, startEtcd(b, b.TempDir()))
				c := benchCache(b, store)
				var stop atomic.Bool
				var wg sync.WaitGroup
				if writing {
					wg.Go(func() {
						for i := 0; !stop.Load(); i++ {
							put(b, store, benchKey(i%benchKeys), "v")
						}
					})
				}
				b.SetParallelism(max(1, readers/2)) // times the two cores of the reference machine
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if v, err := c.Read(b.Context()); err != nil || v.Len() == 0 {
							b.Error(err)
						}
					}
				})
				b.StopTimer()
				stop.Store(true)
				wg.Wait()
			})
		}
	}
}

// BenchmarkApply measures what a write costs the cache: the time until it shows.
func BenchmarkApply(b *testing.B) {
	store := memory.New(memory.Config{})
	b.Cleanup(store.Close)
	c := benchCache(b, store)
	value := make([]byte, 1000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i += 7919
		rev, err := store.Commit(b.Context(), registry.Txn{Then: []registry.Op{registry.Put(benchKey(i%benchKeys), value)}})
		if err == nil {
			err = c.WaitRevision(b.Context(), rev)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
