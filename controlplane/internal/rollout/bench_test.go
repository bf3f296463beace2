package rollout

import (
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// BenchmarkStep is one step over a fleet of 23 with nothing to do and some releases that
// soak: what every report of a server costs.
func BenchmarkStep(b *testing.B) {
	s := newSim(b, codes(23)...)
	s.run(time.Second)
	for i := range 8 {
		s.change(site(i), 1)
		s.run(1500 * time.Millisecond)
	}
	o := s.observe()
	b.ReportMetric(float64(len(s.chain(wire.Routine).Releases)), "releases")
	for b.Loop() {
		Step(s.state, o)
	}
}

// BenchmarkRecord is what it costs to see whether a step must be stored.
func BenchmarkRecord(b *testing.B) {
	s := newSim(b, codes(23)...)
	s.run(time.Second)
	for i := range 8 {
		s.change(site(i), 1)
		s.run(1500 * time.Millisecond)
	}
	for b.Loop() {
		for i := range s.state.Chains {
			if _, err := durable(&s.state.Chains[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
