package server_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const shop = "/v1/accounts/acme/sites/shop.test"

// An account, a token, a site and an app reach all data centers; stopped and started again,
// all is there, and nothing of the stopped server runs on.
func TestFromOnboardingToTheEdge(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cp := controlplanetest.Start(t, controlplanetest.DataDir(filepath.Join(t.TempDir(), "data")))
	acme := cp.Account("acme")

	created := acme.OK(http.MethodPost, "/v1/accounts/acme/sites",
		`{"domain": "shop.test", "origin": {"address": "203.0.113.10"}}`)
	if created.Text("state") != "PENDING" || len(created.Texts("nameServers")) != 2 || created.Int("version") != 1 {
		t.Fatalf("the new site: %v", created)
	}
	cp.Eventually("shop.test is active", func() bool { return acme.Get(shop).Text("state") == "ACTIVE" })

	changed := acme.OK(http.MethodPatch, shop+"/apps/minify", `{"enabled": true, "settings": {"css": true, "js": true}}`)
	version := changed.Int("version")
	if version < 2 {
		t.Fatalf("switching an app on answers the version %d: %v", version, changed)
	}
	var states []string
	var last controlplanetest.JSON
	acme.Stream(shop+"/propagation:wait", func(p controlplanetest.JSON) bool {
		states, last = append(states, p.Text("state")), p
		return true
	})
	if last.Text("state") != "LIVE" || last.Int("version") != version || last.Int("servingVersion") != version {
		t.Fatalf("the stream ended with %v after the states %v", last, states)
	}
	if last.Int("appliedDataCenters") != 23 || last.Int("totalDataCenters") != 23 || len(last.Objects("dataCenters")) != 23 {
		t.Fatalf("LIVE in %s of %s", last.Text("appliedDataCenters"), last.Text("totalDataCenters"))
	}
	cp.Converged()
	audited(t, cp, acme)

	was := remember(cp, acme)
	cp.Stop()
	if err := goleak.Find(before); err != nil {
		t.Fatalf("after Close: %v", err)
	}
	controlplanetest.Examine(t, cp.Config.DataDir, func(a *controlplanetest.Aftermath) {
		if n := a.CheckReleases(); n < 5 {
			t.Errorf("%d releases are stored", n)
		}
		if got := a.Targets(wire.Routine); len(got[last.Int("releases.routine")]) != 23 {
			t.Errorf("data centers that had release %s as their target: %v", last.Text("releases.routine"), got)
		}
	})

	cp.Start()
	again := cp.REST(acme.Token())
	for what, now := range remember(cp, again) {
		if now != was[what] {
			t.Errorf("after the restart %s is\n%s\nwas\n%s", what, now, was[what])
		}
	}
	cp.Converged()
	if p := cp.Live(again, "acme", "shop.test"); p.Int("appliedDataCenters") != 23 || p.Int("version") != version {
		t.Errorf("after the restart: %v", p)
	}
	// And it goes on from there.
	next := again.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 300}`)
	if next.Int("version") != version+1 {
		t.Errorf("the next version is %d after %d", next.Int("version"), version)
	}
	cp.Live(again, "acme", "shop.test")
	cp.Converged()
}

// audited waits until every audit event is in the account's chain, and checks what is told.
func audited(t *testing.T, cp *controlplanetest.ControlPlane, c *controlplanetest.REST) {
	t.Helper()
	events := "/v1/accounts/acme/auditEvents"
	cp.Eventually("every audit event is chained", func() bool {
		v := c.Get(events + ":verify")
		return v.Text("valid") == "true" && v.Int("pendingEvents") == 0 && v.Int("checkedEvents") > 0
	})
	methods := map[string]bool{}
	for _, e := range c.Get(events).Objects("auditEvents") {
		methods[e.Text("method")] = true
	}
	for _, want := range []string{"CreateAccount", "CreateToken", "CreateSite", "UpdateSiteApp"} {
		if !methods[want] {
			t.Errorf("the audit log does not name %s: %v", want, methods)
		}
	}
}

// remember returns what must survive a restart, as text.
func remember(cp *controlplanetest.ControlPlane, c *controlplanetest.REST) map[string]string {
	op := cp.REST(cp.Operator)
	out := map[string]string{}
	for _, path := range []string{
		shop, shop + "/apps/minify", shop + "/settings", shop + "/versions", shop + "/threatSettings",
		"/v1/accounts/acme", "/v1/accounts/acme/members", "/v1/accounts/acme/auditEvents", "/v1/me",
	} {
		out[path] = fmt.Sprint(c.Get(path))
	}
	tokens := c.Get("/v1/accounts/acme/tokens").Objects("tokens")
	for _, token := range tokens {
		out["token "+token.Text("name")] = token.Text("permissions") + token.Text("createTime")
	}
	for _, channel := range []string{"urgent", "routine", "platform"} {
		for _, r := range op.Get("/v1/channels/" + channel + "/releases").Objects("releases") {
			// A release may soak to its end in between.
			state := strings.Replace(r.Text("state"), "GOOD", "LIVE", 1)
			out[r.Text("name")] = r.Text("stateHash") + r.Text("parent") + r.Text("sealTime") + state
		}
	}
	return out
}
