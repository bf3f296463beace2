package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// books are the documents of a channel at one release.
type books struct {
	release int64
	docs    map[wire.DocumentID]wire.Sum
	hash    wire.StateHash
	// since are the releases between the base and there, oldest first.
	since []step
}

// step is one release of the way from the base, and how many documents it changes.
type step struct {
	release int64
	changes int
}

func newBooks() *books { return &books{docs: map[wire.DocumentID]wire.Sum{}} }

func (b *books) clone() *books {
	return &books{release: b.release, docs: maps.Clone(b.docs), hash: b.hash, since: slices.Clone(b.since)}
}

func (b *books) set(c wire.Channel, id wire.DocumentID, before, after wire.Sum) {
	b.hash = b.hash.Replace(c, id, before, after)
	if after.IsZero() {
		delete(b.docs, id)
		return
	}
	b.docs[id] = after
}

// apply makes the changes of a release, whose parent the books must be at.
func (b *books) apply(c wire.Channel, m *manifest) error {
	for _, ch := range m.changes {
		if b.docs[ch.id] != ch.old {
			return fmt.Errorf("publish: release %s %d changes %v from another version than its parent has", c, m.number, ch.id)
		}
		b.set(c, ch.id, ch.old, ch.wanted)
	}
	if b.hash != m.hash {
		return fmt.Errorf("publish: release %s %d has another state hash", c, m.number)
	}
	b.release = m.number
	b.since = append(b.since, step{m.number, len(m.changes)})
	return nil
}

// revert undoes the release that the books are at.
func (b *books) revert(c wire.Channel, m *manifest) {
	for _, ch := range m.changes {
		b.set(c, ch.id, ch.wanted, ch.old)
	}
	b.release = m.parent
	b.since = slices.DeleteFunc(b.since, func(s step) bool { return s.release == m.number })
}

// moveTo brings the books to a release, by way of the newest ancestor that both have, and
// calls visit for every document on the way. Nothing is changed when it fails.
func (w *worker) moveTo(ctx context.Context, to int64, visit func(wire.DocumentID)) error {
	next := w.books
	var forward []*manifest
	var back []*manifest
	a, b := next.release, to
	for a != b {
		n := max(a, b)
		m, err := w.readManifest(ctx, n)
		if err != nil {
			return err
		}
		if a > b {
			back = append(back, m)
			a = m.parent
		} else {
			forward = append(forward, m)
			b = m.parent
		}
	}
	for _, m := range back {
		next.revert(w.channel, m)
		for _, ch := range m.changes {
			visit(ch.id)
		}
	}
	for _, m := range slices.Backward(forward) {
		if err := next.apply(w.channel, m); err != nil {
			w.books = nil // Half way: they are put together anew.
			return err
		}
		for _, ch := range m.changes {
			visit(ch.id)
		}
	}
	return nil
}

// rebuild puts the books together from the base and the manifests since.
func (w *worker) rebuild(ctx context.Context, to int64) error {
	w.books = newBooks()
	w.base = 0
	if to == 0 {
		return nil
	}
	start, err := w.readBase(ctx)
	if err != nil {
		return err
	}
	if start != nil {
		w.books, w.base = start, start.release
	}
	err = w.moveTo(ctx, to, func(wire.DocumentID) {})
	if err != nil {
		w.books = nil
	}
	return err
}

// controlView returns a view of control/ that is not older than anything this worker knows.
func (w *worker) controlView(ctx context.Context) (watchcache.View, error) {
	cache := w.cfg.ControlCache
	if cache.Cached().Revision() < w.atLeast {
		if err := cache.WaitRevision(ctx, w.atLeast); err != nil {
			return watchcache.View{}, err
		}
	}
	// The events only wake; the view has everything.
	if w.control != nil && drain(ctx, w.control, nil) == nil {
		return cache.Cached(), nil
	}
	view, err := cache.Read(ctx)
	if err != nil {
		return watchcache.View{}, err
	}
	w.control = cache.SubscribeFrom(ctx, controlPrefix, view)
	return view, nil
}

// syncHead brings head, books and holds to one revision of control/ that is not older than
// anything this worker knows. Documents that must be looked at again are marked.
func (w *worker) syncHead(ctx context.Context) error {
	view, err := w.controlView(ctx)
	if err != nil {
		return err
	}
	head, revision := &storev1.HeadRecord{}, int64(0)
	if kv, ok := view.Get(headKey(w.channel)); ok {
		revision = kv.ModRevision
	}
	if _, err := load(view, headKey(w.channel), head); err != nil {
		return err
	}
	next, err := loadHolds(view, w.channel, w.holds)
	if err != nil {
		return err
	}
	if w.books == nil {
		if err := w.rebuild(ctx, head.GetRelease()); err != nil {
			return err
		}
		w.scanned = false
	}
	// What an abandoned release had is to be covered again.
	moved := func(id wire.DocumentID) { w.dirty(w.source.unit(id), head.GetCursor()+1, head.GetCursor()+1) }
	if w.books.release != head.GetRelease() {
		w.log.Info("the head moved", "from", w.books.release, "to", head.GetRelease())
		if err := w.moveTo(ctx, head.GetRelease(), moved); err != nil {
			if errors.Is(err, errNoManifest) {
				w.books = nil
			}
			return err
		}
		if head.GetRelease() <= head.GetRestartNumber() {
			w.scanned = false // Its cursor may count in another history.
		}
	}
	w.head, w.headRevision = head, revision
	if next != w.holds {
		// The cursor passed what was held, and need not wait for it now.
		next.differing(w.holds, func(id wire.DocumentID) { w.dirty(w.source.unit(id), never, head.GetCursor()+1) })
		w.holds = next
	}
	return nil
}
