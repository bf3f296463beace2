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

// BenchmarkCommit compares the store with the bare client over a socket, with writes synced
// to disk as in production.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		for _, way := range []string{"raw", "socket", "local"} {
			b.Run(fmt.Sprintf("%s/writers=%d", way, writers), func(b *testing.B) {
				server, err := embedded.Start(b.Context(), embedded.Config{Dir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(server.Close)
				client := server.Client()
				if way != "local" {
					client = dial(b, server)
				}
				store := etcd.New(client, etcd.Config{})
				var n atomic.Int64
				b.SetParallelism(max(1, writers/2)) // times the two cores of the reference machine
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						var err error
						if txn := benchTxn(n.Add(1)); way == "raw" {
							err = commitRaw(b, client, txn)
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
	server := start(b, embedded.Config{})
	for name, client := range map[string]*clientv3.Client{"local": server.Client(), "socket": dial(b, server)} {
		b.Run(name, func(b *testing.B) {
			store := etcd.New(client, etcd.Config{})
			put(b, store, "k", "v")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := store.Get(b.Context(), "k"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
