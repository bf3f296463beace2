package incidents_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Disasters that came from generated files and from operators, on the fast path of their
// time: here there is none.
func TestPlatformChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0.1, controlplanetest.SmallFleet(t, 7))
	w.onboard("flap.test", "calm.test")

	// 2025-06-12: policy with blank fields was replicated to every region within seconds, and
	// crashed what read it everywhere.
	w.replay("2025-06-12", func(w *world) {
		// No generator writes what the edge reads past the checks of everybody's changes.
		if reason := w.refused("/v1/limits?updateMask=maxRulesPerSite", `{"maxRulesPerSite": 0}`); reason != "INVALID_FIELD" {
			w.t.Errorf("blank limits are refused as %s", reason)
		}
		o := w.watch(wire.Platform)
		w.cp.Bug("policy", "limits/edge", "CRASH", "")
		w.op.OK(http.MethodPatch, "/v1/limits", `{"maxRulesPerSite": 9000}`)
		w.op.OK(http.MethodPatch, "/v1/apps/async-js", `{"description": "Defers scripts."}`)
		w.change("calm.test", 612)
		w.live("calm.test")
		w.cp.Eventually("the limits are in quarantine", func() bool { return w.quarantine("limits/edge") != nil })
		w.cp.Eventually("the app of nobody's harm is live", func() bool { return w.carried("app/async-js") })
		w.cp.Converged()
		o.contained(o.end(), "limits/edge")
		w.mended("policy")
	})

	// 2025-12-05: a kill switch, which skipped the gradual way of everything else, set off a
	// bug of what it switched off, and a quarter of all traffic failed.
	w.replay("2025-12-05", func(w *world) {
		o := w.watch(wire.Platform)
		w.cp.Bug("switch", "app/minify", "CRASH", "")
		w.op.OK(http.MethodPatch, "/v1/apps/minify", `{"killed": true}`)
		w.op.OK(http.MethodPatch, "/v1/apps/analytics-tag", `{"description": "Puts a tag into pages."}`)
		w.change("calm.test", 1205)
		w.live("calm.test")
		w.cp.Eventually("the kill switch is in quarantine", func() bool { return w.quarantine("app/minify") != nil })
		w.cp.Eventually("the other app is live", func() bool { return w.carried("app/analytics-tag") })
		w.cp.Converged()
		o.contained(o.end(), "app/minify")
		w.mended("switch")
	})

	// 2025-11-18: a generated file came out at twice its size, with good and bad ones in turn
	// as the query hit the one or the other part of a cluster, and crashed the proxies.
	w.replay("2025-11-18", func(w *world) {
		flaps := 5
		if soak() {
			flaps = 50
		}
		generated := func(features, n int) string {
			var list []string
			for i := range features {
				list = append(list, fmt.Sprintf(`"/feature-%d-%d"`, n, i))
			}
			return fmt.Sprintf(`{"enabled": true, "settings": {"exclude": [%s]}}`, strings.Join(list, ", "))
		}
		app := path("flap.test") + "/apps/async-js"
		w.op.OK(http.MethodPatch, app, generated(50, 0))
		w.live("flap.test")
		o := w.watch(wire.Routine)
		for n := range flaps {
			began := time.Now()
			w.cp.Bug("size", "site/flap.test", "CRASH", "")
			w.op.OK(http.MethodPatch, app, generated(100, 2*n+1))
			w.change("calm.test", 1118+n)
			w.cp.Eventually("the bad file hurts", func() bool { return slices.ContainsFunc(w.log.since(began), entry.harm) })
			if n == flaps-1 {
				break
			}
			// The simulated bug knows a name and not what is in the file: a good one must not
			// be on its way when the next bad one comes.
			w.mended("size")
			w.op.OK(http.MethodPatch, app, generated(50, 2*n+2))
			w.live("calm.test")
			w.cp.Converged()
		}
		w.blamed("flap.test")
		w.live("calm.test")
		w.cp.Converged()
		o.contained(o.end(), "site/flap.test")
		// Whoever makes the file mends it.
		w.mended("size")
		w.op.OK(http.MethodPatch, app, generated(50, 2*flaps))
		w.live("flap.test")
	})
}

// carried says whether the newest release of the platform channel that has a document is
// live.
func (w *world) carried(document string) bool {
	for _, r := range w.cp.Releases("platform") {
		for _, c := range r.Objects("changes") {
			if c.Text("document") == document && r.Text("state") != "ABANDONED" {
				return r.Text("state") == "LIVE" || r.Text("state") == "GOOD"
			}
		}
	}
	return false
}
