package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// An older backup of etcd takes the store's place under a fleet that went on since, and whose
// servers refused a release that the backup does not know: every data center comes back to
// what the store says, changes arrive, nothing that is known of the lost time stands in the
// way, and no release number is given twice.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 6), controlplanetest.BakeScale(0.02))
	op, acme := cp.REST(cp.Operator), cp.Account("acme")
	const site = "/v1/accounts/acme/sites/shop.test"
	ttl := 2000
	change := func() {
		t.Helper()
		ttl++
		acme.OK(http.MethodPatch, site+"/settings", fmt.Sprintf(`{"browserTtlSeconds": %d}`, ttl))
	}
	newest := func() map[string]int64 {
		t.Helper()
		out := map[string]int64{}
		for _, ch := range op.Get("/v1/channels").Objects("channels") {
			name := ch.Text("name")
			out[name] = op.Get("/v1/" + name + "/releases?pageSize=1").Objects("releases")[0].Int("number")
		}
		return out
	}
	cp.Site(acme, "acme", "shop.test")
	cp.Site(acme, "acme", "calm.test")
	change()
	cp.Live(acme, "acme", "shop.test")
	cp.Converged()

	etcd, backup := filepath.Join(cp.Config.DataDir, "etcd"), filepath.Join(t.TempDir(), "backup")
	cp.Stop()
	if err := os.CopyFS(backup, os.DirFS(etcd)); err != nil {
		t.Fatal(err)
	}
	cp.Start()
	op, acme = cp.REST(cp.Operator), cp.REST(acme.Token())

	// What will be lost: changes, one of which a data center refuses, and a site.
	before := newest()
	for range 3 {
		change()
		cp.Live(acme, "acme", "shop.test")
	}
	cp.Bug("refuse", "shop.test", "REJECT", "")
	change()
	cp.Propagates(acme, "acme", "shop.test", "QUARANTINED")
	op.OK(http.MethodDelete, "/v1/dev/bugs/refuse", "")
	cp.Site(acme, "acme", "lost.test")
	cp.Converged()
	given := newest()
	cp.Stop()
	if err := os.RemoveAll(etcd); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(etcd, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	cp.Start()
	op, acme = cp.REST(cp.Operator), cp.REST(acme.Token())

	// A change right away, and one after the fleet came back.
	change()
	cp.Live(acme, "acme", "shop.test")
	cp.Converged()
	acme.OK(http.MethodPatch, "/v1/accounts/acme/sites/calm.test/settings", `{"browserTtlSeconds": 77}`)
	cp.Live(acme, "acme", "calm.test")
	cp.Converged()
	if sites := acme.Get("/v1/accounts/acme/sites").Objects("sites"); len(sites) != 2 {
		t.Errorf("sites: %v", sites)
	}
	for name := range given {
		for _, r := range op.Get("/v1/" + name + "/releases?pageSize=1000").Objects("releases") {
			if n := r.Int("number"); n > before[name] && n <= given[name] {
				t.Errorf("%s was given again: %v", strings.TrimPrefix(r.Text("name"), "channels/"), r)
			}
		}
	}
	if quarantines := op.Get("/v1/quarantines").Objects("quarantines"); len(quarantines) != 0 {
		t.Errorf("quarantines: %v", quarantines)
	}
}
