package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tb is what a test and a rapid check have in common.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// term is a leadership over a key that the harness put.
type term struct {
	fence  registry.Compare
	number int64
}

func (t term) Fence() registry.Compare { return t.fence }
func (t term) Number() int64           { return t.number }

// gate is open unless a test closes it.
type gate struct {
	mu      sync.Mutex
	closed  map[wire.Channel]bool
	trials  map[wire.Channel]int64
	empty   map[wire.Channel]int64
	changed chan struct{}
}

func newGate() *gate {
	return &gate{
		closed: map[wire.Channel]bool{}, trials: map[wire.Channel]int64{}, empty: map[wire.Channel]int64{},
		changed: make(chan struct{}, 1),
	}
}

func (g *gate) Ready(c wire.Channel) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.closed[c] && g.trials[c] == 0
}

func (g *gate) Trial(c wire.Channel) (int64, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.trials[c]
	return n, n != 0
}

func (g *gate) TrialEmpty(c wire.Channel, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.empty[c] = n
}

func (g *gate) Changed() <-chan struct{} { return g.changed }

func (g *gate) set(c wire.Channel, open bool) {
	g.mu.Lock()
	g.closed[c] = !open
	g.mu.Unlock()
	poke(g.changed)
}

// harness is a registry and an edge store with their caches, and the leader's key.
type harness struct {
	t        tb
	ctx      context.Context
	registry registry.Store
	edge     registry.Store
	regCache *watchcache.Cache
	control  *watchcache.Cache
	gate     *gate
	clock    *clockwork.FakeClock
	key      ed25519.PrivateKey
	term     term
	cfg      Config
	pub      *Publisher
	workers  map[wire.Channel]*worker
	stop     func()
	// lastPut and lastEdge are the newest revisions that the caches must show.
	lastPut, lastEdge int64
}

// newHarness begins on given stores, or on new ones in memory.
func newHarness(t tb, reg, edge registry.Store, change func(*Config)) *harness {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &harness{
		t: t, ctx: ctx, registry: reg, edge: edge, gate: newGate(), clock: clockwork.NewFakeClock(),
		key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
	}
	var wg sync.WaitGroup
	h.stop = func() { cancel(); wg.Wait() }
	h.regCache = watchcache.New(reg, watchcache.Config{Prefix: resource.StatePrefix})
	h.control = watchcache.New(edge, watchcache.Config{Prefix: ledger.ControlPrefix})
	for _, c := range []*watchcache.Cache{h.regCache, h.control} {
		wg.Go(func() { _ = c.Run(ctx) })
	}
	h.cfg = Config{
		Registry: reg, RegistryCache: h.regCache, Edge: edge, ControlCache: h.control,
		Gate: h.gate, Signer: h.key, Clock: h.clock, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&h.cfg)
	}
	h.elect()
	return h
}

// memoryHarness is a harness of its own for one test, with limits in the registry.
func memoryHarness(t *testing.T, change func(*Config)) *harness {
	t.Helper()
	reg, edge := memory.New(memory.Config{}), memory.New(memory.Config{})
	h := newHarness(t, reg, edge, change)
	t.Cleanup(func() { h.stop(); reg.Close(); edge.Close() })
	h.putLimits(nil)
	return h
}

// elect makes this harness the leader, with fresh workers that know nothing.
func (h *harness) elect() {
	h.t.Helper()
	rev, err := h.edge.Commit(h.ctx, registry.Txn{Then: []registry.Op{registry.Put(ledger.LeaderKey, []byte("me"))}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.term = term{registry.Compare{Key: ledger.LeaderKey, ModRevision: rev}, h.term.number + 1}
	h.restart()
}

// restart forgets everything in memory.
func (h *harness) restart() {
	h.t.Helper()
	pub, err := New(h.cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.pub = pub
	h.workers = map[wire.Channel]*worker{}
	for _, c := range wire.Channels() {
		h.workers[c] = newWorker(pub, c, h.term)
	}
}

func (h *harness) put(ops ...registry.Op) int64 {
	h.t.Helper()
	rev, err := h.registry.Commit(h.ctx, registry.Txn{Then: ops})
	if err != nil {
		h.t.Fatal(err)
	}
	h.lastPut = rev
	return rev
}

func record(t tb, key string, m proto.Message) registry.Op {
	t.Helper()
	op, err := ledger.Put(key, m)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// caughtUp waits until both caches show everything. It waits for events only, which come
// sooner than notices of progress.
func (h *harness) caughtUp() {
	h.t.Helper()
	page, err := h.edge.List(h.ctx, registry.ListRequest{Prefix: ledger.ControlPrefix})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, kv := range page.KVs {
		h.lastEdge = max(h.lastEdge, kv.ModRevision)
	}
	if err := h.regCache.WaitRevision(h.ctx, h.lastPut); err != nil {
		h.t.Fatal(err)
	}
	if err := h.control.WaitRevision(h.ctx, h.lastEdge); err != nil {
		h.t.Fatal(err)
	}
}

// settle steps every channel until nothing is left to do, and plays the rollout's part of
// taking releases in.
func (h *harness) settle() {
	h.t.Helper()
	for _, c := range wire.Channels() {
		h.settleChannel(c)
	}
}

func (h *harness) settleChannel(c wire.Channel) {
	h.t.Helper()
	for range 200 {
		h.caughtUp()
		before, _ := h.edge.Revision(h.ctx)
		h.clock.Advance(CursorInterval)
		w := h.workers[c]
		if _, err := w.step(h.ctx); err != nil {
			h.t.Fatalf("%s: %v", c, err)
		}
		h.ingest(c)
		after, _ := h.edge.Revision(h.ctx)
		if w.seen < h.lastPut { // Subscribers hear a moment later than readers.
			<-w.registry.Wait()
		} else if after == before && len(w.sweeping) == 0 {
			return
		}
	}
	h.t.Fatalf("%s does not come to rest", c)
}

// ingest plays the rollout: it takes note of the newest release.
func (h *harness) ingest(c wire.Channel) {
	h.t.Helper()
	head := h.head(c)
	rec := h.rollout(c)
	if rec.GetLastNumber() >= head.GetLastNumber() {
		return
	}
	rec.LastNumber = head.GetLastNumber()
	rec.LastKnownGood = max(rec.GetLastKnownGood(), 1)
	h.putEdge(record(h.t, ledger.RolloutKey(c), rec))
}

func (h *harness) putEdge(ops ...registry.Op) {
	h.t.Helper()
	if _, err := h.edge.Commit(h.ctx, registry.Txn{Then: ops}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) rollout(c wire.Channel) *storev1.RolloutRecord {
	h.t.Helper()
	rec := &storev1.RolloutRecord{}
	if _, err := ledger.Load(h.ctx, h.edge, ledger.RolloutKey(c), rec); err != nil {
		h.t.Fatal(err)
	}
	return rec
}

func (h *harness) head(c wire.Channel) *storev1.HeadRecord {
	h.t.Helper()
	rec := &storev1.HeadRecord{}
	if _, err := ledger.Load(h.ctx, h.edge, ledger.HeadKey(c), rec); err != nil {
		h.t.Fatal(err)
	}
	return rec
}

func (h *harness) manifest(c wire.Channel, n int64) *edgev1.Manifest {
	h.t.Helper()
	signed, m := &edgev1.Signed{}, &edgev1.Manifest{}
	if rev, err := ledger.Load(h.ctx, h.edge, wire.ReleaseKey(c, n), signed); rev == 0 || err != nil {
		h.t.Fatalf("%s %d: %d, %v", c, n, rev, err)
	}
	public, _ := h.key.Public().(ed25519.PublicKey)
	if err := wire.NewTrust(public).Open(signed, wire.ContextManifest, m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// abandon plays the rollout: the head goes back to the parent of release n, whose changes
// become suspects.
func (h *harness) abandon(c wire.Channel, n int64, suspect bool) {
	h.t.Helper()
	m, head := h.manifest(c, n), h.head(c)
	head.Release = m.GetParent()
	head.Cursor = h.manifest(c, m.GetParent()).GetCoveredRevision()
	rec := h.rollout(c)
	if suspect {
		for _, ch := range m.GetChanges() {
			rec.Suspects = slices.DeleteFunc(rec.GetSuspects(), func(s *storev1.Suspect) bool {
				return s.GetKind() == ch.GetKind() && s.GetId() == ch.GetId()
			})
			rec.Suspects = append(rec.Suspects, &storev1.Suspect{
				Kind: ch.GetKind(), Id: ch.GetId(), BadSha256: ch.GetNewSha256(), GoodSha256: ch.GetOldSha256(), Release: n,
			})
		}
	}
	h.putEdge(record(h.t, ledger.HeadKey(c), head), record(h.t, ledger.RolloutKey(c), rec))
}

// documents replays the manifests from the genesis release, checking each, to the
// documents at the head.
func (h *harness) documents(c wire.Channel) map[string]wire.Sum {
	h.t.Helper()
	var path []*edgev1.Manifest
	for n := h.head(c).GetRelease(); n != 0; {
		m := h.manifest(c, n)
		path = append(path, m)
		n = m.GetParent()
	}
	docs, hash := map[string]wire.Sum{}, wire.StateHash{}
	for _, m := range slices.Backward(path) {
		for _, ch := range m.GetChanges() {
			id := wire.DocumentID{Kind: ch.GetKind(), ID: ch.GetId()}
			before, _ := wire.SumFromBytes(ch.GetOldSha256())
			after, _ := wire.SumFromBytes(ch.GetNewSha256())
			if docs[id.String()] != before || before == after {
				h.t.Errorf("%s %d: %v is changed from %v to %v, but is %v", c, m.GetNumber(), id, before, after, docs[id.String()])
			}
			hash = hash.Replace(c, id, before, after)
			docs[id.String()] = after
			if after.IsZero() {
				delete(docs, id.String())
			} else if kv, err := h.edge.Get(h.ctx, wire.BlobKey(after)); err != nil || wire.SumOf(kv.Value) != after {
				h.t.Errorf("%s %d: the blob of %v: %v", c, m.GetNumber(), id, err)
			}
		}
		if string(hash[:]) != string(m.GetStateHash()) || m.GetDocuments() != int64(len(docs)) {
			h.t.Errorf("%s %d: the state hash or the count is wrong", c, m.GetNumber())
		}
		if m.GetFromRevision() > m.GetCoveredRevision() {
			h.t.Errorf("%s %d covers %d to %d", c, m.GetNumber(), m.GetFromRevision(), m.GetCoveredRevision())
		}
	}
	return docs
}

// desired compiles the registry from scratch and holds what is held.
func (h *harness) desired(c wire.Channel) map[string]wire.Sum {
	h.t.Helper()
	h.caughtUp()
	view := h.regCache.Cached()
	held, err := loadHolds(h.control.Cached(), c, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	want := map[wire.DocumentID]wire.Sum{}
	src := sourceOf(c)
	src.changed(view, 0, func(unit string, _ int64) {
		docs, err := src.compile(view, unit)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, d := range docs {
			want[d.ID] = d.Sum
		}
	})
	for _, m := range []map[wire.DocumentID]hold{held.suspects, held.quarantines} {
		for id := range m {
			want[id] = held.wanted(id, want[id])
		}
	}
	out := map[string]wire.Sum{}
	for id, sum := range want {
		if !sum.IsZero() {
			out[id.String()] = sum
		}
	}
	return out
}

func (h *harness) checkPublished(c wire.Channel) {
	h.t.Helper()
	got, want := h.documents(c), h.desired(c)
	if !maps.Equal(got, want) {
		h.t.Errorf("%s: the head has %v, the registry wants %v", c, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for id, sum := range h.workers[c].books.docs {
		if got[id.String()] != sum {
			h.t.Errorf("%s: the books have %v at %v", c, id, sum)
		}
	}
}

// The registry's records, as the services write them.

func (h *harness) putLimits(limits *storev1.LimitsRecord) int64 {
	h.t.Helper()
	if limits == nil {
		limits = &storev1.LimitsRecord{Limits: compile.DefaultLimits()}
	}
	return h.put(record(h.t, resource.LimitsKey, limits))
}

func (h *harness) putApp(id string, version int64, killed bool) int64 {
	h.t.Helper()
	ops, err := catalog.Put(&breakwaterv1.App{Name: catalog.Name(id), Version: version, Killed: killed})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.put(ops...)
}

// site is what the tests vary of a site.
type site struct {
	account, domain string
	state           breakwaterv1.Site_State
	ttl             int32 // Changes the site's document.
	attack          bool  // Changes its shield.
	full            bool
	records         []string // Addresses of its A records.
	label           string   // Changes nothing at the edge.
}

func (h *harness) putSite(s site) int64 {
	h.t.Helper()
	tenant := resource.ForAccount(s.account)
	rec := &storev1.SiteRecord{
		Site: &breakwaterv1.Site{Domain: s.domain, State: s.state, Labels: map[string]string{"l": s.label}},
		Config: &breakwaterv1.SiteConfig{
			Origin:         &breakwaterv1.Origin{Address: "192.0.2.1"},
			Settings:       &breakwaterv1.Settings{EdgeTtlSeconds: s.ttl},
			ThreatSettings: &breakwaterv1.ThreatSettings{UnderAttack: s.attack},
		},
	}
	ops := []registry.Op{record(h.t, resource.DomainIndex(s.domain), h.claim(s))}
	if s.full {
		rec.Site.Setup = breakwaterv1.Site_FULL
		zone := &storev1.ZoneRecord{}
		for i, a := range s.records {
			zone.Records = append(zone.Records, &breakwaterv1.DnsRecord{Id: fmt.Sprint(i), Name: s.domain, Type: "A", Content: a})
		}
		ops = append(ops, record(h.t, tenant.Zone(s.domain), zone))
	}
	return h.put(append(ops, record(h.t, tenant.Site(s.domain), rec))...)
}

func (h *harness) claim(s site) *storev1.DomainRecord {
	h.t.Helper()
	index := &storev1.DomainRecord{}
	if _, err := ledger.Load(h.ctx, h.registry, resource.DomainIndex(s.domain), index); err != nil {
		h.t.Fatal(err)
	}
	if !slices.ContainsFunc(index.GetClaims(), func(c *storev1.DomainRecord_Claim) bool { return c.GetAccount() == s.account }) {
		index.Claims = append(index.Claims, &storev1.DomainRecord_Claim{Account: s.account})
	}
	switch {
	case s.state == breakwaterv1.Site_ACTIVE:
		index.ActiveAccount = s.account
	case index.GetActiveAccount() == s.account:
		index.ActiveAccount = ""
	}
	return index
}

func (h *harness) purgeSite(account, domain string) int64 {
	h.t.Helper()
	tenant := resource.ForAccount(account)
	index := &storev1.DomainRecord{}
	if _, err := ledger.Load(h.ctx, h.registry, resource.DomainIndex(domain), index); err != nil {
		h.t.Fatal(err)
	}
	index.Claims = slices.DeleteFunc(index.GetClaims(), func(c *storev1.DomainRecord_Claim) bool { return c.GetAccount() == account })
	if index.GetActiveAccount() == account {
		index.ActiveAccount = ""
	}
	ops := []registry.Op{registry.Delete(tenant.Site(domain)), registry.Delete(tenant.Zone(domain))}
	if len(index.GetClaims()) == 0 {
		ops = append(ops, registry.Delete(resource.DomainIndex(domain)))
	} else {
		ops = append(ops, record(h.t, resource.DomainIndex(domain), index))
	}
	return h.put(ops...)
}

func (h *harness) putAccount(id string, deleted bool) int64 {
	h.t.Helper()
	account := &breakwaterv1.Account{Name: resource.AccountName(id)}
	if deleted {
		account.DeleteTime = timestamppb.New(h.clock.Now())
	}
	return h.put(record(h.t, resource.ForAccount(id).Record(), &storev1.AccountRecord{Account: account}))
}

func active(account, domain string, ttl int32) site {
	return site{account: account, domain: domain, state: breakwaterv1.Site_ACTIVE, ttl: ttl}
}

// ids are the documents' names, in order.
func ids(docs map[string]wire.Sum) string { return strings.Join(slices.Sorted(maps.Keys(docs)), " ") }

// faulty is a store whose writes fail when a test says so, before or after they are done.
type faulty struct {
	registry.Store
	mu     sync.Mutex
	left   int // Writes until the one that fails; negative for none.
	stored bool
	seen   int
}

var errFault = errors.New("a fault was injected")

func (f *faulty) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	f.mu.Lock()
	f.seen++
	fail := f.left == 0
	if f.left >= 0 {
		f.left--
	}
	stored := f.stored
	f.mu.Unlock()
	if !fail {
		return f.Store.Commit(ctx, txn)
	}
	if stored {
		if _, err := f.Store.Commit(ctx, txn); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%w: %w", registry.ErrUnknownOutcome, errFault)
	}
	return 0, fmt.Errorf("%w: %w", registry.ErrUnavailable, errFault)
}

func (f *faulty) arm(after int, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.stored = after, stored
}
