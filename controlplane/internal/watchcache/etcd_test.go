package watchcache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func startEtcd(t testing.TB, dir string) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func etcdStore(t testing.TB, s *embedded.Server) *etcd.Store {
	t.Helper()
	client, err := etcd.Dial(t.Context(), etcd.ClientConfig{Endpoints: s.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return etcd.New(client, etcd.Config{
		RequestTimeout: time.Second, ProgressInterval: 50 * time.Millisecond, Silence: 500 * time.Millisecond,
	})
}

// TestOverEtcd has writers write through restarts and compactions of a real etcd while
// readers and a subscriber look at the cache. No view may miss an acknowledged write, and
// in the end cache, store and subscriber agree.
func TestOverEtcd(t *testing.T) {
	ctx := deadline(t)
	dir := t.TempDir()
	server := startEtcd(t, dir)
	store := etcdStore(t, server)
	cache := newCache(t, store, watchcache.Config{Prefix: "in/", PageSize: 7})
	replica := newReplica(ctx, cache, "in/")

	const writers, each = 2, 60
	written := make(chan struct{}, writers*each)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range each {
				key, value := fmt.Sprintf("in/%d/%d", i, n%10), fmt.Sprint(n)
				if err := insist(ctx, store, key, value); err != nil {
					t.Error(err)
					return
				}
				if err := checkSees(ctx, cache, key, value); err != nil {
					t.Error(err)
					return
				}
				written <- struct{}{}
			}
		})
	}
	for range 3 {
		for range writers * each / 4 {
			<-written
		}
		client := server.Client()
		rev, err := store.Revision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Compact(ctx, rev); err != nil && !strings.Contains(err.Error(), "compacted") {
			t.Fatal(err)
		}
		server.Close()
		server = startEtcd(t, dir)
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	view, err := cache.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkView(ctx, store, "in/", view); err != nil {
		t.Error(err)
	}
	if err := replica.reach(ctx, view.Revision()); err != nil {
		t.Fatal(err)
	}
	if err := replica.compare(view); err != nil {
		t.Error(err)
	}
}

// insist writes until the write is acknowledged.
func insist(ctx context.Context, s registry.Store, key, value string) error {
	for {
		_, err := s.Commit(ctx, registry.Txn{Then: []registry.Op{
			registry.Put(key, []byte(value)), registry.Put("out/"+key, nil),
		}})
		if err == nil || ctx.Err() != nil || !errors.Is(err, registry.ErrUnavailable) {
			return err
		}
	}
}

// checkSees reads until the cache is current, and then wants the value.
func checkSees(ctx context.Context, c *watchcache.Cache, key, want string) error {
	for {
		view, err := c.Read(ctx)
		if errors.Is(err, registry.ErrUnavailable) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		if kv, _ := view.Get(key); string(kv.Value) != want {
			return fmt.Errorf("the view at %d shows %q under %s, want %q", view.Revision(), kv.Value, key, want)
		}
		return nil
	}
}
