package watchcache

import (
	"sort"
	"strings"
	"sync"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// ring keeps the newest events for subscribers. It is bounded by the number of events and
// by their bytes; the oldest entries make room.
type ring struct {
	maxEvents, maxBytes int

	mu            sync.Mutex
	entries       []entry
	events, bytes int
	// floor is the oldest revision after which nothing is missing; newest is the revision
	// up to which everything is known.
	floor, newest int64
	// generation is the one of the events: revisions of different ones do not compare.
	generation int64
	// changed is closed, and replaced, when anything above changes.
	changed chan struct{}
}

// entry holds the events of one revision, or of a gap that ends with it.
type entry struct {
	revision int64
	events   []registry.Event
	bytes    int
}

func newRing(maxEvents, maxBytes int) *ring {
	return &ring{maxEvents: maxEvents, maxBytes: maxBytes, changed: make(chan struct{})}
}

// append adds events of one or several revisions.
func (r *ring) append(newest int64, events []registry.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(events) > 0 {
		n, rev := 1, events[0].ModRevision
		for n < len(events) && events[n].ModRevision == rev {
			n++
		}
		r.add(entry{revision: rev, events: events[:n:n]})
		events = events[n:]
	}
	r.advance(newest)
}

// appendJoined adds events that only together lead from the newest revision to another.
func (r *ring) appendJoined(newest int64, events []registry.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(events) > 0 {
		r.add(entry{revision: newest, events: events})
	}
	r.advance(newest)
}

// reset forgets everything, and begins anew at a revision.
func (r *ring) reset(generation, revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.events, r.bytes = nil, 0, 0
	r.floor = revision
	r.generation = generation
	r.advance(revision)
}

// known is the revision up to which everything is known.
func (r *ring) known() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

func (r *ring) add(e entry) {
	for _, ev := range e.events {
		e.bytes += len(ev.Key) + len(ev.Value)
	}
	r.entries = append(r.entries, e)
	r.events += len(e.events)
	r.bytes += e.bytes
	for r.events > r.maxEvents || r.bytes > r.maxBytes {
		r.floor = r.entries[0].revision
		r.events -= len(r.entries[0].events)
		r.bytes -= r.entries[0].bytes
		r.entries[0] = entry{} // lets go of the values
		r.entries = r.entries[1:]
	}
}

func (r *ring) advance(newest int64) {
	r.newest = newest
	close(r.changed)
	r.changed = make(chan struct{})
}

// read returns the next events below prefix after a revision, at most about limit but never
// part of a revision. Without any, it returns a channel that is closed when it is worth
// reading again.
func (r *ring) read(generation, after int64, prefix string, limit int) (registry.Batch, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if generation > r.generation { // of a view so new that the ring follows in a moment
		return registry.Batch{Revision: after}, r.changed, nil
	}
	if generation < r.generation {
		return registry.Batch{}, nil, &LaggedError{Oldest: r.floor, Reset: true}
	}
	if after < r.floor {
		return registry.Batch{}, nil, &LaggedError{Oldest: r.floor}
	}
	batch := registry.Batch{Revision: max(after, r.newest)}
	first := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].revision > after })
	for _, e := range r.entries[first:] {
		if len(batch.Events) >= limit {
			break
		}
		for _, ev := range e.events {
			if strings.HasPrefix(ev.Key, prefix) {
				batch.Events = append(batch.Events, ev)
			}
		}
		if len(batch.Events) >= limit {
			batch.Revision = e.revision
		}
	}
	return batch, r.changed, nil
}

func (r *ring) currentGeneration() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation
}
