package watchcache

import (
	"strings"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// View is the content of the cached prefix at one revision. It is cheap to copy, never
// changes, and may be used concurrently and for as long as wanted, though it keeps old
// values in memory. The zero View is empty.
type View struct {
	snapshot *snapshot
	age      time.Duration
}

// Revision is the revision that the view shows.
func (v View) Revision() int64 {
	if v.snapshot == nil {
		return 0
	}
	return v.snapshot.revision
}

// Age is how long ago, when the view was taken, its content was last known to be current.
func (v View) Age() time.Duration { return v.age }

// Len is the number of keys.
func (v View) Len() int {
	if v.snapshot == nil {
		return 0
	}
	return v.snapshot.tree.Len()
}

// Get returns the value of key.
func (v View) Get(key string) (registry.KV, bool) {
	if v.snapshot == nil {
		return registry.KV{}, false
	}
	it, ok := v.snapshot.tree.Get(item{key: key})
	if !ok {
		return registry.KV{}, false
	}
	return *it.kv, true
}

// Ascend calls visit for each key below prefix, in byte order, until visit returns false.
func (v View) Ascend(prefix string, visit func(registry.KV) bool) {
	v.ascendFrom(prefix, prefix, visit)
}

// List returns up to limit keys below prefix that follow the key after, in byte order, and
// whether more follow. A limit of zero or less means all.
func (v View) List(prefix, after string, limit int) (kvs []registry.KV, more bool) {
	v.ascendFrom(prefix, max(prefix, after), func(kv registry.KV) bool {
		if after != "" && kv.Key <= after {
			return true
		}
		if limit > 0 && len(kvs) == limit {
			more = true
			return false
		}
		kvs = append(kvs, kv)
		return true
	})
	return kvs, more
}

func (v View) ascendFrom(prefix, from string, visit func(registry.KV) bool) {
	if v.snapshot == nil {
		return
	}
	v.snapshot.tree.AscendGreaterOrEqual(item{key: from}, func(it item) bool {
		return strings.HasPrefix(it.key, prefix) && visit(*it.kv)
	})
}
