package activation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeProver answers as the test says: by name server pair or token.
type fakeProver struct {
	mu      sync.Mutex
	results map[string]onboard.Kind
	asked   int
}

func (p *fakeProver) say(key string, kind onboard.Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results[key] = kind
}

func (p *fakeProver) answer(key string) onboard.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	kind, ok := p.results[key]
	if !ok {
		kind = onboard.NotDelegated
	}
	return onboard.Result{Kind: kind, Temporary: kind.Temporary(), Reason: "as the test says"}
}

func (p *fakeProver) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *fakeProver) CheckDelegation(_ context.Context, _ string, want []string) onboard.Result {
	return p.answer(want[0])
}

func (p *fakeProver) CheckTXT(_ context.Context, _, want string) onboard.Result {
	return p.answer(want)
}

func (p *fakeProver) CheckCNAME(_ context.Context, _, want string) onboard.Result {
	return p.answer(want)
}

type world struct {
	t      *testing.T
	store  *memory.Store
	cache  *watchcache.Cache
	clock  *clockwork.FakeClock
	prover *fakeProver
	worker *Worker
	writer *change.Writer
}

var start = time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clockwork.NewFakeClockAt(start), prover: &fakeProver{results: map[string]onboard.Kind{}}}
	w.store = memory.New(memory.Config{})
	t.Cleanup(w.store.Close)
	ctx, cancel := context.WithCancel(context.Background())
	w.cache = watchcache.New(w.store, watchcache.Config{Prefix: resource.StatePrefix})
	done := make(chan struct{})
	go func() { defer close(done); _ = w.cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	var ids atomic.Int64
	newID := func(time.Time) string { return fmt.Sprintf("id%06d", ids.Add(1)) }
	w.writer = change.New(w.store, change.FromCache(w.cache), change.Config{
		Clock: w.clock, Logger: slog.New(slog.DiscardHandler), NewID: newID,
	})
	plans, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	w.worker = New(Config{
		Writer: w.writer, Feed: w.cache, History: w.store, Prover: w.prover, Plans: plans, Clock: w.clock,
		Logger: slog.New(slog.DiscardHandler), NewID: newID, Rand: func() float64 { return 0.5 },
		Schedule: onboard.Production(), Times: sitestate.Production(),
	})
	return w
}

// add stores a pending site as the service of sites would. Its proof is known by the key.
func (w *world) add(account, domain, proof string, setup breakwaterv1.Site_Setup) {
	w.t.Helper()
	rec := &storev1.SiteRecord{
		Site: &breakwaterv1.Site{
			Name: resource.SiteName(account, domain), Domain: domain, Setup: setup, Plan: "free", Uid: account + domain,
		},
		Config: &breakwaterv1.SiteConfig{},
	}
	pair := []string{proof, "ns." + proof}
	if setup == breakwaterv1.Site_PARTIAL {
		pair = nil
		rec.Site.Verification = &breakwaterv1.Site_Verification{Type: "TXT", Name: "_breakwater." + domain, Value: proof}
	}
	rec.Site.NameServers = pair
	sitestate.CompleteConfig(rec.GetConfig())
	w.must(change.Do(w.t.Context(), w.writer, resource.ForAccount(account), func(tx *change.Tx) (*storev1.SiteRecord, error) {
		r, _ := proto.Clone(rec).(*storev1.SiteRecord)
		sitestate.Await(r, true, tx.Now(), sitestate.Production())
		index := &storev1.DomainRecord{}
		_ = tx.Get(resource.DomainIndex(domain), index)
		if err := sitestate.Claim(index, account, pair); err != nil {
			return nil, err
		}
		if err := tx.Put(resource.DomainIndex(domain), index); err != nil {
			return nil, err
		}
		return r, sitestate.CommitVersion(tx, r, sitestate.Change{Cause: "CreateSite"}, 20, &breakwaterv1.AuditEvent{})
	}))
}

func (w *world) must(_ *storev1.SiteRecord, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// edit changes a site without a version.
func (w *world) edit(account, domain string, fn func(rec *storev1.SiteRecord, now time.Time)) {
	w.t.Helper()
	w.must(change.Do(w.t.Context(), w.writer, resource.ForAccount(account), func(tx *change.Tx) (*storev1.SiteRecord, error) {
		rec, key := &storev1.SiteRecord{}, resource.ForAccount(account).Site(domain)
		if err := tx.Get(key, rec); err != nil {
			return nil, err
		}
		fn(rec, tx.Now())
		return rec, sitestate.CommitTouch(tx, rec, tx.RevisionOf(key), nil)
	}))
}

// advance moves the clock and does what is due.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.clock.Advance(d)
	if err := w.worker.RunDue(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(key string, m proto.Message) bool {
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

func (w *world) site(account, domain string) *storev1.SiteRecord {
	w.t.Helper()
	rec := &storev1.SiteRecord{}
	if !w.read(resource.ForAccount(account).Site(domain), rec) {
		return nil
	}
	return rec
}

func (w *world) wantState(account, domain string, want breakwaterv1.Site_State) *storev1.SiteRecord {
	w.t.Helper()
	rec := w.site(account, domain)
	if rec.GetSite().GetState() != want {
		w.t.Fatalf("%s in %s is %v (%s), want %v", domain, account, rec.GetSite().GetState(), rec.GetSite().GetStateReason(), want)
	}
	return rec
}

func (w *world) active(domain string) string {
	w.t.Helper()
	index := &storev1.DomainRecord{}
	w.read(resource.DomainIndex(domain), index)
	return index.GetActiveAccount()
}

func (w *world) revision(account, domain string) int64 {
	w.t.Helper()
	kv, err := w.store.Get(w.t.Context(), resource.ForAccount(account).Site(domain))
	if err != nil {
		w.t.Fatal(err)
	}
	return kv.ModRevision
}

func (w *world) wantAudit(account, method string) {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), registry.ListRequest{Prefix: resource.ForAccount(account).AuditNewOf()})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range page.KVs {
		e := &breakwaterv1.AuditEvent{}
		if err := proto.Unmarshal(kv.Value, e); err != nil {
			w.t.Fatal(err)
		}
		if e.GetMethod() == method && e.GetPrincipal() == "system" && e.GetResource() != "" && e.GetCreateTime() != nil {
			return
		}
	}
	w.t.Errorf("%s has no event %s", account, method)
}
