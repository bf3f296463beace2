package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

// BenchmarkControlPlane measures the control plane beside what it is built on and prints
// one table; docs/performance.md says what it means. `make bench` runs it, once.
//
// Both sides of a comparison run in turns of a second with the same clients on the same
// machine, both over TCP on loopback, on embedded etcds with the same settings, which sync
// every write. A ratio is the median of the ratios of turns that followed each other, so
// that a machine that is busy with other things slows both sides.
//
// The raw transaction is made from a real one: what a call wrote is read back from the
// store, and the raw clients write as many keys and bytes under as many compares.
func BenchmarkControlPlane(b *testing.B) {
	b.Run("Calls", benchCalls)
	b.Run("Applied", benchApplied)
}

const benchAccount = "bench"

// benchCalls measures calls of a replica that does not lead, as replicas behind a load
// balancer do: the engine's work is not in the way of its calls.
func benchCalls(b *testing.B) {
	cp := following(b)
	c := &calls{api: newCaller(b, cp)}
	c.overTCP, c.byCall, _ = rawEtcd(b)
	c.inside = insideEtcd(b, cp)
	c.prepare(b)
	b.Run("UpdateSettings", c.update)
	b.Run("GetSite", c.get)
	b.Run("CreateSite", c.create)
}

// calls are what the calls are compared with.
type calls struct {
	api     *caller
	overTCP []*clientv3.Client
	byCall  *clientv3.Client
	// inside reads the control plane's own etcd.
	inside *clientv3.Client
}

// prepare gives each client a site with so many versions that an update removes one.
func (c *calls) prepare(b *testing.B) {
	b.Helper()
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			err := c.api.createSite(b.Context(), clientDomain(client))
			for n := 0; n < 2*behind && err == nil; n++ {
				err = c.api.updateSettings(b.Context(), client, n)
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func (c *calls) update(b *testing.B) {
	site := resource.ForAccount(benchAccount).Site(clientDomain(0))
	wrote := shapeOf(b, c.inside, site, 1) // the account
	raw := &contender{name: "raw etcd transaction", do: newRawWriter(b, wrote, c.overTCP...).do}
	call := &contender{name: "raw etcd transaction by function call", do: newRawWriter(b, wrote, c.byCall).do}
	viaGRPC := &contender{name: "UpdateSettings, gRPC", do: c.api.updateSettings}
	viaREST := &contender{name: "UpdateSettings, REST", do: c.api.updateSettingsREST}
	compete(b, raw, viaGRPC, viaREST, call)
	report(fmt.Sprintf("UpdateSettings (%v)", wrote), raw, raw, viaGRPC, viaREST, call)
}

func (c *calls) create(b *testing.B) {
	domain := newDomain("shape", 0, 0)
	if err := c.api.createSite(b.Context(), domain); err != nil {
		b.Fatal(err)
	}
	site := resource.ForAccount(benchAccount).Site(domain)
	wrote := shapeOf(b, c.inside, site, 3) // the account, no site, no claim
	raw := &contender{name: "raw etcd transaction", do: newRawWriter(b, wrote, c.overTCP...).do}
	viaGRPC := &contender{name: "CreateSite, gRPC", do: func(ctx context.Context, client, n int) error {
		return c.api.createSite(ctx, newDomain("grpc", client, n))
	}}
	viaREST := &contender{name: "CreateSite, REST", do: func(ctx context.Context, client, n int) error {
		return c.api.createSiteREST(ctx, newDomain("rest", client, n))
	}}
	compete(b, raw, viaGRPC, viaREST)
	report(fmt.Sprintf("CreateSite (%v)", wrote), raw, raw, viaGRPC, viaREST)
}

func (c *calls) get(b *testing.B) {
	nothing := emptyCalls(b)
	empty := &contender{name: "empty gRPC call", do: func(ctx context.Context, client, _ int) error {
		return nothing[client%len(nothing)].Invoke(ctx, "/bench.Empty/Call", &emptypb.Empty{}, &emptypb.Empty{})
	}}
	viaGRPC := &contender{name: "GetSite, gRPC", do: c.api.getSite}
	viaREST := &contender{name: "GetSite, REST", do: c.api.getSiteREST}
	rawGet := &contender{name: "raw etcd get", do: func(ctx context.Context, client, _ int) error {
		_, err := c.overTCP[client%len(c.overTCP)].Get(ctx, "x")
		return err
	}}
	compete(b, empty, viaGRPC, viaREST, rawGet)
	report("GetSite, linearizable", empty, empty, viaGRPC, viaREST, rawGet)
}

// following starts a control plane that does not lead, because somebody else took over.
func following(b *testing.B) *controlplanetest.ControlPlane {
	b.Helper()
	fleetFile := filepath.Join(b.TempDir(), "fleet.json")
	one := `[{"code": "SJC", "city": "San Jose", "country": "US", "latitude": 37.36, "longitude": -121.93}]`
	if err := os.WriteFile(fleetFile, []byte(one), 0o600); err != nil {
		b.Fatal(err)
	}
	cp := controlplanetest.Start(b, synced, controlplanetest.DataDir(filepath.Join(b.TempDir(), "d")),
		func(c *server.Config) { c.FleetFile = fleetFile })
	cp.Account(benchAccount)
	cp.Site(cp.REST(cp.Operator), benchAccount, "first.test") // so the catalogue arrived

	store := etcd.New(insideEtcd(b, cp), etcd.Config{})
	lease, err := store.Grant(b.Context(), time.Hour)
	if err == nil {
		elsewhere := []byte(`{"id": "elsewhere"}`)
		_, err = store.Commit(b.Context(), registry.Txn{Then: []registry.Op{
			registry.PutLeased(ledger.LeaderKey, elsewhere, lease),
			registry.PutLeased(resource.HousekeeperKey, elsewhere, lease),
		}})
	}
	if err != nil {
		b.Fatal(err)
	}
	cp.Eventually("another leads", func() bool { return !cp.Server.Leads() })
	return cp
}

// insideEtcd returns a client of a control plane's own etcd.
func insideEtcd(b *testing.B, cp *controlplanetest.ControlPlane) *clientv3.Client {
	b.Helper()
	return dialEtcd(b, "unix://"+filepath.Join(cp.Config.DataDir, "etcd", "etcd.sock"))
}

// synced has the embedded etcd sync its writes, as it does but in tests.
func synced(c *server.Config) { c.EtcdFast = false }

func clientDomain(client int) string { return fmt.Sprintf("client-%02d.test", client) }

func newDomain(kind string, client, n int) string {
	return fmt.Sprintf("%s-%02d-%06d.test", kind, client, n)
}

// caller makes the API's calls, by gRPC and by REST, as the operator.
type caller struct {
	token string
	base  string
	conns []*grpc.ClientConn
	web   *http.Client
}

func newCaller(b *testing.B, cp *controlplanetest.ControlPlane) *caller {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	b.Cleanup(transport.CloseIdleConnections)
	return &caller{
		token: cp.Operator, base: "http://" + cp.Server.HTTPAddr() + "/v1/", web: &http.Client{Transport: transport},
		conns: dialGRPC(b, cp.Server.GRPCAddr()),
	}
}

func (c *caller) conn(client int) *grpc.ClientConn { return c.conns[client%len(c.conns)] }

func (c *caller) as(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
}

func (c *caller) createSite(ctx context.Context, domain string) error {
	_, err := breakwaterv1.NewSiteServiceClient(c.conn(len(domain)+int(domain[len(domain)-6]))).CreateSite(c.as(ctx), &breakwaterv1.CreateSiteRequest{
		Parent: "accounts/" + benchAccount,
		Site:   &breakwaterv1.Site{Domain: domain, Origin: &breakwaterv1.Origin{Address: "203.0.113.10"}},
	})
	return err
}

func (c *caller) createSiteREST(ctx context.Context, domain string) error {
	return c.rest(ctx, http.MethodPost, "accounts/"+benchAccount+"/sites", `{"domain": "`+domain+`", "origin": {"address": "203.0.113.10"}}`)
}

// ttl is another one with each call.
func ttl(n int) int32 { return int32(600 + 60*(n%100)) }

func (c *caller) updateSettings(ctx context.Context, client, n int) error {
	_, err := c.setTTL(ctx, clientDomain(client), client, ttl(n))
	return err
}

func (c *caller) setTTL(ctx context.Context, domain string, client int, seconds int32) (*breakwaterv1.Settings, error) {
	return breakwaterv1.NewSettingsServiceClient(c.conn(client)).UpdateSettings(c.as(ctx), &breakwaterv1.UpdateSettingsRequest{
		Settings: &breakwaterv1.Settings{Name: resource.SettingsName(benchAccount, domain), BrowserTtlSeconds: seconds},
	})
}

func (c *caller) updateSettingsREST(ctx context.Context, client, n int) error {
	return c.rest(ctx, http.MethodPatch, resource.SettingsName(benchAccount, clientDomain(client)),
		fmt.Sprintf(`{"browserTtlSeconds": %d}`, ttl(n)))
}

func (c *caller) getSite(ctx context.Context, client, _ int) error {
	_, err := breakwaterv1.NewSiteServiceClient(c.conn(client)).GetSite(c.as(ctx), &breakwaterv1.GetSiteRequest{
		Name: resource.SiteName(benchAccount, clientDomain(client)),
	})
	return err
}

func (c *caller) getSiteREST(ctx context.Context, client, _ int) error {
	return c.rest(ctx, http.MethodGet, resource.SiteName(benchAccount, clientDomain(client)), "")
}

func (c *caller) rest(ctx context.Context, method, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.web.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	return err
}
