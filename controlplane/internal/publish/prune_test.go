package publish

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// pruning is a store from which somebody takes blobs that no manifest names, at the worst
// moment: when the manifest that names them is on its way.
type pruning struct {
	registry.Store
	h     *harness
	times int
	taken int
}

func (s *pruning) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	sealing := false
	for _, op := range txn.Then {
		sealing = sealing || strings.HasPrefix(op.Key, wire.ReleasePrefix(wire.Routine))
	}
	if sealing && s.times > 0 {
		s.times--
		named := map[string]bool{}
		for _, c := range wire.Channels() {
			for _, sum := range s.h.documents(c) {
				named[wire.BlobKey(sum)] = true
			}
		}
		page, err := s.List(ctx, registry.ListRequest{Prefix: wire.BlobPrefix})
		if err != nil {
			return 0, err
		}
		for _, kv := range page.KVs {
			if !named[kv.Key] {
				s.h.putEdge(registry.Delete(kv.Key))
				s.taken++
			}
		}
	}
	return s.Store.Commit(ctx, txn)
}

// TestBlobsPrunedWhileSealing checks that no manifest is stored without its documents,
// whenever somebody prunes: those that it just made, and those that lay there.
func TestBlobsPrunedWhileSealing(t *testing.T) {
	s := &pruning{}
	h := memoryHarness(t, func(c *Config) {
		s.Store = c.Edge
		c.Edge = s
	})
	s.h = h
	h.settle()
	h.putSite(active("acme", "old.test", 1))
	h.settle()
	h.caughtUp()
	docs, err := sourceOf(wire.Routine).compile(h.regCache.Cached(), "old.test")
	if err != nil {
		t.Fatal(err)
	}
	h.putSite(active("acme", "old.test", 2))
	h.settle()
	// Its first version comes again, and its blob lies there still.
	if _, err := h.edge.Get(t.Context(), wire.BlobKey(docs[0].Sum)); err != nil {
		t.Fatal(err)
	}
	s.times = 2
	h.putSite(active("acme", "old.test", 1))
	h.putSite(active("acme", "new.test", 1))
	h.settle()
	if s.times != 0 || s.taken < 2 {
		t.Errorf("blobs were taken %d times too few, %d of them", s.times, s.taken)
	}
	h.checkPublished(wire.Routine)
}

// good plays the rollout: the newest release is last known good.
func (h *harness) good(c wire.Channel) {
	h.t.Helper()
	rec := h.rollout(c)
	rec.LastKnownGood = rec.GetLastNumber()
	h.putEdge(record(h.t, ledger.RolloutKey(c), rec))
}

// TestBaseFollowsChanges checks that a base is written sooner where much changed since.
func TestBaseFollowsChanges(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	w := h.workers[wire.Routine]
	h.putSite(active("acme", "s.test", 1))
	h.settle()
	h.good(wire.Routine)
	h.settle()
	if w.base != 1 {
		t.Fatalf("a base of release %d for two documents", w.base)
	}
	for i := range BaseChanges {
		h.putSite(active("acme", fmt.Sprintf("s%d.test", i), 1))
	}
	h.settle()
	h.good(wire.Routine)
	h.settle()
	if head := h.head(wire.Routine).GetRelease(); w.base != head || len(w.books.since) != 0 {
		t.Errorf("a base of release %d, %d since; the head is %d", w.base, len(w.books.since), head)
	}
}

// TestBaseWhereTheStoreIsFull checks that a store that is too full for releases still gets
// the base without which nothing can be pruned.
func TestBaseWhereTheStoreIsFull(t *testing.T) {
	full := &smallStore{}
	h := memoryHarness(t, func(c *Config) {
		full.Store = c.Edge
		c.Edge = full
	})
	h.settle()
	h.putSite(active("acme", "a.test", 1))
	h.settle()
	h.good(wire.Routine)
	full.size = 900
	h.clock.Advance(baseInterval)
	h.putSite(active("acme", "b.test", 1))
	h.settle()
	w := h.workers[wire.Routine]
	if head := h.head(wire.Routine).GetRelease(); head != 2 || w.base != 2 || w.stopped == "" {
		t.Errorf("head %d, base %d, stopped %q", head, w.base, w.stopped)
	}
}

// TestHeldIn checks that the good versions of suspects and quarantines are told, and the
// releases that brought the bad ones.
func TestHeldIn(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	h.putSite(active("acme", "a.test", 1))
	h.settle()
	h.putSite(active("acme", "a.test", 2))
	h.settle()
	h.abandon(wire.Routine, 3, true)
	h.caughtUp()
	held, err := HeldIn(h.control.Cached(), wire.Routine)
	if err != nil {
		t.Fatal(err)
	}
	good := h.documents(wire.Routine)
	for _, sum := range held.Good {
		if fmt.Sprint(sum) != fmt.Sprint(good["site/a.test"]) {
			t.Errorf("%v is held, %v serve", sum, good)
		}
	}
	if len(held.Good) != 1 || len(held.Releases) != 1 || held.Releases[0] != 3 {
		t.Errorf("held: %+v", held)
	}
}
