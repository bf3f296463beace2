package embedded_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// TestCloseUnderLoad closes the server below readers and writers that call it directly:
// each must get an answer or a clear failure.
func TestCloseUnderLoad(t *testing.T) {
	for range 3 {
		s := start(t, embedded.Config{Dir: t.TempDir()})
		store := etcd.New(s.Client(), etcd.Config{RequestTimeout: 100 * time.Millisecond})
		var wg sync.WaitGroup
		running := make(chan struct{}, 8)
		for i := range cap(running) {
			wg.Go(func() {
				for n := 0; ; n++ {
					var err error
					if i%2 == 0 {
						_, err = store.Revision(t.Context())
					} else {
						_, err = store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put("k", nil)}})
					}
					if n == 10 {
						running <- struct{}{}
					}
					if errors.Is(err, registry.ErrUnavailable) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range cap(running) {
			<-running
		}
		s.Close()
		wg.Wait()
	}
}
