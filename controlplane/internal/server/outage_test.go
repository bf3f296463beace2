package server_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// etcd stops and starts: calls fail clearly and soon, the edges serve what they served, and
// everything goes on by itself, a change that waited too. With BREAKWATER_SOAK it is away
// for half a minute.
func TestEtcdStopsAndStarts(t *testing.T) {
	away := 6 * time.Second // longer than a leader's lease
	if os.Getenv("BREAKWATER_SOAK") != "" {
		away = 30 * time.Second
	}
	const soon = 10 * time.Second

	store := embedded.Config{Dir: filepath.Join(t.TempDir(), "etcd"), Listen: "127.0.0.1:0", Fast: true}
	member, err := embedded.Start(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { member.Close() })
	endpoint := member.Endpoints()[1]
	store.Listen = endpoint[len("http://"):]
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 7), func(c *server.Config) {
		c.Etcd.Endpoints = []string{endpoint}
	})
	acme := cp.Account("acme")
	cp.Site(acme, "acme", "shop.test")
	cp.Converged()
	conn := breakwaterv1.NewSiteServiceClient(cp.As(acme.Token()))
	before := edges(cp)

	// A change that no data center meets before the end: etcd stops at once.
	version := acme.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 444}`).Int("version")
	member.Close()
	stopped := time.Now()

	var calls sync.WaitGroup
	for _, call := range []struct{ method, path, body string }{
		{http.MethodGet, shop, ""},
		{http.MethodGet, "/v1/accounts/acme/sites", ""},
		{http.MethodGet, shop + "/propagation", ""},
		{http.MethodPatch, shop + "/settings", `{"browserTtlSeconds": 555}`},
		{http.MethodPost, "/v1/accounts/acme/sites", `{"domain": "new.test", "origin": {"address": "203.0.113.12"}}`},
	} {
		calls.Go(func() {
			from := time.Now()
			r, err := acme.Try(context.Background(), call.method, call.path, call.body)
			if err != nil || r.Status != http.StatusServiceUnavailable || r.Reason() != "UNAVAILABLE" {
				t.Errorf("%s %s without etcd: %v %d %s", call.method, call.path, err, r.Status, r.Raw)
			}
			if took := time.Since(from); took > soon {
				t.Errorf("%s %s without etcd fails after %v", call.method, call.path, took)
			}
		})
	}
	calls.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	defer cancel()
	if _, err := conn.GetSite(ctx, &breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/shop.test"}); status.Code(err) != codes.Unavailable {
		t.Errorf("GetSite without etcd: %v", err)
	}
	if r := cp.REST("").Do(http.MethodGet, "/healthz", ""); r.Status != http.StatusOK {
		t.Errorf("/healthz without etcd: %d", r.Status)
	}
	cp.Eventually("/readyz says that etcd is away", func() bool {
		return cp.REST("").Do(http.MethodGet, "/readyz", "").Status == http.StatusServiceUnavailable
	})
	// The change may have reached the first wave before the stop; nothing else moves.
	cp.Eventually("etcd was away long enough", func() bool {
		for name, now := range edges(cp) {
			if now != before[name] && name.dc != "ATL" {
				t.Errorf("%v serves %v, before the stop %v", name, now, before[name])
			}
		}
		return t.Failed() || time.Since(stopped) > away
	})

	member, err = embedded.Start(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	cp.Eventually("the server is ready again", func() bool {
		return cp.REST("").Do(http.MethodGet, "/readyz", "").Status == http.StatusOK
	})
	if p := cp.Live(acme, "acme", "shop.test"); p.Int("version") != version || p.Int("appliedDataCenters") != 7 {
		t.Errorf("after the outage: %v", p)
	}
	t.Logf("the change that waited is LIVE %v after etcd stopped", time.Since(stopped))
	next := acme.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 445}`)
	if next.Int("version") != version+1 {
		t.Errorf("the next version is %d after %d: a change that failed was stored", next.Int("version"), version)
	}
	cp.Live(acme, "acme", "shop.test")
	cp.Converged()
	for name, s := range edges(cp) {
		if s.restarts != 0 {
			t.Errorf("%v started anew %d times", name, s.restarts)
		}
	}
}

// edgeServer names a simulated server.
type edgeServer struct{ dc, name string }

// serving is what a simulated server does.
type serving struct {
	up       bool
	restarts int
	state    string
	// document is the digest of shop.test as the data plane has it in memory.
	document string
}

// edges looks at the simulated servers themselves, not at what they report.
func edges(cp *controlplanetest.ControlPlane) map[edgeServer]serving {
	out := map[edgeServer]serving{}
	fleet := cp.Server.Simulated()
	for _, s := range fleet.Servers() {
		now := serving{up: s.Up, restarts: s.Restarts}
		for _, c := range wire.Channels() {
			ch := s.Status.Channels[c]
			now.state += fmt.Sprintf("%s %d %v ", c, ch.Release, ch.StateHash)
		}
		if doc, ok := fleet.Serving(s.DataCenter, s.Name, wire.DocumentID{Kind: wire.KindSite, ID: "shop.test"}); ok {
			now.document = doc.Sum.String()
		}
		out[edgeServer{s.DataCenter, s.Name}] = now
	}
	return out
}
