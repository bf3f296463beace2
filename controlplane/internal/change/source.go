package change

import (
	"context"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// View is a consistent state of everything below [Config].CachedPrefix.
type View interface {
	Get(key string) (registry.KV, bool)
	List(prefix, after string, limit int) (kvs []registry.KV, more bool)
	Revision() int64
}

// Source gives views: the newest that is at hand, and one that is linearizable.
type Source interface {
	Cached() View
	Read(ctx context.Context) (View, error)
}

// FromCache makes a Source of a cache.
func FromCache(c *watchcache.Cache) Source { return cacheSource{c} }

type cacheSource struct{ cache *watchcache.Cache }

func (s cacheSource) Cached() View { return s.cache.Cached() }

func (s cacheSource) Read(ctx context.Context) (View, error) {
	v, err := s.cache.Read(ctx)
	if err != nil {
		// Not v: an interface that holds an empty view is not nil.
		return nil, err
	}
	return v, nil
}
