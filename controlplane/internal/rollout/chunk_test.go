package rollout

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestManySuspects: thousands of suspects do not make the record large, survive a change of
// leaders, and leave nothing behind.
func TestManySuspects(t *testing.T) {
	w := newWorld(t, newStore(t), 3)
	stop := w.start(w.driver(w.store, 1))
	var docs []string
	for i := range 3 * chunkSize {
		docs = append(docs, fmt.Sprintf("s%06d.test", i))
	}
	n := w.seal(wire.Routine, edgev1.Manifest_CHANGES, docs...)
	w.live(wire.Routine, n)
	w.order("1", &storev1.Command{Verb: storev1.Command_ROLLBACK, Channel: string(wire.Routine), Release: n})
	w.eventually("rolled back", func() bool { return w.abandoned(wire.Routine, n) })
	kept := func() []*storev1.Suspect {
		list, err := ledger.Suspects(func(key string) (registry.KV, bool) {
			kv, err := w.store.Get(w.ctx, key)
			return kv, err == nil
		}, wire.Routine, w.record(wire.Routine))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	rec := w.record(wire.Routine)
	if size := proto.Size(rec); size > 4<<10 || ledger.SuspectCount(rec) != len(docs) {
		t.Fatalf("%d suspects in a record of %d bytes", ledger.SuspectCount(rec), size)
	}
	for i, s := range kept() {
		if s.GetId() != docs[i] || s.GetRelease() != n {
			t.Fatalf("suspect %d is %v", i, s)
		}
	}

	// A leader that died between a chunk and its record leaves garbage to the next one.
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	garbage := ledger.SuspectsKey(wire.Routine, 99)
	if _, err := w.store.Commit(w.ctx, registry.Txn{Then: []registry.Op{registry.Put(garbage, nil)}}); err != nil {
		t.Fatal(err)
	}
	w.start(w.driver(w.store, 1))
	chunks := func() int {
		page, err := w.store.List(w.ctx, registry.ListRequest{Prefix: ledger.SuspectsPrefix(wire.Routine)})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.KVs)
	}
	w.eventually("the garbage is gone", func() bool { return chunks() == 3 })
	if len(kept()) != len(docs) {
		t.Fatalf("%d suspects are left", len(kept()))
	}
	w.order("2", &storev1.Command{Verb: storev1.Command_RESUME, Channel: string(wire.Routine), Release: n})
	w.eventually("let go", func() bool { return chunks() == 0 })
	if rec := w.record(wire.Routine); ledger.SuspectCount(rec) != 0 || rec.GetLastChunk() != 3 {
		t.Fatalf("record %v", rec)
	}
}

// TestHalvesOfChunks: a search cuts and drops runs, and the order stays that of its groups.
func TestHalvesOfChunks(t *testing.T) {
	c := Chain{Channel: wire.Routine}
	var changes []Change
	for i := range 2*chunkSize + 10 {
		changes = append(changes, Change{Document: site(i), New: version(1)})
	}
	c.suspect(suspectsOf(changes, 7, 70, OriginHarm), true)
	c.Bisection.split()
	c.Bisection.split() // The first half is not known to hurt.
	if got := c.Bisection.Groups; len(got) != 2 || got[0].Size != chunkSize+5 || got[1].Size != chunkSize+5 {
		t.Fatalf("groups %v", got)
	}
	c.suspect(suspectsOf(changes[:2], 8, 80, OriginHarm), true) // Newer, few, and first.
	c.dropSuspects(func(_ int, s *Suspect) bool { return s.Document == site(chunkSize+7) })
	again := stored(t, c)
	if len(again.Suspects) != 2*chunkSize+9 || again.Suspects[0].Release != 8 || again.Suspects[2].Document != site(2) {
		t.Fatalf("%d suspects, %+v", len(again.Suspects), again.Suspects[:3])
	}
	sizes := []int{}
	for _, g := range again.Bisection.Groups {
		sizes = append(sizes, g.Size)
	}
	if fmt.Sprint(sizes) != fmt.Sprint([]int{2, chunkSize + 3, chunkSize + 4}) {
		t.Fatalf("groups of %v", sizes)
	}
	if runs := len(c.Record().GetSuspectRuns()); runs != 5 {
		t.Fatalf("%d runs", runs)
	}
}

// TestTrialsAreBounded: however many changes are under suspicion, a trial stays as small as
// half of a release.
func TestTrialsAreBounded(t *testing.T) {
	for _, test := range []struct {
		n     int
		known bool
		want  []Group
	}{
		{1, true, []Group{{Size: 1, Hurts: true}}},
		{8000, true, []Group{{Size: 8000, Hurts: true}}},
		{8001, true, []Group{{Size: 4000}, {Size: 4000}, {Size: 1, Paired: true}}},
		{1, false, []Group{{Size: 1}}},
		{4001, false, []Group{{Size: 4000}, {Size: 1}}},
	} {
		if got := groupsOf(test.n, test.known); !slices.Equal(got, test.want) {
			t.Errorf("%d, %v: %v", test.n, test.known, got)
		}
	}
}
