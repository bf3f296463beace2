package edge_test

import (
	"testing"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestNewestRelease checks that a server that went back tells which numbers it knows, also
// after it started anew.
func TestNewestRelease(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, version := range []string{"1", "2", "3"} {
		w.release(wire.Routine, site("a", version))
	}
	w.target(wire.Routine, 1)
	for range 2 {
		if r := w.reports.AwaitRelease(server, wire.Routine, 1); r.GetNewestRelease() != 3 {
			t.Errorf("serving 1, the newest is %d", r.GetNewestRelease())
		}
		w.restart(nil)
	}
	if r := w.reports.AwaitRelease(server, wire.Urgent, 0); r.GetNewestRelease() != 0 {
		t.Errorf("the newest of nothing is %d", r.GetNewestRelease())
	}
}
