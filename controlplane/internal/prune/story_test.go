package prune_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// filling is a store that says that it fills up, so that nobody is waited for who is out.
type filling struct{ registry.Store }

func (s filling) Status(ctx context.Context) (registry.Status, error) {
	status, err := s.Store.Status(ctx)
	status.QuotaBytes = 2 * status.SizeBytes * 100 / 101
	return status, err
}

// world is a small control plane that prunes at once.
type world struct {
	*controlplanetest.ControlPlane
	t        *testing.T
	store    registry.Store
	op, acme *controlplanetest.REST
	ttl      int
}

const site = "/v1/accounts/acme/sites/shop.test"

func newWorld(t *testing.T, options ...controlplanetest.Option) *world {
	t.Helper()
	w := &world{t: t, ttl: 1000}
	w.ControlPlane = controlplanetest.Start(t, append(options, controlplanetest.BakeScale(0.005), func(c *server.Config) {
		c.PruneFast = true
		c.WrapStore = func(s registry.Store) registry.Store {
			w.store = filling{s}
			return w.store
		}
	})...)
	w.op, w.acme = w.REST(w.Operator), w.Account("acme")
	w.Site(w.acme, "acme", "shop.test")
	return w
}

// clients takes up the addresses of a server that started again.
func (w *world) clients() {
	w.op, w.acme = w.REST(w.Operator), w.REST(w.acme.Token())
}

func (w *world) change() {
	w.t.Helper()
	w.ttl++
	w.acme.OK(http.MethodPatch, site+"/settings", fmt.Sprintf(`{"browserTtlSeconds": %d}`, w.ttl))
	w.Live(w.acme, "acme", "shop.test")
}

// manifests are the numbers of the routine channel's stored releases.
func (w *world) manifests() []int64 {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), registry.ListRequest{Prefix: wire.ReleasePrefix(wire.Routine), KeysOnly: true})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []int64
	for _, kv := range page.KVs {
		out = append(out, wire.ParseEdgeKey(kv.Key).Release)
	}
	return out
}

// documents are the keys of what a release of the routine channel brought.
func (w *world) documents(n int64) []string {
	w.t.Helper()
	var out []string
	for _, c := range w.op.Get(fmt.Sprintf("/v1/channels/routine/releases/%d", n)).Objects("changes") {
		sum, err := wire.ParseSum(c.Text("newSha256"))
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, wire.BlobKey(sum))
	}
	if len(out) == 0 {
		w.t.Fatalf("release %d brought nothing", n)
	}
	return out
}

// pruned changes the site until releases up to n are gone.
func (w *world) pruned(n int64) {
	w.t.Helper()
	w.Eventually(fmt.Sprintf("releases up to %d are gone", n), func() bool {
		w.change()
		return w.manifests()[0] > n
	})
}

// serves waits until every data center serves what the site is now.
func (w *world) serves() {
	w.t.Helper()
	w.Live(w.acme, "acme", "shop.test")
	w.Converged()
}

// After many releases the old ones are gone with their documents; a data center that was
// down across all of it returns, one without a disk and a new one begin with the base, a
// kept release can be undone, and one that is gone is refused.
func TestPruning(t *testing.T) {
	w := newWorld(t, controlplanetest.SmallFleet(t, 4))
	first := []string{w.FirstWave("urgent"), w.FirstWave("routine"), w.FirstWave("platform")}
	var dark string
	for _, dc := range w.op.Get("/v1/dataCenters").Objects("dataCenters") {
		if code := strings.TrimPrefix(dc.Text("name"), "dataCenters/"); !slices.Contains(first, code) {
			dark = code
		}
	}
	w.op.OK(http.MethodPost, "/v1/dev/dataCenters/"+dark+":kill", "{}")
	w.change()
	brought := w.documents(w.op.Get("/v1/channels/routine").Int("head"))
	for range 5 {
		w.change()
	}
	w.pruned(w.manifests()[len(w.manifests())-1])
	kept := w.manifests()
	for _, key := range brought {
		w.Eventually(key+" is gone", func() bool {
			_, err := w.store.Get(t.Context(), key)
			return errors.Is(err, registry.ErrNotFound)
		})
	}

	// It returns over releases that nobody has any more.
	w.op.OK(http.MethodPost, "/v1/dev/dataCenters/"+dark+":revive", "{}")
	w.Converged()

	// The API knows what was, and undoes what it still has.
	old := w.op.Get("/v1/channels/routine/releases/2")
	if old.Int("changeCount") == 0 || len(old.Objects("changes")) != 0 || old.Text("state") != "GOOD" {
		t.Errorf("a pruned release is shown as %v", old)
	}
	if r := w.op.Do(http.MethodPost, "/v1/channels/routine/releases/2:rollback", "{}"); r.Status != http.StatusBadRequest {
		t.Errorf("undoing a pruned release: %d, %s", r.Status, r.Reason())
	}
	before := w.op.Get("/v1/channels/routine").Int("head")
	w.op.OK(http.MethodPost, fmt.Sprintf("/v1/channels/routine/releases/%d:rollback", before), "{}")
	w.Eventually("the newest release is undone", func() bool {
		r := w.op.Get(fmt.Sprintf("/v1/channels/routine/releases/%d", before))
		ch := w.op.Get("/v1/channels/routine")
		return r.Text("state") == "ABANDONED" || ch.Int("head") > before && ch.Int("live") == ch.Int("head")
	})
	w.Converged()
	w.change()

	// A server without a disk, and a data center that nobody knew, begin with the base.
	w.Stop()
	if err := os.RemoveAll(filepath.Join(w.Config.DataDir, "edges", dark)); err != nil {
		t.Fatal(err)
	}
	var left []int64
	controlplanetest.Examine(t, w.Config.DataDir, func(a *controlplanetest.Aftermath) {
		a.CheckReleases()
		left = a.Releases(wire.Routine)
	})
	if left[0] < kept[0] || slices.Contains(left, 1) || int64(len(left)) > left[len(left)-1]-left[0]+1 {
		t.Errorf("manifests %v, then %v", kept, left)
	}
	controlplanetest.SmallFleet(t, 5)(w.Config)
	w.Start()
	w.clients()
	w.change()
	w.serves()
}
