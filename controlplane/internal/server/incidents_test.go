package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/statusfile"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// A site's change crashes the first wave: the public is told by itself, in the API and in
// the signed file, never which site; and that it is over.
func TestIncidentOpensAndClosesByItself(t *testing.T) {
	t.Parallel()
	cp := controlplanetest.Start(t)
	acme := cp.Account("acme")
	cp.Site(acme, "acme", "shop.test")
	public := cp.REST("")
	if s := public.Get("/v1/status"); len(s.Objects("incidents")) != 0 {
		t.Fatalf("incidents of a quiet network: %v", s)
	}
	first := cp.FirstWave("routine")
	cp.Bug("crash", "shop.test", "CRASH", "")
	acme.OK(http.MethodPatch, "/v1/accounts/acme/sites/shop.test/settings", `{"browserTtlSeconds": 77}`)
	var name string
	cp.Eventually("an incident is open", func() bool {
		for _, in := range public.Get("/v1/status").Objects("incidents") {
			name = in.Text("name")
		}
		return name != ""
	})
	cp.Eventually("the file says so too", func() bool { return strings.Contains(statusPayload(t, cp), name) })
	cp.Propagates(acme, "acme", "shop.test", "QUARANTINED")
	cp.Eventually("the incident is over", func() bool { return public.Get("/v1/"+name).Text("state") == "RESOLVED" })
	in := public.Get("/v1/" + name)
	var kinds []string
	for _, line := range in.Objects("timeline") {
		kinds = append(kinds, line.Text("kind"))
	}
	told := strings.Join(kinds, " ")
	for _, want := range []string{"DETECTED", "ROLLED_BACK", "QUARANTINED", "RECOVERED"} {
		if !strings.Contains(told, want) {
			t.Errorf("the timeline is %s, without %s", told, want)
		}
	}
	if fmt.Sprint(in.Texts("dataCenters")) != "["+first+"]" || in.Text("channel") != "routine" || in.Int("affectedSites") != 1 {
		t.Errorf("got %v", in)
	}
	if text := fmt.Sprint(in); strings.Contains(text, "shop") || strings.Contains(text, "acme") {
		t.Errorf("the incident names a customer: %s", text)
	}
	if list := public.Get("/v1/incidents?filter=state%3DRESOLVED").Objects("incidents"); len(list) != 1 || list[0].Text("name") != name {
		t.Errorf("the list is %v", list)
	}
	cp.Eventually("the status forgets it", func() bool { return len(public.Get("/v1/status").Objects("incidents")) == 0 })

	// It stays as it was told, and is not told again, when the server starts anew.
	was := fmt.Sprint(in)
	cp.Stop()
	cp.Start()
	cp.Converged()
	public = cp.REST("")
	if now := fmt.Sprint(public.Get("/v1/" + name)); now != was {
		t.Errorf("after a restart it is\n%s\nwas\n%s", now, was)
	}
	if list := public.Get("/v1/incidents").Objects("incidents"); len(list) != 1 {
		t.Errorf("after a restart there are %v", list)
	}
}

// Operators open, update and close incidents of their own; nobody else does.
func TestOperatorsTellIncidents(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	op, acme := cp.REST(cp.Operator), cp.Account("acme")
	if r := acme.Do(http.MethodPost, "/v1/incidents", `{"title": "x"}`); r.Status != http.StatusForbidden {
		t.Errorf("a customer's incident: %v", r)
	}
	in := op.OK(http.MethodPost, "/v1/incidents", `{"title": "Certificates are issued late"}`)
	path := "/v1/" + in.Text("name")
	op.OK(http.MethodPost, path+":addUpdate", `{"text": "We wait for the authority."}`)
	op.OK(http.MethodPatch, path, `{"state": "RESOLVED"}`)
	got := cp.REST("").Get(path)
	if got.Text("state") != "RESOLVED" || len(got.Objects("timeline")) != 2 || got.Text("cause") != "OPERATOR_REPORT" {
		t.Errorf("got %v", got)
	}
}

// A data center that is killed is an incident until it is back.
func TestLostDataCenterIsAnIncident(t *testing.T) {
	t.Parallel()
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 4))
	op, public := cp.REST(cp.Operator), cp.REST("")
	var dc string
	cp.Eventually("all data centers are well", func() bool {
		well := 0
		for _, d := range op.Get("/v1/dataCenters").Objects("dataCenters") {
			dc = d.Text("code")
			if d.Text("state") == "HEALTHY" {
				well++
			}
		}
		return well == 4
	})
	op.OK(http.MethodPost, "/v1/dev/dataCenters/"+dc+":kill", "{}")
	var name string
	cp.Eventually("the loss is told", func() bool {
		for _, in := range public.Get("/v1/status").Objects("incidents") {
			name = in.Text("name")
		}
		return name != ""
	})
	if in := public.Get("/v1/" + name); in.Text("cause") != "DATA_CENTERS_LOST" || fmt.Sprint(in.Texts("dataCenters")) != "["+dc+"]" {
		t.Errorf("got %v", in)
	}
	op.OK(http.MethodPost, "/v1/dev/dataCenters/"+dc+":revive", "{}")
	cp.Eventually("the loss is over", func() bool { return public.Get("/v1/"+name).Text("state") == "RESOLVED" })
}

// statusPayload reads the status file as a stranger does who knows the public key.
func statusPayload(t *testing.T, cp *controlplanetest.ControlPlane) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(cp.Config.DataDir, "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f statusfile.File
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	key, err := pki.OpenSigner(filepath.Join(cp.Config.DataDir, "keys", "manifest.key"))
	if err != nil {
		t.Fatal(err)
	}
	signed := &edgev1.Signed{KeyId: f.KeyID, Signature: f.Signature, Payload: []byte(f.Payload)}
	if err := wire.NewTrust(publicHalf(t, key)).Verify(signed, f.Context); err != nil || f.Context != wire.ContextStatus {
		t.Fatalf("the status file: %v", err)
	}
	return f.Payload
}
