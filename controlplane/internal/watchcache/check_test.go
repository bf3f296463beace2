package watchcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// checkView compares a view with what the store itself lists at the same revision.
func checkView(ctx context.Context, store registry.Store, prefix string, v watchcache.View) error {
	var want []registry.KV
	req := registry.ListRequest{Prefix: prefix, Revision: v.Revision()}
	for {
		page, err := store.List(ctx, req)
		if err != nil {
			return fmt.Errorf("list at %d: %w", v.Revision(), err)
		}
		want = append(want, page.KVs...)
		if !page.More {
			break
		}
		req.After = page.KVs[len(page.KVs)-1].Key
	}
	got, more := v.List(prefix, "", 0)
	if more || !slices.EqualFunc(got, want, sameKV) {
		return fmt.Errorf("at revision %d the cache holds %v, the store %v", v.Revision(), got, want)
	}
	for _, kv := range want {
		if one, ok := v.Get(kv.Key); !ok || !sameKV(one, kv) {
			return fmt.Errorf("get %s: %+v, want %+v", kv.Key, one, kv)
		}
	}
	return nil
}

func sameKV(a, b registry.KV) bool {
	return a.Key == b.Key && bytes.Equal(a.Value, b.Value) && a.CreateRevision == b.CreateRevision &&
		a.ModRevision == b.ModRevision && a.Lease == b.Lease
}

// replica is a subscriber: it rebuilds the content from the events alone and must agree
// with the cache at every revision it stands at.
type replica struct {
	cache  *watchcache.Cache
	prefix string
	kvs    map[string]registry.KV
	sub    *watchcache.Subscription
	lagged int
}

func newReplica(ctx context.Context, cache *watchcache.Cache, prefix string) *replica {
	r := &replica{cache: cache, prefix: prefix}
	r.reread(ctx)
	return r
}

func (r *replica) reread(ctx context.Context) {
	v := r.cache.Cached()
	r.kvs = map[string]registry.KV{}
	v.Ascend(r.prefix, func(kv registry.KV) bool {
		r.kvs[kv.Key] = kv
		return true
	})
	r.sub = r.cache.SubscribeFrom(ctx, r.prefix, v)
}

// reach catches up until at least a revision that the cache has shown: subscribers learn of
// a revision right after readers do.
func (r *replica) reach(ctx context.Context, revision int64) error {
	for {
		wait := r.sub.Wait()
		if err := r.catchUp(ctx); err != nil || r.sub.Revision() >= revision {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// catchUp applies what is there.
func (r *replica) catchUp(ctx context.Context) error {
	now, cancel := context.WithCancel(ctx)
	cancel()
	for {
		before := r.sub.Revision()
		batch, err := r.sub.Next(now)
		var lagged *watchcache.LaggedError
		switch {
		case errors.As(err, &lagged):
			r.lagged++
			r.reread(ctx)
			continue
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return err
		}
		last := before
		for _, ev := range batch.Events {
			if ev.ModRevision <= before || ev.ModRevision < last || ev.ModRevision > batch.Revision {
				return fmt.Errorf("event of revision %d after %d in a batch (%d, %d]",
					ev.ModRevision, last, before, batch.Revision)
			}
			last = ev.ModRevision
			if ev.Deleted {
				delete(r.kvs, ev.Key)
			} else {
				r.kvs[ev.Key] = ev.KV
			}
		}
	}
}

func (r *replica) compare(v watchcache.View) error {
	want := map[string]registry.KV{}
	v.Ascend(r.prefix, func(kv registry.KV) bool {
		want[kv.Key] = kv
		return true
	})
	if !maps.EqualFunc(r.kvs, want, sameKV) {
		return fmt.Errorf("at revision %d the subscriber holds %v, the cache %v", v.Revision(), r.kvs, want)
	}
	return nil
}
