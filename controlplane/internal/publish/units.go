package publish

import (
	"cmp"
	"maps"
	"math"
	"slices"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// unit is a site or another unit that may differ from the head.
type unit struct {
	// first is the oldest revision that may not be in the chain yet, order the revision
	// that gives the unit its place.
	first, order int64
	changes      []change
	bytes        int
	// alone says that it may only be published alone, revert that only an operator's wish
	// to go back changes it, again that nothing was stored since it was last published.
	alone, revert, again bool
}

// never is later than any revision: what has it keeps no cursor waiting.
const never = math.MaxInt64

// maxBodies bounds the documents that are kept compiled until their release.
const maxBodies = 32 << 20

// dirty marks a unit to be looked at.
func (w *worker) dirty(name string, first, order int64) {
	u := w.todo[name]
	if u == nil {
		u = &unit{first: first, order: order}
		w.todo[name] = u
	}
	u.first, u.order, u.again = min(u.first, first), min(u.order, order), false
}

// look compiles every marked unit and compares it with the head.
func (w *worker) look() {
	for name, u := range w.todo {
		if old := w.pending[name]; old != nil {
			u.first, u.order, u.again = min(u.first, old.first), min(u.order, old.order), u.again && old.again
			w.forget(name)
		}
		w.compare(name, u)
		if len(u.changes) > 0 {
			w.keep(name, u)
		}
	}
	clear(w.todo)
}

func (w *worker) keep(name string, u *unit) {
	if w.bodies+u.bytes > maxBodies {
		for i := range u.changes {
			u.changes[i].body = nil // Compiled again when its turn comes.
		}
	} else {
		w.bodies += u.bytes
	}
	w.pending[name] = u
}

func (w *worker) forget(name string) {
	if u := w.pending[name]; u != nil {
		for _, c := range u.changes {
			w.bodies -= len(c.body)
		}
		delete(w.pending, name)
	}
}

// compare fills in what a unit changes at the head.
func (w *worker) compare(name string, u *unit) {
	u.changes, u.bytes, u.alone, u.revert = nil, 0, false, true
	docs, err := w.source.compile(w.view, name)
	if err != nil {
		if w.problems[name] != err.Error() {
			w.log.Error("a document does not compile and keeps its version", "unit", name, "error", err)
		}
		w.problems[name] = err.Error()
		return
	}
	delete(w.problems, name)
	for _, id := range w.source.documents(name) {
		want, body := find(docs, id)
		sum := w.holds.wanted(id, want)
		if sum != want {
			body = nil // A good version was published before, so its blob is stored.
		}
		before := w.books.docs[id]
		if sum == before {
			continue
		}
		u.changes = append(u.changes, change{id: id, old: before, wanted: sum, body: body})
		u.bytes += len(body)
		u.alone = u.alone || w.holds.alone(id, sum)
		u.revert = u.revert && sum != want && w.holds.suspects[id].revert
	}
}

func find(docs []compile.Document, id wire.DocumentID) (wire.Sum, []byte) {
	for _, d := range docs {
		if d.ID == id {
			return d.Sum, d.Bytes
		}
	}
	return wire.Sum{}, nil
}

// batch is what goes into one release.
type batch struct {
	cause edgev1.Manifest_Cause
	// again says that the units are published again.
	again   bool
	units   []string
	changes []change
	covered int64
}

// choose decides what to seal now, if anything. But for the genesis release, the rollout
// must know the head: only then is what it says of the first wave about this one.
func (w *worker) choose() (batch, bool) {
	if w.head.GetRelease() == 0 {
		return w.take(edgev1.Manifest_GENESIS, w.ordered(func(*unit) bool { return true })), true
	}
	if w.holds.taken < w.head.GetRelease() {
		return batch{}, false
	}
	if n, ok := w.cfg.Gate.Trial(w.channel); ok {
		return w.trial(n)
	}
	if len(w.pending) == 0 || !w.cfg.Gate.Ready(w.channel) {
		return batch{}, false
	}
	return w.ordinary(), true
}

// The classes of units that do not go together, in the order in which they take turns.
const (
	plain = iota
	alone
	again
	classes
)

func (u *unit) class() int {
	switch {
	case u.alone:
		return alone
	case u.again:
		return again
	}
	return plain
}

// ordinary fills a release with units of the class whose turn it is. What is published
// again, as after an upgrade of the compiler, goes in growing numbers: 1, 10, 100, …
func (w *worker) ordinary() batch {
	var names []string
	for names == nil {
		w.turn = (w.turn + 1) % classes
		names = w.ordered(func(u *unit) bool { return u.class() == w.turn })
	}
	switch w.turn {
	case alone:
		return w.take(edgev1.Manifest_RETRY, names[:1])
	case again:
		b := w.take(edgev1.Manifest_CHANGES, names[:min(len(names), w.burst)])
		b.again = true
		return b
	}
	b := w.take(edgev1.Manifest_CHANGES, names)
	if !slices.ContainsFunc(b.units, func(name string) bool { return !w.pending[name].revert }) {
		b.cause = edgev1.Manifest_REVERT
	}
	return b
}

// ordered returns the waiting units that match, in the order of the registry.
func (w *worker) ordered(match func(*unit) bool) []string {
	var names []string
	for name, u := range w.pending {
		if match(u) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(w.pending[a].order, w.pending[b].order), cmp.Compare(a, b))
	})
	return names
}

// take fills a release with units, in their order, up to its bounds. One unit always fits.
func (w *worker) take(cause edgev1.Manifest_Cause, names []string) batch {
	b := batch{cause: cause}
	size := 0
	for _, name := range names {
		u := w.pending[name]
		full := len(b.changes)+len(u.changes) > w.cfg.MaxChanges || size+u.bytes > w.cfg.MaxBytes
		if full && len(b.units) > 0 {
			break
		}
		size += u.bytes
		b.units = append(b.units, name)
		b.changes = append(b.changes, w.bodied(name, u)...)
	}
	b.covered = w.coverage(b.units)
	return b
}

// bodied returns a unit's changes with their documents, compiled again where they were not
// kept. The view is the one that they were compared in, or the worker looked again.
func (w *worker) bodied(name string, u *unit) []change {
	if !slices.ContainsFunc(u.changes, func(c change) bool { return c.body == nil && !c.wanted.IsZero() }) {
		return u.changes
	}
	docs, err := w.source.compile(w.view, name)
	if err != nil {
		return u.changes // It can't fail now; if it does, the blob is missed and said so.
	}
	out := slices.Clone(u.changes)
	for i := range out {
		if sum, body := find(docs, out[i].id); sum == out[i].wanted {
			out[i].body = body
		}
	}
	return out
}

// coverage is the revision that is covered once the named units are in the chain.
func (w *worker) coverage(taken []string) int64 {
	covered := w.seen
	without := make(map[string]struct{}, len(taken))
	for _, name := range taken {
		without[name] = struct{}{}
	}
	for name, u := range w.pending {
		if _, ok := without[name]; !ok && u.first != never {
			covered = min(covered, u.first-1)
		}
	}
	return max(covered, w.cursor())
}

// trial is the release that the bisection wants: the suspected versions of its group that
// the registry still wants, and nothing else. It covers nothing new.
func (w *worker) trial(number int64) (batch, bool) {
	if number != w.holds.number {
		return batch{}, false // The stored state is behind or ahead; it will tell.
	}
	b := batch{cause: edgev1.Manifest_TRIAL, covered: w.cursor()}
	for _, id := range slices.SortedFunc(maps.Keys(w.holds.trial), wire.DocumentID.Compare) {
		docs, err := w.source.compile(w.view, w.source.unit(id))
		if err != nil {
			continue
		}
		sum, body := find(docs, id)
		if bad := w.holds.trial[id]; sum == bad && w.books.docs[id] != bad {
			b.changes = append(b.changes, change{id: id, old: w.books.docs[id], wanted: bad, body: body})
		}
	}
	if len(b.changes) > 0 {
		return b, true
	}
	w.cfg.Gate.TrialEmpty(w.channel, number)
	return batch{}, false
}
