package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func newStore(t *testing.T) *memory.Store {
	t.Helper()
	s := memory.New(memory.Config{})
	t.Cleanup(s.Close)
	return s
}

func put(t *testing.T, key string, m proto.Message) registry.Op {
	t.Helper()
	op, err := ledger.Put(key, m)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func TestLoad(t *testing.T) {
	s := newStore(t)
	key := ledger.HeadKey(wire.Routine)
	head := &storev1.HeadRecord{Release: 3}
	if rev, err := ledger.Load(t.Context(), s, key, head); rev != 0 || err != nil || head.GetRelease() != 3 {
		t.Errorf("nothing stored: %d, %v, %v", rev, err, head)
	}
	want, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{put(t, key, &storev1.HeadRecord{Release: 7})}})
	if err != nil {
		t.Fatal(err)
	}
	if rev, err := ledger.Load(t.Context(), s, key, head); rev != want || err != nil || head.GetRelease() != 7 {
		t.Errorf("got %d, %v, %v; want revision %d", rev, err, head, want)
	}
	if _, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, []byte{0xff})}}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Load(t.Context(), s, key, head); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("a record that is none: %v; want an error that names it", err)
	}
	s.SetUnavailable(true)
	if _, err := ledger.Load(t.Context(), s, key, head); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("store away: %v", err)
	}
}

func TestPutIsDeterministic(t *testing.T) {
	r := &storev1.RolloutRecord{Targets: map[string]*storev1.TargetState{"SJC": {}, "LHR": {}, "NRT": {}, "AMS": {}}}
	first := put(t, "k", r)
	for range 20 {
		if again := put(t, "k", r); string(again.Value) != string(first.Value) {
			t.Fatal("equal records have different bytes")
		}
	}
}

func TestCommitIsFenced(t *testing.T) {
	s := newStore(t)
	elect := func() registry.Compare {
		t.Helper()
		rev, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(ledger.LeaderKey, nil)}})
		if err != nil {
			t.Fatal(err)
		}
		return registry.Compare{Key: ledger.LeaderKey, ModRevision: rev}
	}
	fence := elect()
	conditions := []registry.Compare{{Key: "control/x"}}
	txn := registry.Txn{If: conditions, Then: []registry.Op{registry.Put("control/x", nil)}}
	if _, err := ledger.Commit(t.Context(), s, fence, txn); err != nil {
		t.Fatal(err)
	}
	// Another condition that fails is a conflict, and no loss of the leadership.
	var conflict *registry.ConflictError
	if _, err := ledger.Commit(t.Context(), s, fence, txn); !errors.As(err, &conflict) || errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("a conflict: %v", err)
	}
	if len(txn.If) != 1 || txn.If[0].Key != "control/x" {
		t.Errorf("the caller's conditions became %v", txn.If)
	}
	elect()
	if _, err := ledger.Commit(t.Context(), s, fence, registry.Txn{Then: []registry.Op{registry.Put("control/y", nil)}}); !errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("deposed: %v", err)
	}
	if _, err := s.Get(t.Context(), "control/y"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a deposed leader wrote: %v", err)
	}
	// The leader's key may also be gone.
	fence = elect()
	if _, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Delete(ledger.LeaderKey)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Commit(t.Context(), s, fence, registry.Txn{Then: []registry.Op{registry.Put("control/y", nil)}}); !errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("no leader: %v", err)
	}
	s.SetUnavailable(true)
	_, err := ledger.Commit(t.Context(), s, fence, registry.Txn{Then: []registry.Op{registry.Put("control/y", nil)}})
	if errors.Is(err, ledger.ErrDeposed) || !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("store away: %v; nobody knows who leads", err)
	}
}

// Keys are stored: another version of the server must find them.
func TestKeys(t *testing.T) {
	document := wire.DocumentID{Kind: wire.KindSite, ID: "shop.test"}
	for got, want := range map[string]string{
		ledger.LeaderKey:                                    "control/leader",
		ledger.HeadKey(wire.Urgent):                         "control/channels/urgent/head",
		ledger.RolloutKey(wire.Routine):                     "control/channels/routine/rollout",
		ledger.PolicyKey(wire.Platform):                     "control/channels/platform/policy",
		ledger.HistoryKey(wire.Routine, 26):                 "control/channels/routine/history/000000000000001a",
		ledger.QuarantineKey(ledger.QuarantineID(document)): "control/quarantines/site-shop.test",
		ledger.DataCenterKey("SJC"):                         "control/dataCenters/SJC",
		ledger.FleetKey("SJC"):                              "control/fleet/SJC",
		ledger.IncidentKey("01"):                            "control/incidents/01",
		ledger.IncidentCursorKey:                            "control/incidentCursor",
		ledger.CommandKey("01"):                             "control/commands/01",
	} {
		if got != want {
			t.Errorf("key %s, want %s", got, want)
		}
		if !strings.HasPrefix(got, ledger.ControlPrefix) {
			t.Errorf("key %s is not below %s, which edges may not read", got, ledger.ControlPrefix)
		}
	}
	if !strings.HasPrefix(ledger.HistoryKey(wire.Routine, 1), ledger.HistoryPrefix(wire.Routine)) ||
		ledger.HistoryKey(wire.Routine, 9) > ledger.HistoryKey(wire.Routine, 10) {
		t.Error("the history is not below its prefix, or not in order")
	}
}
