package incidents_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// 2025-10-29: a configuration passed all health gates and crashed the data planes minutes
// later, asynchronously; by then it was last known good as well, so rolling back to that did
// not help.
func TestLateCrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0.1, controlplanetest.SmallFleet(t, 7))
	w.onboard("late.test", "calm.test")
	w.op.OK(http.MethodPatch, "/v1/channels/routine", `{"soak": "600s"}`)
	// The crash comes long after the last gate, on this machine as it is now.
	began := time.Now()
	w.change("calm.test", 1028)
	w.live("calm.test")
	after := max(4*time.Since(began), 4*time.Second)
	if soak() {
		after = time.Minute
	}

	w.replay("2025-10-29", func(w *world) {
		was := w.op.Get("/v1/channels/routine")
		o := w.watch(wire.Routine)
		w.cp.Bug("late", "site/late.test", "CRASH_LATER", fmt.Sprintf("%.3fs", after.Seconds()))
		w.change("late.test", 1029)
		w.live("late.test")
		if o.harmed() {
			w.t.Fatal("the crash came before the last gate passed, which is another story")
		}
		bad := w.op.Get("/v1/channels/routine").Int("live")
		if bad <= was.Int("live") {
			w.t.Fatalf("release %d is live after %d", bad, was.Int("live"))
		}
		w.blamed("late.test")
		// Others go on meanwhile.
		w.change("calm.test", 1029)
		w.live("calm.test")
		w.cp.Converged()
		out := o.end()
		o.undone(out, "site/late.test")
		if !out.bad[bad] {
			w.t.Errorf("release %d, which crashed the fleet, was not abandoned: %v", bad, out.bad)
		}
		if r := w.op.Get("/v1/channels/routine"); r.Int("lastKnownGood") >= bad && out.bad[r.Int("lastKnownGood")] {
			w.t.Errorf("last known good is %d", r.Int("lastKnownGood"))
		}
		// The search for the culprit crashed the first wave only, and only once more.
		for _, again := range out.rounds[1:] {
			if len(again.hurt) != 1 || again.hurt[0] != w.cp.FirstWave("routine") {
				w.t.Errorf("releases %v of the search hurt %v", again.released, again.hurt)
			}
		}
	})
}
