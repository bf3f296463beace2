package clock_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/clock"
)

func TestShiftedGoesForwardAndIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	base := clockwork.NewFakeClock()
	c, err := clock.OpenShifted(base, path)
	if err != nil {
		t.Fatal(err)
	}
	start := base.Now()
	if !c.Now().Equal(start) {
		t.Fatalf("a new clock is off by %v", c.Now().Sub(start))
	}
	if err := c.AdvanceTo(t.Context(), start.Add(30*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := c.AdvanceTo(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	base.Advance(time.Second)
	again, err := clock.OpenShifted(base, path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*clock.Shifted{"same": c, "opened again": again} {
		if got, want := c.Now().Sub(start), 30*24*time.Hour+time.Second; got != want {
			t.Errorf("%s: clock moved by %v, want %v", name, got, want)
		}
	}
}
