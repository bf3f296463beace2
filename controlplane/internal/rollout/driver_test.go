package rollout

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// world is a store, a cache, a publisher and a fleet of servers that apply at once.
type world struct {
	t     *testing.T
	ctx   context.Context
	store registry.Store
	key   ed25519.PrivateKey
	cache *watchcache.Cache
	edges *edges
	dcs   []string
	term  int64
}

type term struct {
	fence  registry.Compare
	number int64
}

func (t term) Fence() registry.Compare { return t.fence }
func (t term) Number() int64           { return t.number }

func newWorld(t *testing.T, store registry.Store, n int) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	w := &world{
		t: t, ctx: ctx, store: store, key: key, dcs: codes(n),
		cache: watchcache.New(store, watchcache.Config{Prefix: ledger.ControlPrefix}),
		edges: newEdges(store, key, codes(n)),
	}
	wg.Go(func() { _ = w.cache.Run(ctx) })
	wg.Go(func() { w.edges.run(ctx) })
	for _, c := range wire.Channels() {
		w.seal(c, edgev1.Manifest_GENESIS)
	}
	return w
}

// elect writes the leader's key anew.
func (w *world) elect() term {
	w.t.Helper()
	w.term++
	rev, err := w.store.Commit(w.ctx, registry.Txn{Then: []registry.Op{registry.Put(ledger.LeaderKey, fmt.Append(nil, w.term))}})
	if err != nil {
		w.t.Fatal(err)
	}
	return term{registry.Compare{Key: ledger.LeaderKey, ModRevision: rev}, w.term}
}

func (w *world) driver(store registry.Store, scale float64) *Driver {
	w.t.Helper()
	public, _ := w.key.Public().(ed25519.PublicKey)
	d, err := New(Config{
		Edge: store, Control: w.cache, Observer: w.edges, Trust: wire.NewTrust(public),
		DataCenters: w.dcs, Defaults: DefaultPolicies(w.dcs, scale, true),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// start runs a driver until the returned function is called, which returns its error.
func (w *world) start(d *Driver) func() error {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	tm := w.elect()
	go func() { done <- d.Run(ctx, tm) }()
	var once sync.Once
	var err error
	stop := func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	w.t.Cleanup(func() { _ = stop() })
	return stop
}

// seal writes a manifest with its head, as the publisher does.
func (w *world) seal(c wire.Channel, cause edgev1.Manifest_Cause, docs ...string) int64 {
	w.t.Helper()
	for {
		var head storev1.HeadRecord
		rev, err := ledger.Load(w.ctx, w.store, ledger.HeadKey(c), &head)
		if err != nil {
			w.t.Fatal(err)
		}
		m := &edgev1.Manifest{
			Channel: string(c), Number: head.GetLastNumber() + 1, Parent: head.GetRelease(), Cause: cause,
			FromRevision: head.GetCursor(), CoveredRevision: head.GetCursor() + 10,
		}
		m.StateHash = make([]byte, 32)
		m.StateHash[0] = byte(m.GetNumber())
		slices.Sort(docs)
		for _, id := range docs {
			sum := version(int(m.GetNumber()))
			m.Changes = append(m.Changes, &edgev1.Manifest_Change{Kind: wire.KindSite, Id: id, NewSha256: sum[:]})
		}
		signed, err := wire.Sign(w.key, wire.ContextManifest, m)
		if err != nil {
			w.t.Fatal(err)
		}
		manifest, err := ledger.Put(wire.ReleaseKey(c, m.GetNumber()), signed)
		if err != nil {
			w.t.Fatal(err)
		}
		headOp, err := ledger.Put(ledger.HeadKey(c), &storev1.HeadRecord{
			Release: m.GetNumber(), LastNumber: m.GetNumber(), Cursor: m.GetCoveredRevision(),
		})
		if err != nil {
			w.t.Fatal(err)
		}
		_, err = w.store.Commit(w.ctx, registry.Txn{
			If:   []registry.Compare{{Key: ledger.HeadKey(c), ModRevision: rev}},
			Then: []registry.Op{manifest, headOp},
		})
		if _, ok := errors.AsType[*registry.ConflictError](err); ok {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return m.GetNumber()
	}
}

// eventually waits until ok, which it asks again whenever the store or a server changed.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	watch := w.store.Watch(ctx, "", 0)
	defer func() {
		cancel()
		for range watch.C() { // A watch is read to its end.
		}
	}()
	for {
		moved := w.edges.watch()
		if ok() {
			return
		}
		select {
		case <-moved:
		case _, open := <-watch.C():
			if !open {
				w.t.Fatalf("never: %s (%v)", what, watch.Err())
			}
		}
	}
}

func (w *world) record(c wire.Channel) *storev1.RolloutRecord {
	w.t.Helper()
	var rec storev1.RolloutRecord
	if _, err := ledger.Load(w.ctx, w.store, ledger.RolloutKey(c), &rec); err != nil {
		w.t.Fatal(err)
	}
	return &rec
}

func (w *world) live(c wire.Channel, n int64) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s %d is live", c, n), func() bool { return w.record(c).GetLive() == n })
}

func (w *world) abandoned(c wire.Channel, n int64) bool {
	w.t.Helper()
	_, err := w.store.Get(w.ctx, wire.AbandonedKey(c, n))
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

func (w *world) order(id string, cmd *storev1.Command) {
	w.t.Helper()
	op, err := ledger.Put(ledger.CommandKey(id), cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Commit(w.ctx, registry.Txn{Then: []registry.Op{op}}); err != nil {
		w.t.Fatal(err)
	}
}

// edges are servers that watch their targets and report.
type edges struct {
	store   registry.Store
	trust   wire.Trust
	changed chan struct{}

	mu      sync.Mutex
	reports map[string]*edgev1.ReportRequest
	refuse  map[string]bool // documents
	moved   chan struct{}   // closed with every change
}

func (e *edges) watch() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moved
}

func newEdges(store registry.Store, key ed25519.PrivateKey, dcs []string) *edges {
	public, _ := key.Public().(ed25519.PublicKey)
	e := &edges{
		store: store, trust: wire.NewTrust(public), changed: make(chan struct{}, 1),
		reports: map[string]*edgev1.ReportRequest{}, refuse: map[string]bool{},
		moved: make(chan struct{}),
	}
	for _, dc := range dcs {
		e.reports[dc] = &edgev1.ReportRequest{DataCenter: dc, Server: dc + "-1", Incarnation: "1", Healthy: true}
		for _, c := range wire.Channels() {
			e.reports[dc].Channels = append(e.reports[dc].Channels, &edgev1.ChannelReport{Channel: string(c)})
		}
	}
	return e
}

func (e *edges) Changed() <-chan struct{} { return e.changed }
func (e *edges) Steady() time.Time        { return time.Time{} }
func (e *edges) Since() time.Time         { return time.Now().Add(-time.Hour) }

func (e *edges) Servers() []Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Server
	for _, dc := range sortedKeys(e.reports) {
		out = append(out, ServerFromReport(e.reports[dc], true, time.Now()))
	}
	return out
}

func (e *edges) run(ctx context.Context) {
	for ctx.Err() == nil {
		w := e.store.Watch(ctx, wire.EdgePrefix+"targets/", 0)
		for batch := range w.C() {
			for _, ev := range batch.Events {
				var t edgev1.Target
				if proto.Unmarshal(ev.Value, &t) == nil {
					e.apply(ctx, &t)
				}
			}
		}
	}
}

func (e *edges) apply(ctx context.Context, t *edgev1.Target) {
	kv, err := e.store.Get(ctx, wire.ReleaseKey(wire.Channel(t.GetChannel()), t.GetRelease()))
	var signed edgev1.Signed
	var m edgev1.Manifest
	if err != nil || proto.Unmarshal(kv.Value, &signed) != nil || e.trust.Open(&signed, wire.ContextManifest, &m) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.reports[t.GetDataCenter()]
	i := slices.IndexFunc(r.GetChannels(), func(c *edgev1.ChannelReport) bool { return c.GetChannel() == t.GetChannel() })
	next := proto.CloneOf(r)
	c := next.GetChannels()[i]
	if c.GetTargetSequence() >= t.GetSequence() {
		return
	}
	c.TargetSequence = t.GetSequence()
	c.Rejections = nil
	for _, change := range m.GetChanges() {
		if e.refuse[change.GetId()] {
			c.Rejections = append(c.Rejections, &edgev1.Rejection{
				Release: t.GetRelease(), TargetSequence: t.GetSequence(), Cause: edgev1.Rejection_REFUSED,
				Document: change.GetKind() + "/" + change.GetId(), Sha256: change.GetNewSha256(), Reason: "no such thing",
			})
		}
	}
	if len(c.GetRejections()) == 0 {
		c.Release, c.StateHash, c.HealthyFor = t.GetRelease(), m.GetStateHash(), durationpb.New(time.Hour)
	}
	e.reports[t.GetDataCenter()] = next
	close(e.moved)
	e.moved = make(chan struct{})
	poke(e.changed)
}

func (e *edges) serving(c wire.Channel, n int64) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	count := 0
	for _, r := range e.reports {
		for _, ch := range r.GetChannels() {
			if ch.GetChannel() == string(c) && ch.GetRelease() == n {
				count++
			}
		}
	}
	return count
}

func newStore(t *testing.T) *memory.Store {
	t.Helper()
	s := memory.New(memory.Config{})
	t.Cleanup(s.Close)
	return s
}

func TestDriverRollsOut(t *testing.T) {
	w := newWorld(t, newStore(t), 9)
	d := w.driver(w.store, 0)
	if d.Ready(wire.Routine) {
		t.Fatal("ready before it leads")
	}
	stop := w.start(d)
	for i := range 5 {
		n := w.seal(wire.Routine, edgev1.Manifest_CHANGES, fmt.Sprint("s", i, ".test"))
		w.live(wire.Routine, n)
		if got := w.edges.serving(wire.Routine, n); got != 9 {
			t.Fatalf("release %d is served by %d", n, got)
		}
	}
	for !d.Ready(wire.Routine) {
		<-d.Changed()
	}
	w.eventually("the release before is archived", func() bool {
		var p storev1.ReleaseProgress
		rev, err := ledger.Load(w.ctx, w.store, ledger.HistoryKey(wire.Routine, 5), &p)
		return err == nil && rev > 0 && p.GetState() == storev1.ReleaseProgress_GOOD
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if d.Ready(wire.Routine) {
		t.Fatal("ready after it led")
	}
}

func TestDriverAbandons(t *testing.T) {
	w := newWorld(t, newStore(t), 9)
	d := w.driver(w.store, 0)
	w.edges.refuse["bad.test"] = true
	w.start(d)
	n := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "bad.test", "good.test")
	w.eventually("abandoned", func() bool { return w.abandoned(wire.Routine, n) })
	var head storev1.HeadRecord
	if _, err := ledger.Load(w.ctx, w.store, ledger.HeadKey(wire.Routine), &head); err != nil {
		t.Fatal(err)
	}
	if head.GetRelease() != 1 || head.GetLastNumber() != n || head.GetCursor() != 10 {
		t.Fatalf("head %v", &head)
	}
	var q storev1.QuarantineRecord
	id := ledger.QuarantineID(wire.DocumentID{Kind: wire.KindSite, ID: "bad.test"})
	if rev, err := ledger.Load(w.ctx, w.store, ledger.QuarantineKey(id), &q); err != nil || rev == 0 || q.GetReason() != "no such thing" {
		t.Fatalf("quarantine %v %v", &q, err)
	}
	w.eventually("all are back", func() bool { return w.edges.serving(wire.Routine, 1) == 9 })
	next := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "good.test")
	w.live(wire.Routine, next)
}

func TestDriverObeys(t *testing.T) {
	w := newWorld(t, newStore(t), 9)
	w.start(w.driver(w.store, 1)) // With bakes, which the edges attest at once, and a soak.
	n := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "a.test")
	w.live(wire.Routine, n)
	w.order("1", &storev1.Command{Verb: storev1.Command_ROLLBACK, Channel: string(wire.Routine), Release: n, Reason: "enough"})
	w.eventually("rolled back", func() bool { return w.abandoned(wire.Routine, n) && w.edges.serving(wire.Routine, 1) == 9 })
	if rec := w.record(wire.Routine); len(rec.GetSuspects()) != 1 || rec.GetSuspects()[0].GetOrigin() != storev1.Suspect_ROLLBACK {
		t.Fatalf("record %v", rec)
	}
	if _, err := w.store.Commit(w.ctx, registry.Txn{Then: []registry.Op{registry.Put(ledger.CommandKey("2"), []byte{0xff})}}); err != nil {
		t.Fatal(err)
	}
	w.order("3", &storev1.Command{Verb: storev1.Command_RESUME, Channel: string(wire.Routine), Release: n})
	w.eventually("let go", func() bool { return len(w.record(wire.Routine).GetSuspects()) == 0 })
	w.eventually("commands are gone", func() bool {
		l, err := w.store.List(w.ctx, registry.ListRequest{Prefix: ledger.CommandsPrefix})
		return err == nil && len(l.KVs) == 0
	})
}

func TestDriverFollowsControls(t *testing.T) {
	w := newWorld(t, newStore(t), 5)
	d := w.driver(w.store, 0)
	w.start(d)
	w.live(wire.Routine, 1)
	put := func(key string, m proto.Message) {
		op, err := ledger.Put(key, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Commit(w.ctx, registry.Txn{Then: []registry.Op{op}}); err != nil {
			t.Fatal(err)
		}
	}
	put(ledger.PolicyKey(wire.Routine), &storev1.ChannelPolicy{Frozen: true})
	put(ledger.DataCenterKey("D04"), &storev1.DataCenterControl{Drained: true})
	for d.Ready(wire.Routine) {
		<-d.Changed()
	}
	n := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "a.test")
	w.eventually("taken in", func() bool { return w.record(wire.Routine).GetLastNumber() == n })
	if w.edges.serving(wire.Routine, n) != 0 {
		t.Fatal("moved in a frozen channel")
	}
	put(ledger.PolicyKey(wire.Routine), &storev1.ChannelPolicy{})
	w.live(wire.Routine, n)
	if w.edges.serving(wire.Routine, n) != 4 {
		t.Fatal("moved a drained data center")
	}
	put(ledger.DataCenterKey("D04"), &storev1.DataCenterControl{})
	w.eventually("caught up", func() bool { return w.edges.serving(wire.Routine, n) == 5 })
}

func TestDriverIsFenced(t *testing.T) {
	w := newWorld(t, newStore(t), 3)
	old := w.driver(w.store, 0)
	done := make(chan error, 1)
	tm := w.elect()
	go func() { done <- old.Run(w.ctx, tm) }()
	w.live(wire.Routine, 1)
	w.elect()
	w.seal(wire.Routine, edgev1.Manifest_CHANGES, "a.test")
	if err := <-done; !errors.Is(err, ledger.ErrDeposed) {
		t.Fatalf("ended with %v", err)
	}
}

func TestDriverRefusesForeignManifest(t *testing.T) {
	w := newWorld(t, newStore(t), 3)
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := w.key
	d := w.driver(w.store, 0)
	w.start(d)
	w.live(wire.Routine, 1)
	w.live(wire.Urgent, 1)
	w.key = other
	w.seal(wire.Routine, edgev1.Manifest_CHANGES, "a.test")
	w.key = mine
	if _, err := w.cache.Read(w.ctx); err != nil {
		t.Fatal(err)
	}
	if d.Ready(wire.Routine) {
		t.Fatal("ready although what is sealed was not taken in")
	}
	if w.record(wire.Routine).GetLastNumber() != 1 {
		t.Fatal("took in what a stranger signed")
	}
}

func TestDriverSurvivesTheStore(t *testing.T) {
	store := newStore(t)
	w := newWorld(t, store, 5)
	w.start(w.driver(store, 0))
	w.live(wire.Routine, 1)
	for range 3 {
		store.LoseAnswers(2)
		n := w.seal2(wire.Routine)
		w.live(wire.Routine, n)
		store.BreakWatches(registry.ErrUnavailable)
	}
}

// seal2 seals while answers are lost.
func (w *world) seal2(c wire.Channel) int64 {
	w.t.Helper()
	var head storev1.HeadRecord
	if _, err := ledger.Load(w.ctx, w.store, ledger.HeadKey(c), &head); err != nil {
		w.t.Fatal(err)
	}
	m := &edgev1.Manifest{Channel: string(c), Number: head.GetLastNumber() + 1, Parent: head.GetRelease()}
	signed, err := wire.Sign(w.key, wire.ContextManifest, m)
	if err != nil {
		w.t.Fatal(err)
	}
	manifest, _ := ledger.Put(wire.ReleaseKey(c, m.GetNumber()), signed)
	next, _ := ledger.Put(ledger.HeadKey(c), &storev1.HeadRecord{Release: m.GetNumber(), LastNumber: m.GetNumber()})
	if _, err := w.store.Commit(w.ctx, registry.Txn{Then: []registry.Op{manifest, next}}); err != nil && !errors.Is(err, registry.ErrUnknownOutcome) {
		w.t.Fatal(err)
	}
	return m.GetNumber()
}

// busy moves the cursor of a channel's head right before the driver's nth abandonment.
type busy struct {
	registry.Store
	w *world

	mu    sync.Mutex
	times int
}

func (b *busy) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	b.mu.Lock()
	key := ledger.HeadKey(wire.Routine)
	mine := slices.ContainsFunc(txn.Then, func(op registry.Op) bool { return op.Key == key })
	if mine && b.times > 0 {
		b.times--
		var head storev1.HeadRecord
		if _, err := ledger.Load(ctx, b.Store, key, &head); err == nil {
			head.Cursor++
			if op, err := ledger.Put(key, &head); err == nil {
				_, _ = b.Store.Commit(ctx, registry.Txn{Then: []registry.Op{op}})
			}
		}
	}
	b.mu.Unlock()
	return b.Store.Commit(ctx, txn)
}

func TestDriverAbandonsWhileTheHeadMoves(t *testing.T) {
	w := newWorld(t, newStore(t), 5)
	w.edges.refuse["bad.test"] = true
	b := &busy{Store: w.store, w: w, times: 5}
	w.start(w.driver(b, 0))
	n := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "bad.test")
	w.eventually("abandoned", func() bool { return w.abandoned(wire.Routine, n) && w.edges.serving(wire.Routine, 1) == 5 })
	if b.times != 0 {
		t.Fatalf("%d conflicts were not met", b.times)
	}
}
