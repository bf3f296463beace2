package service

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// siteWorld is a store, a cache and the services below a site, with a clock that stands.
type siteWorld struct {
	t       *testing.T
	store   *memory.Store
	cache   *watchcache.Cache
	writer  *change.Writer
	clock   *clockwork.FakeClock
	plans   *billing.Plans
	sites   *Sites
	set     *Settings
	threats *Threats
	apps    *Apps
	base    SiteBase
	offer   *AppOffer
}

var siteStart = time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC)

func newSiteWorld(t *testing.T, accounts ...string) *siteWorld {
	t.Helper()
	w := &siteWorld{t: t, clock: clockwork.NewFakeClockAt(siteStart)}
	w.store = memory.New(memory.Config{})
	t.Cleanup(w.store.Close)
	ctx, cancel := context.WithCancel(context.Background())
	w.cache = watchcache.New(w.store, watchcache.Config{Prefix: resource.StatePrefix})
	done := make(chan struct{})
	go func() { defer close(done); _ = w.cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	var ids atomic.Int64
	newID := func(time.Time) string { return fmt.Sprintf("id%06d", ids.Add(1)) }
	source := change.FromCache(w.cache)
	w.writer = change.New(w.store, source, change.Config{
		Clock: w.clock, Logger: slog.New(slog.DiscardHandler), NewID: newID,
	})
	var err error
	if w.plans, err = billing.Load(); err != nil {
		t.Fatal(err)
	}
	w.base = SiteBase{Writer: w.writer, Source: source, Plans: w.plans, NewID: newID}
	w.offer = NewAppOffer(AppOfferConfig{Source: source, History: w.store})
	var pool []string
	for i := range 10 {
		pool = append(pool, fmt.Sprintf("ns%d.breakwater.example", i))
	}
	w.sites = NewSites(SitesConfig{
		SiteBase: w.base, Apps: w.offer, Feed: w.cache, NameServers: pool,
		VerificationSecret: []byte("0123456789abcdef"), VerificationZone: "breakwater.example", Times: sitestate.Production(),
	})
	w.set = NewSettings(SettingsConfig{SiteBase: w.base, Apps: w.offer, Times: sitestate.Production()})
	w.threats = NewThreats(ThreatsConfig{SiteBase: w.base, Apps: w.offer})
	w.apps = NewApps(AppsConfig{SiteBase: w.base, Apps: w.offer})

	var ops []registry.Op
	for _, a := range append([]string{"acme"}, accounts...) {
		ops = append(ops, registry.Put(resource.ForAccount(a).Record(), mustMarshal(t, &storev1.AccountRecord{
			Account: &breakwaterv1.Account{Name: resource.AccountName(a)},
		})))
	}
	apps, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, app := range apps {
		puts, err := catalog.Put(app)
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, puts...)
	}
	rev, err := w.store.Commit(t.Context(), registry.Txn{Then: ops})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cache.WaitRevision(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	return w
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// as is a context in which somebody calls a method. With sites, an editor of these alone.
func (w *siteWorld) as(method string, sites ...string) context.Context {
	p := authn.Principal{Kind: authn.Token, ID: "accounts/acme/tokens/t1", Grants: []authn.Grant{
		{Account: "acme", Permissions: []string{"*"}, Sites: sites},
		{Account: "rival", Permissions: []string{"*"}},
	}}
	return call.With(w.t.Context(), call.Info{
		FullMethod: "/breakwater.v1.Test/" + method, Principal: p, Peer: netip.MustParseAddr("192.0.2.7"),
	})
}

// keyed is as with an idempotency key.
func (w *siteWorld) keyed(method, key string, req proto.Message) context.Context {
	info := call.From(w.as(method))
	info.IdempotencyKey, info.RequestDigest = key, sha256.Sum256(mustMarshal(w.t, req))
	return call.With(w.t.Context(), info)
}

func (w *siteWorld) create(account, domain string) *breakwaterv1.Site {
	w.t.Helper()
	s, err := w.sites.CreateSite(w.as("CreateSite"), &breakwaterv1.CreateSiteRequest{
		Parent: resource.AccountName(account),
		Site: &breakwaterv1.Site{
			Domain: domain, Origin: &breakwaterv1.Origin{Address: "192.0.2.10"},
		},
	})
	if err != nil {
		w.t.Fatalf("create %s in %s: %v", domain, account, err)
	}
	return s
}

func (w *siteWorld) get(name string) *breakwaterv1.Site {
	w.t.Helper()
	s, err := w.sites.GetSite(w.as("GetSite"), &breakwaterv1.GetSiteRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// edit changes a stored site behind the services' back.
func (w *siteWorld) edit(account, domain string, fn func(rec *storev1.SiteRecord)) {
	w.t.Helper()
	key := resource.ForAccount(account).Site(domain)
	kv, err := w.store.Get(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		w.t.Fatal(err)
	}
	fn(rec)
	w.put(key, rec)
}

func (w *siteWorld) put(key string, m proto.Message) {
	w.t.Helper()
	rev, err := w.store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, mustMarshal(w.t, m))}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.cache.WaitRevision(w.t.Context(), rev); err != nil {
		w.t.Fatal(err)
	}
}

func (w *siteWorld) plan(account, domain, plan string) {
	w.t.Helper()
	w.edit(account, domain, func(rec *storev1.SiteRecord) { rec.GetSite().Plan = plan })
}

// siteRefusal is what a refusal says; as a type of its own it is no error that a test has
// to handle.
type siteRefusal rpcerr.Error

// wantReason fails unless err has the code, the reason and, where given, the field.
func wantReason(t *testing.T, err error, code codes.Code, reason rpcerr.Reason, field string) *siteRefusal {
	t.Helper()
	s := rpcerr.Status(err)
	if s.Code() != code {
		t.Fatalf("got %v (%v), want %v %s", s.Code(), err, code, reason)
	}
	e := rpcerrOf(err)
	if e == nil {
		return nil
	}
	if e.Reason != reason {
		t.Fatalf("got reason %s (%v), want %s", e.Reason, err, reason)
	}
	if field == "" {
		return (*siteRefusal)(e)
	}
	for _, v := range e.Violations {
		if v.Field == field {
			return (*siteRefusal)(e)
		}
	}
	if e.Subject != field {
		t.Fatalf("no violation of %s in %+v", field, e.Violations)
	}
	return (*siteRefusal)(e)
}

func structOf(t *testing.T, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *siteWorld) domain(domain string) *storev1.DomainRecord {
	w.t.Helper()
	kv, err := w.store.Get(w.t.Context(), resource.DomainIndex(domain))
	if err != nil {
		w.t.Fatal(err)
	}
	d := &storev1.DomainRecord{}
	if err := proto.Unmarshal(kv.Value, d); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *siteWorld) editDomain(domain string, fn func(d *storev1.DomainRecord)) {
	w.t.Helper()
	d := w.domain(domain)
	fn(d)
	w.put(resource.DomainIndex(domain), d)
}

func (w *siteWorld) record(account, domain string) *storev1.SiteRecord {
	w.t.Helper()
	kv, err := w.store.Get(w.t.Context(), resource.ForAccount(account).Site(domain))
	if err != nil {
		w.t.Fatal(err)
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		w.t.Fatal(err)
	}
	return rec
}

func (w *siteWorld) revision(account, domain string) int64 {
	w.t.Helper()
	kv, err := w.store.Get(w.t.Context(), resource.ForAccount(account).Site(domain))
	if err != nil {
		w.t.Fatal(err)
	}
	return kv.ModRevision
}

func (w *siteWorld) settings(site string) *breakwaterv1.Settings {
	w.t.Helper()
	s, err := w.set.GetSettings(w.as("GetSettings"), &breakwaterv1.GetSettingsRequest{Name: site + "/settings"})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}
