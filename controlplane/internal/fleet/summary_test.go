package fleet_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
)

// tick is longer than what summaries are gathered for.
const tick = 50 * time.Millisecond

// writing is a world whose summaries are written to a store.
type writing struct {
	*world
	store *memory.Store
	fence registry.Compare
	ended chan error
	stop  context.CancelFunc
}

func newWriting(t *testing.T) *writing {
	t.Helper()
	w := &writing{world: newWorld(t), store: memory.New(memory.Config{}), ended: make(chan error, 1)}
	t.Cleanup(w.store.Close)
	rev := w.commit(registry.Put(ledger.LeaderKey, []byte("me")))
	w.fence = registry.Compare{Key: ledger.LeaderKey, ModRevision: rev}
	w.write()
	return w
}

// write begins to write summaries, and returns when it waits for its first tick.
func (w *writing) write() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ended <- w.fleet.Write(ctx, w.store, w.fence)
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	if err := w.clock.BlockUntilContext(w.t.Context(), 1); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writing) commit(ops ...registry.Op) int64 {
	w.t.Helper()
	rev, err := w.store.Commit(w.t.Context(), registry.Txn{Then: ops})
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

func (w *writing) revision() int64 {
	w.t.Helper()
	rev, err := w.store.Revision(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

// written lets one tick pass, which writes all that changed before, and waits until the
// summary is as wanted.
func (w *writing) written(dc, what string, wanted func(*storev1.FleetRecord) bool) *storev1.FleetRecord {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	after := w.revision()
	key, r := ledger.FleetKey(dc), &storev1.FleetRecord{}
	good := func() bool { return len(r.GetServers()) > 0 && wanted(r) }
	if _, err := ledger.Load(ctx, w.store, key, r); err != nil {
		w.t.Fatal(err)
	}
	w.clock.Advance(tick)
	watch := w.store.Watch(ctx, key, after)
	for batch := range watch.C() {
		for _, e := range batch.Events {
			r = &storev1.FleetRecord{}
			if err := proto.Unmarshal(e.Value, r); err != nil {
				w.t.Fatal(err)
			}
		}
		if good() {
			cancel()
		}
	}
	if !good() {
		w.t.Fatalf("the summary of %s is not %s: %v", dc, what, r)
	}
	return r
}

func TestSummaries(t *testing.T) {
	w := newWriting(t)
	one, two := w.dial(w.certificate("SJC", "sjc-1")), w.dial(w.certificate("SJC", "sjc-2"))
	two.say(report("SJC", "sjc-2", "i"))
	one.say(report("SJC", "sjc-1", "i"))
	r := w.written("SJC", "there", func(r *storev1.FleetRecord) bool { return len(r.GetServers()) == 2 })
	s := r.GetServers()[0]
	if s.GetServer() != "sjc-1" || !s.GetConnected() || !s.GetHealthy() || s.GetIncarnation() != "i" ||
		s.GetReleases()["routine"] != 3 || len(s.GetStateHashes()["routine"]) != 32 {
		t.Errorf("summary = %v", s)
	}

	two.close()
	w.server("SJC", "sjc-2", "lost", lost)
	w.written("SJC", "without sjc-2", func(r *storev1.FleetRecord) bool { return !r.GetServers()[1].GetConnected() })

	// Another leader reads what this one wrote down.
	records, err := fleet.Load(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	w.fleet.Reset(records)
	known := w.server("SJC", "sjc-1", "known", lost)
	if known.Report.GetIncarnation() != "i" || known.Report.GetChannels()[0].GetRelease() != 3 {
		t.Errorf("read back: %+v", known)
	}
	one.close()
	w.server("SJC", "sjc-1", "lost", lost)
	back := w.dial(w.certificate("SJC", "sjc-1"))
	back.say(report("SJC", "sjc-1", "j"))
	if s := w.server("SJC", "sjc-1", "connected", connected); s.Restarts != 1 {
		t.Errorf("restarts = %d, want 1: it started anew while nobody led", s.Restarts)
	}
}

func TestSummariesAreCoalesced(t *testing.T) {
	w := newWriting(t)
	w.written("LHR", "there", func(*storev1.FleetRecord) bool { return true }) // the probe
	before := w.revision()
	one, two := w.dial(w.certificate("SJC", "sjc-1")), w.dial(w.certificate("SJC", "sjc-2"))
	for range 5 {
		one.say(report("SJC", "sjc-1", "i"))
		two.say(report("SJC", "sjc-2", "i"))
	}
	if got := w.revision(); got != before {
		t.Errorf("%d writes before the tick", got-before)
	}
	w.written("SJC", "there", func(r *storev1.FleetRecord) bool { return len(r.GetServers()) == 2 })
	if got := w.revision(); got != before+1 {
		t.Errorf("%d writes, want 1", got-before)
	}

	// Reports that change nothing are not written, but for the time at which it was seen.
	first := w.server("SJC", "sjc-1", "connected", connected).LastSeen
	one.say(report("SJC", "sjc-1", "i"))
	w.clock.Advance(tick)
	one.say(report("SJC", "sjc-1", "i"))
	if got := w.revision(); got != before+1 {
		t.Errorf("%d writes for reports that change nothing", got-before-1)
	}
	for range 6 {
		w.clock.Advance(time.Second)
		one.say(report("SJC", "sjc-1", "i"))
		two.say(report("SJC", "sjc-2", "i"))
	}
	w.written("SJC", "seen later", func(r *storev1.FleetRecord) bool {
		return r.GetServers()[0].GetLastSeenTime().AsTime().After(first.Add(4 * time.Second))
	})
}

func TestSilence(t *testing.T) {
	w := newWriting(t)
	e := w.dial(w.certificate("SJC", "sjc-1"))
	e.say(report("SJC", "sjc-1", "i"))
	w.clock.Advance(2900 * time.Millisecond)
	e.say(report("SJC", "sjc-1", "i"))
	w.clock.Advance(2900 * time.Millisecond)
	w.server("SJC", "sjc-1", "connected", connected)
	w.clock.Advance(200 * time.Millisecond)
	s := w.server("SJC", "sjc-1", "lost", lost)
	if s.Restarts != 0 || s.Report.GetIncarnation() != "i" {
		t.Errorf("silence changed what is known: %+v", s)
	}
	w.written("SJC", "lost", func(r *storev1.FleetRecord) bool { return !r.GetServers()[0].GetConnected() })
	e.say(report("SJC", "sjc-1", "i"))
	w.written("SJC", "back", func(r *storev1.FleetRecord) bool { return r.GetServers()[0].GetConnected() })
}

func TestStoreOutage(t *testing.T) {
	w := newWriting(t)
	w.written("LHR", "there", func(*storev1.FleetRecord) bool { return true })
	w.store.SetUnavailable(true)
	e := w.dial(w.certificate("SJC", "sjc-1"))
	e.say(report("SJC", "sjc-1", "i"))
	for range 3 {
		w.clock.Advance(tick)
		e.say(report("SJC", "sjc-1", "i"))
	}
	w.store.SetUnavailable(false)
	w.written("SJC", "there", func(*storev1.FleetRecord) bool { return true })
	w.store.LoseAnswers(1)
	e.say(report("SJC", "sjc-1", "j"))
	w.written("SJC", "of the new run", func(r *storev1.FleetRecord) bool { return r.GetServers()[0].GetIncarnation() == "j" })
}

func TestDeposedWriterStops(t *testing.T) {
	w := newWriting(t)
	w.commit(registry.Put(ledger.LeaderKey, []byte("another")))
	before := w.revision()
	e := w.dial(w.certificate("SJC", "sjc-1"))
	e.say(report("SJC", "sjc-1", "i"))
	var err error
	w.eventually("the writer stops", func() bool {
		w.clock.Advance(tick)
		select {
		case err = <-w.ended:
			return true
		default:
			return false
		}
	})
	if !errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("Write = %v, want ErrDeposed", err)
	}
	if got := w.revision(); got != before {
		t.Error("a deposed leader wrote")
	}
}

func TestWriterEndsWithItsContext(t *testing.T) {
	w := newWriting(t)
	w.stop()
	if err := <-w.ended; err != nil {
		t.Errorf("Write = %v, want nil", err)
	}
}

func TestLoadRefusesWhatIsNoSummary(t *testing.T) {
	store := memory.New(memory.Config{})
	t.Cleanup(store.Close)
	b, err := proto.Marshal(&storev1.FleetRecord{DataCenter: "SJC"})
	if err != nil {
		t.Fatal(err)
	}
	for value, fails := range map[string]bool{string(b): false, "\xff": true} {
		if _, err := store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(ledger.FleetKey("SJC"), []byte(value))}}); err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.Load(t.Context(), store); (err != nil) != fails {
			t.Errorf("Load of %q: %v", value, err)
		}
	}
}
