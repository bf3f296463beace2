package watchcache

import (
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Decoded remembers the messages that values decode to, so that a value that is read often
// is decoded once. It holds between half of its bound and the whole of it; what was not read
// for longest is forgotten first, about. Methods may be called concurrently.
type Decoded[M proto.Message] struct {
	half int

	mu sync.Mutex
	// young takes what is read; when it is full, it becomes old, and what old held is
	// forgotten unless it was read meanwhile.
	young, old map[string]decoded[M]
}

type decoded[M proto.Message] struct {
	revision int64
	message  M
}

// NewDecoded makes a Decoded that holds at most bound messages; at least 2.
func NewDecoded[M proto.Message](bound int) *Decoded[M] {
	return &Decoded[M]{half: max(bound/2, 1), young: map[string]decoded[M]{}}
}

// Of returns what kv's value decodes to. The message is shared: nobody may change it.
func (d *Decoded[M]) Of(kv registry.KV) (M, error) {
	if m, ok := d.find(kv); ok {
		return m, nil
	}
	var zero M
	m, _ := zero.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return zero, err
	}
	d.keep(kv.Key, decoded[M]{kv.ModRevision, m})
	return m, nil
}

func (d *Decoded[M]) find(kv registry.KV) (M, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.young[kv.Key]
	if !ok {
		if found, ok = d.old[kv.Key]; ok {
			d.add(kv.Key, found)
		}
	}
	return found.message, ok && found.revision == kv.ModRevision
}

func (d *Decoded[M]) keep(key string, m decoded[M]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.add(key, m)
}

// add is for whoever holds the lock.
func (d *Decoded[M]) add(key string, m decoded[M]) {
	d.young[key] = m
	if len(d.young) > d.half {
		d.old, d.young = d.young, map[string]decoded[M]{}
	}
}
