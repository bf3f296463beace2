package catalog

import (
	"testing"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestOffered(t *testing.T) {
	store := memory.New(memory.Config{})
	defer store.Close()
	put := func(app *breakwaterv1.App) int64 {
		t.Helper()
		ops, err := Put(app)
		if err != nil {
			t.Fatal(err)
		}
		rev, err := store.Commit(t.Context(), registry.Txn{Then: ops})
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	app := func(id string, version int64) *breakwaterv1.App {
		return &breakwaterv1.App{Name: Name(id), Version: version}
	}
	a1 := put(app("alpha", 1))
	b1 := put(app("beta", 1))
	var a [40]int64
	for v := range a {
		a[v] = put(app("alpha", int64(v)+2))
	}
	b2 := put(app("beta", 2))
	put(app("beta-two", 1))

	page, err := store.List(t.Context(), registry.ListRequest{Prefix: resource.AppsPrefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		covered int64
		want    map[string]int64
	}{
		{a1 - 1, map[string]int64{}},
		{a1, map[string]int64{"apps/alpha": 1}},
		{b1, map[string]int64{"apps/alpha": 1, "apps/beta": 1}},
		{a[0], map[string]int64{"apps/alpha": 2, "apps/beta": 1}},
		{a[20], map[string]int64{"apps/alpha": 22, "apps/beta": 1}},
		{b2, map[string]int64{"apps/alpha": 41, "apps/beta": 2}},
		{b2 + 1, map[string]int64{"apps/alpha": 41, "apps/beta": 2, "apps/beta-two": 1}},
	} {
		apps, err := Offered(t.Context(), page.KVs, store, test.covered)
		if err != nil {
			t.Fatal(err)
		}
		if len(apps) != len(test.want) {
			t.Errorf("at %d: %v", test.covered, apps)
		}
		for _, app := range apps {
			if app.GetKilled() {
				t.Errorf("at %d: %s is killed", test.covered, app.GetName())
			}
			if app.GetVersion() != test.want[app.GetName()] {
				t.Errorf("at %d: %s has version %d", test.covered, app.GetName(), app.GetVersion())
			}
		}
	}
	killed := app("alpha", 42)
	killed.Killed = true
	put(killed)
	if page, err = store.List(t.Context(), registry.ListRequest{Prefix: resource.AppsPrefix}); err != nil {
		t.Fatal(err)
	}
	apps, err := Offered(t.Context(), page.KVs, store, b2)
	if err != nil || len(apps) != 2 || apps[0].GetVersion() != 41 || !apps[0].GetKilled() || apps[1].GetKilled() {
		t.Errorf("a kill that is on its way: %v, %v", apps, err)
	}
	if _, err := Offered(t.Context(), []registry.KV{{Key: resource.App("x"), Value: []byte{0xff}}}, store, 1); err == nil {
		t.Error("a broken record was offered")
	}
}
