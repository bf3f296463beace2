package publish

import (
	"math"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// restored puts an older state of the registry in its place, with one site more, and waits
// until its cache shows that.
func (h *harness) restored(reg *memory.Store, backup *memory.Backup, domain string) {
	h.t.Helper()
	reg.Restore(backup)
	h.putSite(active("acme", domain, 1))
	for { // The cache notices the reset in its own time.
		view, err := h.regCache.Read(h.ctx)
		if _, ok := view.Get(resource.ForAccount("acme").Site(domain)); err == nil && ok {
			return
		}
	}
}

// TestAbandonAfterRestore abandons releases after an older backup took the registry's place.
// The cursor that this leaves counts in the history before, and nobody believes it.
func TestAbandonAfterRestore(t *testing.T) {
	for _, sealedSince := range []bool{false, true} {
		for _, elected := range []bool{false, true} {
			reg, edge := memory.New(memory.Config{}), memory.New(memory.Config{})
			h := newHarness(t, reg, edge, nil)
			h.putLimits(nil)
			h.putSite(active("acme", "old.test", 1))
			h.settle()
			backup := reg.Backup()
			for range 20 { // The history that is lost is a long one.
				h.putSite(active("acme", "old.test", 2))
			}
			h.settle()
			h.putSite(active("acme", "old.test", 3))
			h.settle()
			last := h.head(wire.Routine)
			h.restored(reg, backup, "later.test")
			if sealedSince {
				h.settle()
				if head := h.head(wire.Routine); head.GetRestartNumber() != last.GetLastNumber() || head.GetCursor() >= last.GetCursor() {
					t.Errorf("head %v after %v", head, last)
				}
			} else {
				h.settleChannel(wire.Urgent) // Only the others know yet.
			}
			abandoned := h.head(wire.Routine).GetRelease()
			h.abandon(wire.Routine, abandoned, false)
			if elected {
				h.elect()
			}
			h.settle()
			h.checkPublished(wire.Routine)
			if got := ids(h.documents(wire.Routine)); got != "site/later.test site/old.test" {
				t.Errorf("%q", got)
			}
			head, seen := h.head(wire.Routine), h.workers[wire.Routine].seen
			if head.GetCursor() != seen || head.GetRelease() <= abandoned {
				t.Errorf("sealed since: %v, elected: %v: %v, seen %d", sealedSince, elected, head, seen)
			}
			// And what is stored then is not taken for covered.
			if rev := h.putSite(active("acme", "more.test", 1)); rev <= head.GetCursor() {
				t.Errorf("revision %d is covered before it is published", rev)
			}
			h.settle()
			h.checkPublished(wire.Routine)
			h.stop()
			reg.Close()
			edge.Close()
		}
	}
}

// spoken is a fleet that says what a test wants.
type spoken struct {
	heard  bool
	newest int64
}

func (s *spoken) Heard() bool               { return s.heard }
func (s *spoken) Newest(wire.Channel) int64 { return s.newest }

// TestNumbersThatServersKnow checks that no number is given before the fleet was heard, none
// that it knows, and that nobody can use numbers up.
func TestNumbersThatServersKnow(t *testing.T) {
	fleet := &spoken{}
	h := memoryHarness(t, func(c *Config) { c.Fleet = fleet })
	h.putSite(active("acme", "a.test", 1))
	h.settle()
	numbered := func(want int64) {
		t.Helper()
		if got := h.head(wire.Routine).GetLastNumber(); got != want {
			t.Errorf("the last number is %d, want %d", got, want)
		}
	}
	numbered(0)
	fleet.heard, fleet.newest = true, 20
	h.settle()
	numbered(21)
	h.checkPublished(wire.Routine)
	fleet.newest = 40
	h.putSite(active("acme", "a.test", 2))
	h.settle()
	numbered(41)
	h.checkPublished(wire.Routine)
	fleet.newest = math.MaxInt64
	h.putSite(active("acme", "a.test", 3))
	h.settle()
	numbered(42)
	h.checkPublished(wire.Routine)
}
