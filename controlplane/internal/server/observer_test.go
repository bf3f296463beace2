package server

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/clock"
)

// TestSteady: time that goes on is steady, and a time of day that is set is not.
func TestSteady(t *testing.T) {
	machine := clockwork.NewFakeClock()
	day, err := clock.OpenShifted(machine, filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	o := newObserver(nil, machine, day)
	for range 3 {
		machine.Advance(time.Hour)
		if got := o.Steady(); !got.IsZero() {
			t.Fatalf("time went on, and is steady since %v", got)
		}
	}
	if err := day.AdvanceTo(t.Context(), day.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	set := day.Now()
	for range 3 {
		if got := o.Steady(); !got.Equal(set) {
			t.Errorf("steady since %v, not %v", got, set)
		}
		machine.Advance(time.Hour)
	}
}
