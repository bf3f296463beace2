package rollout

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// stored sends a chain through its stored form, as a change of leaders does.
func stored(t rapid.TB, c Chain) Chain {
	t.Helper()
	b, err := proto.Marshal(c.Record())
	if err != nil {
		t.Fatal(err)
	}
	var rec storev1.RolloutRecord
	if err := proto.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	chunks := c.chunks()
	suspects, err := ledger.Suspects(func(key string) (registry.KV, bool) {
		for n, chunk := range chunks {
			if key == ledger.SuspectsKey(c.Channel, n) {
				b, err := proto.Marshal(chunk)
				return registry.KV{Value: b}, err == nil
			}
		}
		return registry.KV{}, false
	}, c.Channel, &rec)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ChainFromRecord(c.Channel, &rec, suspects)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRecordRoundTrip(t *testing.T) {
	sum := wire.SumOf([]byte("x"))
	at := timestamppb.New(epoch).AsTime()
	c := Chain{
		Channel: wire.Routine, LastNumber: 9, Live: 3, LastKnownGood: 2,
		Releases: []Release{
			{
				Number: 2, Parent: 1, Phase: Good, StateHash: wire.StateHash(sum), SealTime: at, LiveTime: at, ChangeCount: 3, CoveredRevision: 7, FromRevision: 5, Cause: 2,
				Hurt: []string{"A"}, Expedite: Expedite{"p", "why", at, "q", at},
			},
			{Number: 3, Parent: 2, Phase: Rolling, Held: true, Reason: "why", Waves: []Wave{
				{
					DataCenters: []string{"A", "B"}, Bake: 5, EnterTime: at, PassTime: at, Needed: 2, Attesting: 1,
					Servers: []FrozenServer{{"A", "a", "i", true, ""}, {"B", "b", "j", false, "bad"}},
					Losses:  []Loss{{"B", at, true, true}},
				},
				{DataCenters: []string{"C"}},
			}},
		},
		Generations: []Generation{{2, wire.StateHash(sum), at}},
		Suspects: []Suspect{
			{site(1), sum, sum, 5, 4, OriginHarm, 3, 1},
			{site(3), sum, sum, 5, 4, OriginHarm, 3, 2},
			{site(2), wire.Sum{}, sum, 6, 5, OriginRevert, 0, 0},
			{site(4), sum, sum, 5, 4, OriginRevert, 2, 0},
		},
		LastChunk: 3,
		Targets:   []Target{{"A", 3, 4, at, true, at, at, 2, 3}, {DataCenter: "B", Release: 2, Sequence: 1}},
		Reverts:   []Revert{{1, "r", "p", at}},
		Settling:  []Settling{{"A", at, []ServerKey{{"a", "i"}}, true}},
		Bisection: &Bisection{Groups: []Group{{1, true, false}}, Trial: 4, Release: 8, Bake: 9, Hurt: 1, Exhausted: true},
	}
	if got := stored(t, c); !reflect.DeepEqual(got, c) {
		t.Fatalf("got  %+v\nwant %+v", got, c)
	}
	// A field that is added and not stored would be lost with the leader.
	for _, v := range []any{c, c.Releases[1], c.Releases[1].Waves[0], c.Targets[0], c.Suspects[0], *c.Bisection} {
		fields := reflect.TypeOf(v)
		for i := range fields.NumField() {
			if fields.Field(i).Name != "Changes" && allZero(reflect.ValueOf(v).Field(i), c, fields.Name(), i) {
				t.Errorf("%s.%s has no value in this test", fields.Name(), fields.Field(i).Name)
			}
		}
	}
}

// allZero says whether no value of the type in the chain sets the field.
func allZero(f reflect.Value, c Chain, name string, i int) bool {
	if name == "Release" {
		return f.IsZero() && reflect.ValueOf(c.Releases[0]).Field(i).IsZero()
	}
	return f.IsZero()
}
