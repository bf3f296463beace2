package incidents_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Disasters that a customer's setting, or one made for a customer, set off.
func TestTenantChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0.1, controlplanetest.SmallFleet(t, 7))
	tenants := make([]string, 6)
	if soak() {
		tenants = make([]string, 100)
	}
	for i := range tenants {
		tenants[i] = fmt.Sprintf("tenant%d.test", i)
	}
	w.onboard(append(tenants, "router.test", "regex.test", "latent.test")...)

	// 2013-03-03: a rule to drop packets of 99,971 to 99,985 bytes went to the routers of all
	// 23 data centers at once, exhausted their memory, and 785,000 sites were dark for an hour.
	w.replay("2013-03-03", func(w *world) {
		rule := func(shortest, longest int) string {
			return fmt.Sprintf(`{"packetRules": [{"protocol": "TCP", "minLength": %d, "maxLength": %d, "action": "BLOCK"}]}`, shortest, longest)
		}
		for _, lengths := range [][2]int{{99_971, 99_985}, {4_471, 4_480}, {1_500, 1_400}} {
			if reason := w.refused(path("router.test")+"/threatSettings", rule(lengths[0], lengths[1])); reason != "IMPOSSIBLE_RULE" {
				w.t.Errorf("packets of %d to %d bytes are refused as %s", lengths[0], lengths[1], reason)
			}
		}
		// One that the API can't know to be bad.
		o := w.watch(wire.Urgent)
		w.cp.Bug("routers", "shield/router.test", "CRASH", "")
		w.op.OK(http.MethodPatch, path("router.test")+"/threatSettings", rule(1_400, 1_470))
		w.op.OK(http.MethodPatch, path(tenants[0])+"/threatSettings", `{"securityLevel": "HIGH"}`)
		w.blamed("router.test")
		w.live(tenants[0])
		w.cp.Converged()
		o.contained(o.end(), "shield/router.test")
		w.mended("routers")
	})

	// 2019-07-02: a regular expression that backtracks, deployed everywhere at once because
	// it was only to simulate, took all CPU of a whole network.
	w.replay("2019-07-02", func(w *world) {
		limit := func(pattern string) string {
			return fmt.Sprintf(`{"rateLimits": [{"match": %q, "requests": 10, "periodSeconds": 60, "action": "LOG"}]}`,
				fmt.Sprintf("matches(path, %q)", pattern))
		}
		for _, pattern := range []string{`(x+x+)+\1y`, `(?=x)y`, `((x{1,100}){1,100}){1,100}y`, strings.Repeat(`x{1,900}`, 20)} {
			if reason := w.refused(path("regex.test")+"/threatSettings", limit(pattern)); reason == "" {
				w.t.Errorf("%s is refused without a reason", pattern)
			}
		}
		o := w.watch(wire.Routine)
		w.cp.Bug("cpu", "site/regex.test", "HANG", "")
		w.op.OK(http.MethodPatch, path("regex.test")+"/threatSettings", limit(`.*.*=.*`))
		w.change(tenants[1], 319)
		w.blamed("regex.test")
		w.live(tenants[1])
		w.cp.Converged()
		o.contained(o.end(), "site/regex.test")
		w.mended("cpu")
	})

	// 2021-06-08: one customer's valid setting woke a bug that had been deployed weeks before,
	// and 85% of a network answered with errors.
	w.replay("2021-06-08", func(w *world) {
		o := w.watch(wire.Routine)
		w.cp.Bug("latent", "site/latent.test", "CRASH", "")
		// All in one release: it is for the engine to find out whose it is.
		w.op.OK(http.MethodPost, "/v1/channels/routine:freeze", `{}`)
		for _, tenant := range tenants[:len(tenants)/2] {
			w.change(tenant, 621)
		}
		w.change("latent.test", 621)
		for _, tenant := range tenants[len(tenants)/2:] {
			w.change(tenant, 621)
		}
		w.op.OK(http.MethodPost, "/v1/channels/routine:unfreeze", `{}`)
		w.blamed("latent.test")
		for _, tenant := range tenants {
			w.live(tenant)
		}
		w.cp.Converged()
		o.contained(o.end(), "site/latent.test")
		// Mended, and tried again by the owner's next version.
		w.mended("latent")
		w.change("latent.test", 622)
		w.live("latent.test")
	})
}
