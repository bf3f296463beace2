package controlplanetest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Bug gives every simulated data plane a bug; after is empty or a duration such as `2s`.
func (cp *ControlPlane) Bug(id, match, effect, after string) {
	cp.t.Helper()
	body := fmt.Sprintf(`{"bugId": %q, "match": %q, "effect": %q`, id, match, effect)
	if after != "" {
		body += fmt.Sprintf(`, "after": %q`, after)
	}
	cp.REST(cp.Operator).OK(http.MethodPost, "/v1/dev/bugs", body+"}")
}

// Servers lists every server of the fleet, as an operator sees them, by names such as
// `SJC/servers/sjc-1`.
func (cp *ControlPlane) Servers() map[string]JSON {
	cp.t.Helper()
	op := cp.REST(cp.Operator)
	out := map[string]JSON{}
	for _, dc := range op.Get("/v1/dataCenters?pageSize=1000").Objects("dataCenters") {
		for _, server := range op.Get("/v1/" + dc.Text("name") + "/servers").Objects("servers") {
			out[strings.TrimPrefix(server.Text("name"), "dataCenters/")] = server
		}
	}
	return out
}

// FirstWave is the one data center of a channel's first wave.
func (cp *ControlPlane) FirstWave(channel string) string {
	cp.t.Helper()
	waves := cp.REST(cp.Operator).Get("/v1/channels/" + channel).Objects("waves")
	if len(waves) < 2 || len(waves[0].Texts("dataCenters")) != 1 {
		cp.t.Fatalf("channel %s has the waves %v", channel, waves)
	}
	return waves[0].Texts("dataCenters")[0]
}

// Releases lists the releases of a channel, newest first, with their changes.
func (cp *ControlPlane) Releases(channel string) []JSON {
	cp.t.Helper()
	op := cp.REST(cp.Operator)
	list := op.Get("/v1/channels/" + channel + "/releases?pageSize=1000").Objects("releases")
	for i, r := range list {
		list[i] = op.Get("/v1/" + r.Text("name"))
	}
	return list
}

// Converged waits until every data center has its servers, all are healthy, and all hold
// the same state in every channel: that of the channel's live release.
func (cp *ControlPlane) Converged() {
	cp.t.Helper()
	var why string
	cp.eventually(5*poll, func() string { return "converged: " + why }, func() bool {
		why = cp.divergence()
		return why == ""
	})
}

// divergence says why the fleet has not converged; empty where it has.
func (cp *ControlPlane) divergence() string {
	cp.t.Helper()
	op := cp.REST(cp.Operator)
	hashes, live := map[string]string{}, map[string]int64{}
	for _, ch := range op.Get("/v1/channels").Objects("channels") {
		name := strings.TrimPrefix(ch.Text("name"), "channels/")
		if ch.Int("head") != ch.Int("live") {
			return fmt.Sprintf("channel %s: head %d, live %d", name, ch.Int("head"), ch.Int("live"))
		}
		live[name] = ch.Int("live")
		hashes[name] = op.Get(fmt.Sprintf("/v1/%s/releases/%d", ch.Text("name"), ch.Int("live"))).Text("stateHash")
	}
	servers := cp.Servers()
	if want := 2 * len(op.Get("/v1/dataCenters?pageSize=1000").Objects("dataCenters")); len(servers) != want {
		return fmt.Sprintf("%d of %d servers report", len(servers), want)
	}
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		s := servers[name]
		if s.Text("state") != "HEALTHY" {
			return fmt.Sprintf("%s is %s: %s", name, s.Text("state"), s.Text("detail"))
		}
		for channel, want := range hashes {
			if got := s.Text("stateHashes." + channel); got != want || want == "" {
				return fmt.Sprintf("%s serves release %s of %s with hash %q, and %d is live with %q; detail %q",
					name, s.Text("releases."+channel), channel, got, live[channel], want, s.Text("detail"))
			}
		}
	}
	return ""
}
