package etcd_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// benchTxn is a change as the control plane makes it: a condition and five values of
// together about 3 kB.
func benchTxn(i int64) registry.Txn {
	key := fmt.Sprintf("bench/%d/", i)
	return registry.Txn{
		If: []registry.Compare{{Key: key + "value"}},
		Then: []registry.Op{
			registry.Put(key+"value", make([]byte, 1000)),
			registry.Put(key+"version", make([]byte, 1000)),
			registry.Put(key+"audit", make([]byte, 500)),
			registry.Put(key+"idempotency", make([]byte, 300)),
			registry.Put(key+"outbox", make([]byte, 200)),
		},
	}
}

// BenchmarkCommit compares the store with the bare client, with writes synced to disk as in
// production.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		for _, raw := range []bool{true, false} {
			name := map[bool]string{true: "raw", false: "store"}[raw]
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				server, err := embedded.Start(b.Context(), embedded.Config{Dir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(server.Close)
				store := etcd.New(server.Client(), etcd.Config{})
				var n atomic.Int64
				b.SetParallelism(max(1, writers/2)) // times the two cores of the reference machine
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						var err error
						if txn := benchTxn(n.Add(1)); raw {
							err = commitRaw(b, server.Client(), txn)
						} else {
							_, err = store.Commit(b.Context(), txn)
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

func commitRaw(b *testing.B, client *clientv3.Client, txn registry.Txn) error {
	b.Helper()
	var puts []clientv3.Op
	for _, op := range txn.Then {
		puts = append(puts, clientv3.OpPut(op.Key, string(op.Value)))
	}
	_, err := client.Txn(b.Context()).
		If(clientv3.Compare(clientv3.ModRevision(txn.If[0].Key), "=", 0)).Then(puts...).Commit()
	return err
}

func BenchmarkGet(b *testing.B) {
	store := etcd.New(start(b, embedded.Config{}).Client(), etcd.Config{})
	put(b, store, "k", "v")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Get(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}
