package incident

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a control store, and a leader's tracker over it that a test turns by hand.
type world struct {
	t       *testing.T
	store   *memory.Store
	cache   *watchcache.Cache
	clock   *clockwork.FakeClock
	tracker *Tracker
	watch   *watch
	fence   registry.Compare
	// failing makes manifests unreadable.
	failing error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, store: memory.New(memory.Config{}), clock: clockwork.NewFakeClock()}
	w.cache = watchcache.New(w.store, watchcache.Config{Prefix: ledger.ControlPrefix})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; w.store.Close() })
	w.tracker = New(Config{
		Control: w.store, View: func() View { return w.cache.Cached() },
		Documents: func(wire.Channel, int64) ([]wire.DocumentID, error) {
			return []wire.DocumentID{{Kind: wire.KindSite, ID: "shop.test"}, {Kind: wire.KindDNS, ID: "shop.test"}, {Kind: wire.KindSite, ID: "b.test"}}, w.failing
		},
		Owners: func(domain string) []string { return []string{"owner of " + domain} },
		Day:    w.clock, Machine: w.clock, Logger: slog.New(slog.DiscardHandler),
	})
	w.elect()
	w.heartbeat("SJC", "LHR")
	w.look() // The first leader ever writes the cursor.
	return w
}

// elect makes a new leader.
func (w *world) elect() {
	w.t.Helper()
	w.fence = registry.Compare{Key: ledger.LeaderKey, ModRevision: w.commit(registry.Put(ledger.LeaderKey, nil))}
	w.watch = &watch{since: map[string]time.Time{}}
}

func (w *world) commit(ops ...registry.Op) int64 {
	w.t.Helper()
	rev, err := w.store.Commit(w.t.Context(), registry.Txn{Then: ops})
	if err != nil {
		w.t.Fatal(err)
	}
	w.caught(rev)
	return rev
}

func (w *world) caught(rev int64) {
	w.t.Helper()
	if err := w.cache.WaitRevision(w.t.Context(), rev); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(key string, m proto.Message) {
	w.t.Helper()
	op, err := ledger.Put(key, m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.commit(op)
}

// heartbeat makes data centers report, well, release 5 of the routine channel.
func (w *world) heartbeat(dcs ...string) {
	w.t.Helper()
	w.put(ledger.RolloutKey(wire.Routine), &storev1.RolloutRecord{Releases: []*storev1.ReleaseProgress{{Number: 5}}})
	for _, dc := range dcs {
		w.put(ledger.FleetKey(dc), &storev1.FleetRecord{DataCenter: dc, Servers: []*storev1.FleetRecord_Server{{
			Server: "1", Connected: true, Healthy: true, Releases: map[string]int64{"routine": 5}, LastSeenTime: timestamppb.New(w.clock.Now()),
		}}})
	}
}

func (w *world) harm(n int64) {
	w.t.Helper()
	w.put(ledger.HistoryKey(wire.Routine, n), &storev1.ReleaseProgress{
		Number: n, State: storev1.ReleaseProgress_ABANDONED, HurtDataCenters: []string{"SJC"}, Changes: 3,
		Reason: "SJC/sjc-1: the server crashed: site/shop.test",
	})
}

// look looks once and waits until the cache shows what came of it.
func (w *world) look() {
	w.t.Helper()
	if err := w.tracker.look(w.t.Context(), w.fence, w.watch); err != nil {
		w.t.Fatal(err)
	}
	rev, err := w.store.Revision(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.caught(rev)
}

func (w *world) kept() []*storev1.IncidentRecord {
	w.t.Helper()
	kept, err := Kept(w.cache.Cached())
	if err != nil {
		w.t.Fatal(err)
	}
	return kept
}

func TestTrackerTellsOnce(t *testing.T) {
	w := newWorld(t)
	w.put(ledger.HistoryKey(wire.Routine, 6), &storev1.ReleaseProgress{Number: 6, State: storev1.ReleaseProgress_ABANDONED})
	w.look()
	if len(w.kept()) != 0 {
		t.Fatalf("a release that hurt nobody: %v", w.kept())
	}
	w.harm(7)
	for range 3 {
		w.look()
		w.elect()
		w.look()
	}
	kept := w.kept()
	if len(kept) != 1 {
		t.Fatalf("got %v", kept)
	}
	in := kept[0].GetIncident()
	if kinds(in) != "DETECTED ROLLED_BACK" || in.GetAffectedSites() != 2 || in.GetDataCenters()[0] != "SJC" {
		t.Fatalf("got %v", in)
	}
	if text := in.String(); strings.Contains(text, "shop") || strings.Contains(text, ".test") {
		t.Errorf("the incident names a customer: %s", text)
	}
	// A release with a lower number may finish later.
	w.harm(6)
	w.look()
	if got := kinds(w.kept()[0].GetIncident()); got != "DETECTED ROLLED_BACK ROLLED_BACK" {
		t.Errorf("got %s", got)
	}
	w.clock.Advance(quiet)
	w.heartbeat("SJC", "LHR")
	w.elect()
	w.look()
	w.look()
	if got := w.kept()[0].GetIncident(); got.GetState() != breakwaterv1.Incident_RESOLVED || len(w.kept()) != 1 {
		t.Errorf("got %v", w.kept())
	}
}

// What an operator takes back after its first wave is told, with where it was; what stood on
// it is not told again, nor what only the first wave met.
func TestTrackerOfRollbacks(t *testing.T) {
	w := newWorld(t)
	abandoned := func(n, parent int64, passed bool) {
		first := &storev1.ReleaseProgress_Wave{DataCenters: []string{"SJC"}, EnterTime: timestamppb.Now()}
		second := &storev1.ReleaseProgress_Wave{DataCenters: []string{"LHR"}}
		if passed {
			first.PassTime, second.EnterTime = timestamppb.Now(), timestamppb.Now()
		}
		w.put(ledger.HistoryKey(wire.Routine, n), &storev1.ReleaseProgress{
			Number: n, Parent: parent, State: storev1.ReleaseProgress_ABANDONED, Reason: "shop.test complained", Changes: 1,
			Waves: []*storev1.ReleaseProgress_Wave{first, second, {DataCenters: []string{"NRT"}}},
		})
	}
	abandoned(6, 5, false)
	w.look()
	if len(w.kept()) != 0 {
		t.Fatalf("only the first wave met it: %v", w.kept())
	}
	abandoned(7, 5, true)
	abandoned(8, 7, true)
	w.look()
	kept := w.kept()
	if len(kept) != 1 {
		t.Fatalf("got %v", kept)
	}
	in := kept[0].GetIncident()
	if in.GetCause() != breakwaterv1.Incident_ROLLBACK || kinds(in) != "ROLLED_BACK" || strings.Join(in.GetDataCenters(), " ") != "LHR SJC" ||
		strings.Contains(in.String(), "shop") {
		t.Fatalf("got %v", in)
	}
	w.clock.Advance(quiet)
	w.heartbeat("SJC", "LHR")
	w.look()
	if got := w.kept()[0].GetIncident(); got.GetState() != breakwaterv1.Incident_RESOLVED {
		t.Errorf("got %v", got)
	}
	w.put(ledger.RolloutKey(wire.Routine), &storev1.RolloutRecord{
		Releases: []*storev1.ReleaseProgress{{Number: 5}}, Reverts: []*storev1.Revert{{Release: 4}},
		Suspects: []*storev1.Suspect{{Kind: wire.KindSite, Id: "shop.test", Release: 4, Origin: storev1.Suspect_REVERT}},
	})
	for range 3 {
		w.look()
		w.elect()
	}
	if kept = w.kept(); len(kept) != 2 {
		t.Fatalf("got %v", kept)
	}
	in = kept[1].GetIncident()
	if kinds(in) != "ROLLED_BACK" || in.GetAffectedSites() != 1 || strings.Contains(in.String(), "shop") {
		t.Errorf("got %v", in)
	}
}

func TestTrackerFailures(t *testing.T) {
	w := newWorld(t)
	w.harm(7)
	// A manifest that can't be read now is read later; one that was pruned counts no site.
	w.failing = errors.New("no answer")
	if err := w.tracker.look(t.Context(), w.fence, w.watch); !errors.Is(err, w.failing) {
		t.Fatalf("got %v", err)
	}
	w.failing = registry.ErrNotFound
	w.store.SetUnavailable(true)
	if err := w.tracker.look(t.Context(), w.fence, w.watch); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	w.store.SetUnavailable(false)
	w.look()
	if kept := w.kept(); len(kept) != 1 || len(kept[0].GetIncident().GetTimeline()) != 2 {
		t.Fatalf("got %v", kept)
	}
	// An operator's words at the same time are kept.
	name := w.kept()[0].GetIncident().GetName()
	key, _ := Key(name)
	stale := w.cache.Cached()
	w.tracker.cfg.View = func() View { return stale }
	rec := proto.CloneOf(w.kept()[0])
	rec.Incident.Title = "by an operator"
	w.put(key, rec)
	w.clock.Advance(quiet)
	w.look()
	w.tracker.cfg.View = func() View { return w.cache.Cached() }
	if got := w.kept()[0].GetIncident(); got.GetTitle() != "by an operator" || got.GetState() != breakwaterv1.Incident_OPEN {
		t.Fatalf("got %v", got)
	}
	w.heartbeat("SJC", "LHR")
	w.look()
	if got := w.kept()[0].GetIncident(); got.GetTitle() != "by an operator" || got.GetState() != breakwaterv1.Incident_RESOLVED {
		t.Fatalf("got %v", got)
	}
	// A deposed leader stops.
	old, watch := w.fence, w.watch
	w.elect()
	w.harm(8)
	if err := w.tracker.look(t.Context(), old, watch); !errors.Is(err, ledger.ErrDeposed) {
		t.Fatalf("got %v", err)
	}
}

func TestTrackerOfLostDataCenters(t *testing.T) {
	w := newWorld(t)
	away := func() {
		w.put(ledger.FleetKey("SJC"), &storev1.FleetRecord{DataCenter: "SJC", Servers: []*storev1.FleetRecord_Server{{Server: "1"}}})
	}
	pass := func(n int) {
		for range n {
			w.heartbeat("LHR")
			w.look()
			w.clock.Advance(time.Second)
		}
	}
	away()
	pass(10)
	if len(w.kept()) != 0 {
		t.Fatalf("after 10 s: %v", w.kept())
	}
	pass(2)
	if kept := w.kept(); len(kept) != 1 || kept[0].GetIncident().GetTitle() != "SJC stopped reporting" {
		t.Fatalf("got %v", kept)
	}
	// A new leader knows, and does not forget the time.
	w.elect()
	pass(15)
	if kept := w.kept(); len(kept) != 1 || len(kept[0].GetIncident().GetTimeline()) != 1 {
		t.Fatalf("got %v", kept)
	}
	// A server whose last word is old does not report, whatever its record says.
	w.heartbeat("SJC")
	for range 12 {
		w.heartbeat("SJC", "LHR")
		w.look()
		w.clock.Advance(time.Second)
	}
	if kept := w.kept(); len(kept) != 1 || kept[0].GetIncident().GetState() != breakwaterv1.Incident_RESOLVED {
		t.Fatalf("got %v", kept)
	}
	pass(50)
	if kept := w.kept(); len(kept) != 2 {
		t.Fatalf("a silent record: %v", kept)
	}
	// Taking a data center out ends it.
	w.put(ledger.DataCenterKey("SJC"), &storev1.DataCenterControl{Drained: true})
	pass(12)
	if kept := w.kept(); kept[1].GetIncident().GetState() != breakwaterv1.Incident_RESOLVED {
		t.Fatalf("got %v", kept)
	}
}

// Whatever fails and whoever leads, each harm is told exactly once.
func TestTrackerUnderFaults(t *testing.T) {
	w := newWorld(t)
	rng := rand.New(rand.NewPCG(3, 3))
	told, next := 0, int64(10)
	for range 300 {
		switch rng.IntN(6) {
		case 0:
			w.harm(next)
			next++
			told++
		case 1:
			w.elect()
		case 2:
			w.store.SetUnavailable(true)
			_ = w.tracker.look(t.Context(), w.fence, w.watch)
			w.store.SetUnavailable(false)
		case 3:
			// The write is made and nobody hears of it.
			w.store.LoseAnswers(1)
			_ = w.tracker.look(t.Context(), w.fence, w.watch)
			w.store.LoseAnswers(0)
		case 4:
			w.clock.Advance(20 * time.Second)
			w.heartbeat("SJC", "LHR")
		default:
			w.look()
		}
	}
	w.elect()
	w.look()
	got := 0
	for _, rec := range w.kept() {
		got += strings.Count(kinds(rec.GetIncident()), "ROLLED_BACK")
	}
	if got != told {
		t.Fatalf("%d of %d were told", got, told)
	}
}

func TestRunEndsWithItsTerm(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.tracker.Run(ctx, w.fence) }()
	for range 100 {
		w.tracker.Notify() // It never blocks.
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.harm(7)
	old := w.fence
	w.elect()
	go func() { done <- w.tracker.Run(t.Context(), old) }()
	if err := <-done; !errors.Is(err, ledger.ErrDeposed) {
		t.Fatal(err)
	}
}
