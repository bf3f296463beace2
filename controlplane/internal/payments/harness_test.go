package payments_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC)

// world is a registry with the payments over it.
type world struct {
	t        testing.TB
	store    *memory.Store
	cache    *watchcache.Cache
	clock    *clockwork.FakeClock
	writer   *change.Writer
	plans    *billing.Plans
	apps     *catalog.Catalog
	payments *payments.Payments
	newID    func(time.Time) string
}

// Catalog implements payments.Apps.
func (w *world) Catalog(context.Context) (*catalog.Catalog, error) { return w.apps, nil }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: clockwork.NewFakeClockAt(start), store: memory.New(memory.Config{})}
	t.Cleanup(w.store.Close)
	ctx, cancel := context.WithCancel(context.Background())
	w.cache = watchcache.New(w.store, watchcache.Config{Prefix: resource.StatePrefix})
	done := make(chan struct{})
	go func() { defer close(done); _ = w.cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	var ids atomic.Int64
	w.newID = func(time.Time) string { return fmt.Sprintf("id%06d", ids.Add(1)) }
	source := change.FromCache(w.cache)
	w.writer = change.New(w.store, source, change.Config{Clock: w.clock, Logger: slog.New(slog.DiscardHandler), NewID: w.newID})
	var err error
	if w.plans, err = billing.Load(); err != nil {
		t.Fatal(err)
	}
	entries, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	if w.apps, err = catalog.New(entries); err != nil {
		t.Fatal(err)
	}
	w.payments = payments.New(payments.Config{
		Writer: w.writer, Source: source, Plans: w.plans, Apps: w, Pending: 28 * 24 * time.Hour,
	})
	return w
}

// account stores an account with an owner.
func (w *world) account(id string) {
	w.put(resource.ForAccount(id).Record(), &storev1.AccountRecord{Account: &breakwaterv1.Account{
		Name: resource.AccountName(id), DisplayName: "The " + id,
	}})
	w.put(resource.ForAccount(id).Member("m1"), &storev1.MemberRecord{Member: &breakwaterv1.Member{
		Name: resource.MemberName(id, "m1"), Email: "owner@" + id + ".example", Role: breakwaterv1.Member_OWNER,
		State: breakwaterv1.Member_ACTIVE,
	}})
}

// site stores an active site.
func (w *world) site(account, domain, plan string, config *breakwaterv1.SiteConfig) {
	w.put(resource.ForAccount(account).Site(domain), &storev1.SiteRecord{
		Site: &breakwaterv1.Site{
			Name: resource.SiteName(account, domain), Domain: domain, Plan: plan, Version: 1, Uid: "u" + domain,
			State: breakwaterv1.Site_ACTIVE,
		},
		Config: config, OldestVersion: 1,
	})
}

func (w *world) put(key string, m proto.Message) {
	w.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	rev, err := w.store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, b)}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.cache.WaitRevision(w.t.Context(), rev); err != nil {
		w.t.Fatal(err)
	}
}

// get reads what is stored; false where nothing is.
func (w *world) get(key string, m proto.Message) bool {
	w.t.Helper()
	kv, err := w.store.Get(w.t.Context(), key)
	if err != nil {
		return false
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		w.t.Fatal(err)
	}
	return true
}

func (w *world) siteRecord(account, domain string) *storev1.SiteRecord {
	w.t.Helper()
	rec := &storev1.SiteRecord{}
	if !w.get(resource.ForAccount(account).Site(domain), rec) {
		w.t.Fatalf("%s has no site %s", account, domain)
	}
	return rec
}

func (w *world) update(account string, fn func(billing.Tx) error) error {
	return w.payments.Update(w.t.Context(), account, fn)
}

func (w *world) mustUpdate(account string, fn func(billing.Tx) error) {
	w.t.Helper()
	if err := w.update(account, fn); err != nil {
		w.t.Fatal(err)
	}
}

// keys are the stored keys below a prefix.
func (w *world) keys(prefix string) []string {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), registry.ListRequest{Prefix: prefix})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, kv := range page.KVs {
		out = append(out, kv.Key)
	}
	return out
}

// revision is that of the newest change of the store.
func (w *world) revision() int64 {
	w.t.Helper()
	rev, err := w.store.Revision(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}
