package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// A site that hurts what serves it hurts the first wave only, is kept from the edge with a
// reason, and nobody else's change stays behind.
func TestBadSite(t *testing.T) {
	small := controlplanetest.SmallFleet(t, 7)
	places := make(chan struct{}, 3)
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, bug := range []struct {
		effect, after string
		fleet         controlplanetest.Option
		// crashes says that servers of the first wave start anew.
		crashes bool
	}{
		{effect: "REJECT", fleet: func(*server.Config) {}},
		{effect: "CRASH", fleet: small, crashes: true},
		{effect: "HANG", fleet: small, crashes: true},
		{effect: "UNHEALTHY", fleet: small},
		{effect: "CRASH_LATER", fleet: small, after: "0.1s", crashes: true},
	} {
		// They wait more than they work, so several run at once, whatever -parallel says.
		wait.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(bug.effect, func(t *testing.T) {
				cp := controlplanetest.Start(t, controlplanetest.BakeScale(0.2), bug.fleet)
				acme, other := cp.Account("acme"), cp.Account("other")
				cp.Site(acme, "acme", "shop.test")
				cp.Site(other, "other", "other.test")
				first := cp.FirstWave("routine")

				// Both change at once: the bad site and the others may share a release.
				cp.Bug("b", "site/bad", bug.effect, bug.after)
				acme.OK(http.MethodPost, "/v1/accounts/acme/sites", `{"domain": "bad.test", "origin": {"address": "203.0.113.11"}}`)
				acme.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 301}`)
				other.OK(http.MethodPatch, "/v1/accounts/other/sites/other.test/apps/minify", `{"enabled": true}`)

				p := cp.Propagates(acme, "acme", "bad.test", "QUARANTINED")
				if p.Text("reason") == "" || p.Int("servingVersion") >= p.Int("version") {
					t.Errorf("the quarantined site: version %s, serving %s, reason %q", p.Text("version"), p.Text("servingVersion"), p.Text("reason"))
				}
				cp.Live(acme, "acme", "shop.test")
				cp.Live(other, "other", "other.test")
				// Activation comes with a version of its own, which is tried again, alone.
				cp.Eventually("bad.test is active and quarantined", func() bool {
					return acme.Get("/v1/accounts/acme/sites/bad.test").Text("state") == "ACTIVE" &&
						acme.Get("/v1/accounts/acme/sites/bad.test/propagation").Text("state") == "QUARANTINED"
				})
				cp.Converged()
				quarantines := cp.REST(cp.Operator).Get("/v1/quarantines").Objects("quarantines")
				if len(quarantines) != 1 || quarantines[0].Text("document") != "site/bad.test" || quarantines[0].Text("reason") == "" {
					t.Errorf("quarantines: %v", quarantines)
				}
				// The owner's audit log tells of it too, and of nobody else's.
				cp.Eventually("the owner is told", func() bool { return told(acme.Get("/v1/accounts/acme/auditEvents?pageSize=1000"), "bad.test") > 0 })
				if n := told(other.Get("/v1/accounts/other/auditEvents?pageSize=1000"), ""); n != 0 {
					t.Errorf("another account was told %d times", n)
				}
				restarts := 0
				for name, s := range cp.Servers() {
					n := int(s.Int("restarts"))
					restarts += n
					if n > 0 && !strings.HasPrefix(name, first+"/") {
						t.Errorf("%s started anew %d times; the first wave is %s", name, n, first)
					}
				}
				if (restarts > 0) != bug.crashes {
					t.Errorf("%d restarts", restarts)
				}
				abandoned := harmful(t, cp)
				cp.Stop()
				controlplanetest.Examine(t, cp.Config.DataDir, func(a *controlplanetest.Aftermath) {
					a.CheckReleases()
					met := a.Targets(wire.Routine)
					for n, dcs := range met {
						if abandoned[n] && (len(dcs) != 1 || dcs[0] != first) {
							t.Errorf("data centers that were told to serve release %d, which hurt: %v; the first wave is %s", n, dcs, first)
						}
					}
				})
			})
		})
	}
}

// harmful returns the releases of the routine channel with the bad site in them. All of
// them must be abandoned.
func harmful(t *testing.T, cp *controlplanetest.ControlPlane) map[int64]bool {
	t.Helper()
	out := map[int64]bool{}
	var told []string
	for _, r := range cp.Releases("routine") {
		told = append(told, fmt.Sprintf("%d %s %s (%s)", r.Int("number"), r.Text("cause"), r.Text("state"), r.Text("reason")))
		for _, c := range r.Objects("changes") {
			if c.Text("document") != "site/bad.test" {
				continue
			}
			out[r.Int("number")] = true
			if r.Text("state") != "ABANDONED" {
				t.Errorf("release %d with the bad site is %s", r.Int("number"), r.Text("state"))
			}
		}
	}
	if len(out) == 0 {
		t.Errorf("no release has the bad site: %v", told)
	}
	t.Log("releases of the routine channel:\n" + strings.Join(told, "\n"))
	return out
}

// told counts the events of quarantines in an audit log, of one domain.
func told(log controlplanetest.JSON, domain string) int {
	n := 0
	for _, e := range log.Objects("auditEvents") {
		if e.Text("method") == "QuarantineDocument" && strings.Contains(e.Text("resource"), "/sites/"+domain) {
			n++
		}
	}
	return n
}
