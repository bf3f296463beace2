package publish

import (
	"fmt"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func benchHarness(b *testing.B, sites int) *harness {
	b.Helper()
	reg, edge := memory.New(memory.Config{}), memory.New(memory.Config{})
	h := newHarness(b, reg, edge, nil)
	b.Cleanup(func() { h.stop(); reg.Close(); edge.Close() })
	h.putLimits(nil)
	h.settle()
	h.gate.set(wire.Routine, false)
	for i := range sites {
		h.putSite(active("acme", fmt.Sprintf("s%06d.test", i), 1))
	}
	h.caughtUp()
	return h
}

// BenchmarkLargestRelease seals 8,000 sites at once.
func BenchmarkLargestRelease(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		h := benchHarness(b, MaxChanges)
		h.gate.set(wire.Routine, true)
		before := h.head(wire.Routine).GetRelease()
		b.StartTimer()
		for h.head(wire.Routine).GetRelease() == before {
			if _, err := h.workers[wire.Routine].step(h.ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkOneChange is one change from the registry to a sealed release.
func BenchmarkOneChange(b *testing.B) {
	h := benchHarness(b, 1000)
	h.gate.set(wire.Routine, true)
	h.settle()
	ttl := int32(2)
	b.ResetTimer()
	for b.Loop() {
		ttl++
		h.putSite(active("acme", "s000007.test", ttl))
		before := h.head(wire.Routine).GetRelease()
		for h.head(wire.Routine).GetRelease() == before {
			h.caughtUp()
			if _, err := h.workers[wire.Routine].step(h.ctx); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		h.ingest(wire.Routine)
		b.StartTimer()
	}
}

// BenchmarkTakeOver is what a new leader does before its first decision, and then in its
// sweep, with 20,000 sites that are published.
func BenchmarkTakeOver(b *testing.B) {
	h := benchHarness(b, 20_000)
	h.gate.set(wire.Routine, true)
	h.settle()
	w := h.workers[wire.Routine]
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			h.restart()
			w = h.workers[wire.Routine]
			if _, err := w.step(h.ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sweep", func(b *testing.B) {
		for b.Loop() {
			h.restart()
			w = h.workers[wire.Routine]
			for first := true; first || len(w.sweeping) > 0; first = false {
				if _, err := w.step(h.ctx); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
