package server_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

func publicHalf(t *testing.T, key ed25519.PrivateKey) ed25519.PublicKey {
	t.Helper()
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("the key has no public half")
	}
	return public
}

// twoOperators starts with the operators ann, who is the story's own, and bob.
func twoOperators(t *testing.T) (option controlplanetest.Option, bob string) {
	t.Helper()
	mint := func() string {
		id, err := authn.NewID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := authn.Mint(authn.OperatorCredential, id, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ann, bob := mint(), mint()
	return func(c *server.Config) {
		c.OperatorTokenFile = filepath.Join(t.TempDir(), "operators")
		if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string]string{
			c.OperatorTokenFile:                        "# who may do everything\nann " + ann + "\n\nbob " + bob + "\n",
			filepath.Join(c.DataDir, "operator.token"): ann + "\n",
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}, bob
}

// A release skips the bakes after its first wave when two operators want it, and only then.
func TestBreakGlassNeedsTwoOperators(t *testing.T) {
	operators, second := twoOperators(t)
	cp := controlplanetest.Start(t, operators, controlplanetest.SmallFleet(t, 6))
	ann, bob := cp.REST(cp.Operator), cp.REST(second)
	acme := cp.Account("acme")
	cp.Site(acme, "acme", "shop.test")
	// Nobody would wait for these bakes.
	waves := ann.Get("/v1/channels/routine").Objects("waves")
	body := `{"waves": [`
	for i, w := range waves {
		bake := "3600s"
		if i == 0 {
			bake = "0.1s"
		} else {
			body += ","
		}
		codes := ""
		for k, dc := range w.Texts("dataCenters") {
			if k > 0 {
				codes += ","
			}
			codes += `"` + dc + `"`
		}
		body += `{"dataCenters": [` + codes + `], "bake": "` + bake + `"}`
	}
	ann.OK(http.MethodPatch, "/v1/channels/routine", body+"]}")
	acme.OK(http.MethodPatch, "/v1/accounts/acme/sites/shop.test/settings", `{"browserTtlSeconds": 77}`)
	var name string
	cp.Eventually("the release bakes in its second wave", func() bool {
		newest := ann.Get("/v1/channels/routine/releases").Objects("releases")[0]
		name = "/v1/" + newest.Text("name")
		return len(newest.Objects("waves")) > 2 && newest.Objects("waves")[1].Text("state") == "BAKING"
	})
	refused := func(c *controlplanetest.REST, verb, body string, want int, reason string) {
		t.Helper()
		if r := c.Do(http.MethodPost, name+verb, body); r.Status != want || r.Reason() != reason {
			t.Errorf("%s %s: %d %s", verb, body, r.Status, r.Reason())
		}
	}
	refused(acme, ":expedite", `{"reason": "now"}`, http.StatusForbidden, "PERMISSION_DENIED")
	refused(ann, ":expedite", `{}`, http.StatusBadRequest, "INVALID_FIELD")
	refused(bob, ":approve", `{}`, http.StatusBadRequest, "INVALID_STATE")
	ann.OK(http.MethodPost, name+":expedite", `{"reason": "an attack goes on"}`)
	refused(ann, ":approve", `{}`, http.StatusBadRequest, "INVALID_STATE")
	if w := ann.Get(name).Objects("waves")[2]; w.Text("state") != "WAITING" || w.Text("bake") != "3600s" {
		t.Fatalf("one operator was enough: %v", w)
	}
	got := bob.OK(http.MethodPost, name+":approve", `{}`)
	if got.Text("expedite.requester") != "operator:ann" || got.Text("expedite.approver") != "operator:bob" ||
		got.Text("expedite.reason") != "an attack goes on" {
		t.Errorf("got %v", got)
	}
	cp.Live(acme, "acme", "shop.test")
	cp.Converged()
}
