package server_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// An older backup takes the place of etcd, or of one of the two clusters that it may be,
// under a fleet that went on since, and of which a server refused a release that the backup
// does not know. Every data center comes to what the registry says then, changes arrive,
// nothing that is known of the lost time stands in the way, and no release number is given
// twice.
func TestRestoredBackup(t *testing.T) {
	for name, tc := range map[string]struct {
		// prefixes are what is restored; all of etcd, with its revisions, where none are given.
		prefixes []string
		// lost says that there is no backup of them.
		lost bool
		// sites is how many there are then.
		sites int
	}{
		"everything": {sites: 2},
		"edge":       {prefixes: []string{"edge/", "base/", "control/"}, sites: 3},
		"edge, lost": {prefixes: []string{"edge/", "base/", "control/"}, lost: true, sites: 3},
		"registry":   {prefixes: []string{"registry/"}, sites: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			restoredBackup(t, tc.prefixes, tc.lost, tc.sites)
		})
	}
}

func restoredBackup(t *testing.T, prefixes []string, lost bool, sites int) {
	t.Helper()
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 6), controlplanetest.BakeScale(0.02))
	op, acme := cp.REST(cp.Operator), cp.Account("acme")
	ttl := 2000
	change := func() {
		t.Helper()
		ttl++
		acme.OK(http.MethodPatch, "/v1/accounts/acme/sites/shop.test/settings", fmt.Sprintf(`{"browserTtlSeconds": %d}`, ttl))
	}
	// sealed are the releases that are known, with the times of their sealing.
	sealed := func() map[string]string {
		t.Helper()
		out := map[string]string{}
		for _, ch := range op.Get("/v1/channels").Objects("channels") {
			for _, r := range op.Get("/v1/" + ch.Text("name") + "/releases?pageSize=1000").Objects("releases") {
				out[r.Text("name")] = r.Text("sealTime")
			}
		}
		return out
	}
	again := func() {
		t.Helper()
		cp.Start()
		op, acme = cp.REST(cp.Operator), cp.REST(acme.Token())
	}
	cp.Site(acme, "acme", "shop.test")
	cp.Site(acme, "acme", "calm.test")
	change()
	cp.Live(acme, "acme", "shop.test")
	cp.Converged()

	store, backup := filepath.Join(cp.Config.DataDir, "etcd"), filepath.Join(t.TempDir(), "backup")
	cp.Stop()
	if err := os.CopyFS(backup, os.DirFS(store)); err != nil {
		t.Fatal(err)
	}
	again()

	// What will be lost: changes, one of which a data center refuses, and a site.
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
	given := sealed()
	cp.Stop()
	if lost {
		backup = t.TempDir()
	}
	if prefixes != nil {
		restoreKeys(t, store, backup, prefixes)
	} else if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	} else if err := os.CopyFS(store, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	again()

	// A change right away, and one after the fleet came back.
	change()
	cp.Live(acme, "acme", "shop.test")
	cp.Converged()
	acme.OK(http.MethodPatch, "/v1/accounts/acme/sites/calm.test/settings", `{"browserTtlSeconds": 77}`)
	cp.Live(acme, "acme", "calm.test")
	cp.Converged()
	if got := acme.Get("/v1/accounts/acme/sites").Objects("sites"); len(got) != sites {
		t.Errorf("%d sites: %v", len(got), got)
	}
	now := sealed()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if at, ok := given[name]; ok && at != now[name] {
			t.Errorf("%s was given again: sealed at %s and at %s", strings.TrimPrefix(name, "channels/"), at, now[name])
		}
	}
	cp.Eventually("nothing is in quarantine", func() bool {
		return len(op.Get("/v1/quarantines").Objects("quarantines")) == 0
	})
}

// restoreKeys puts back what a backup has below some prefixes, as if the cluster that holds
// them had been restored, and the other one not. Who led, and what ends with a lease, stays
// away.
func restoreKeys(t *testing.T, dir, backup string, prefixes []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), controlplanetest.StartTimeout)
	defer cancel()
	open := func(dir string) (registry.Store, func()) {
		server, err := embedded.Start(ctx, embedded.Config{Dir: dir, Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		return etcd.New(server.Client(), etcd.Config{}), server.Close
	}
	list := func(s registry.Store, prefix string) map[string]registry.KV {
		out := map[string]registry.KV{}
		for after := ""; ; {
			page, err := s.List(ctx, registry.ListRequest{Prefix: prefix, After: after, Limit: 500})
			if err != nil {
				t.Fatal(err)
			}
			for _, kv := range page.KVs {
				out[kv.Key], after = kv, kv.Key
			}
			if !page.More {
				return out
			}
		}
	}
	live, closeLive := open(dir)
	defer closeLive()
	old, closeOld := open(backup)
	defer closeOld()
	for _, prefix := range prefixes {
		was := list(old, prefix)
		var ops []registry.Op
		for key, kv := range was {
			if kv.Lease == 0 {
				ops = append(ops, registry.Put(key, kv.Value))
			}
		}
		for key := range list(live, prefix) {
			if kv, ok := was[key]; !ok || kv.Lease != 0 {
				ops = append(ops, registry.Delete(key))
			}
		}
		for part := range slices.Chunk(ops, 500) {
			if _, err := live.Commit(ctx, registry.Txn{Then: part}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
