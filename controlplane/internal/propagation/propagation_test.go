package propagation

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// fakeView is a view made by hand; every put is a revision.
type fakeView struct {
	revision int64
	kvs      map[string]registry.KV
}

func (v *fakeView) Revision() int64 { return v.revision }

func (v *fakeView) Get(key string) (registry.KV, bool) {
	kv, ok := v.kvs[key]
	return kv, ok
}

func (v *fakeView) Ascend(prefix string, visit func(registry.KV) bool) {
	for key, kv := range v.kvs { // the index must not rely on an order
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix && !visit(kv) {
			return
		}
	}
}

func (v *fakeView) put(t *testing.T, key string, m proto.Message) {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	v.revision++
	v.kvs[key] = registry.KV{Key: key, Value: b, ModRevision: v.revision}
}

// engine is a state in which, in both of a site's channels, release 5 covers (100, 200]
// and is live, nothing was needed in (200, 250], release 6 covers (250, 300] and rolls,
// and the cursor stands at 320.
func engine(t *testing.T) *fakeView {
	t.Helper()
	v := &fakeView{kvs: map[string]registry.KV{}}
	for _, c := range siteChannels {
		v.put(t, ledger.HeadKey(c), &storev1.HeadRecord{Release: 6, LastNumber: 6, Cursor: 320})
		v.put(t, ledger.RolloutKey(c), &storev1.RolloutRecord{
			Live: 5, LastKnownGood: 4,
			Releases: []*storev1.ReleaseProgress{
				{Number: 5, Parent: 4, FromRevision: 100, CoveredRevision: 200, State: storev1.ReleaseProgress_LIVE},
				{
					Number: 6, Parent: 5, FromRevision: 250, CoveredRevision: 300, State: storev1.ReleaseProgress_ROLLING,
					Waves: []*storev1.ReleaseProgress_Wave{{PassTime: timestamppb.Now()}},
				},
			},
		})
	}
	for dc, release := range map[string]int64{"SJC": 6, "LHR": 5, "NRT": 5} {
		v.put(t, ledger.FleetKey(dc), &storev1.FleetRecord{DataCenter: dc, Servers: []*storev1.FleetRecord_Server{
			{Server: "a", Connected: true, Releases: map[string]int64{"urgent": release, "routine": release}},
			{Server: "b", Connected: false, Releases: map[string]int64{"urgent": 1, "routine": 1}},
		}})
	}
	v.put(t, ledger.FleetKey("WAW"), &storev1.FleetRecord{DataCenter: "WAW", Servers: []*storev1.FleetRecord_Server{
		{Server: "a", Connected: true, Releases: map[string]int64{"urgent": 4, "routine": 4}},
	}})
	v.put(t, ledger.DataCenterKey("WAW"), &storev1.DataCenterControl{Drained: true})
	return v
}

func siteAt(revision int64) Site {
	return Site{
		Account: "acme", ModRevision: revision,
		Record: &storev1.SiteRecord{
			Site: &breakwaterv1.Site{Domain: "shop.test", Version: 7},
			RecentVersions: []*storev1.VersionRevision{
				{Version: 6, Revision: 150},
				{Version: 5, Revision: 90},
			},
		},
		Sums: func() map[wire.DocumentID]wire.Sum { return nil },
	}
}

func TestStates(t *testing.T) {
	tests := []struct {
		name             string
		revision         int64
		state            breakwaterv1.Propagation_State
		applied, serving int64
		canary           bool
	}{
		{"older than all that is kept", 50, breakwaterv1.Propagation_LIVE, 3, 7, true},
		{"in the live release", 200, breakwaterv1.Propagation_LIVE, 3, 7, true},
		{"needed no release", 230, breakwaterv1.Propagation_LIVE, 3, 7, true},
		{"in the rolling release", 251, breakwaterv1.Propagation_ROLLING_OUT, 1, 6, true},
		{"needed no release after the rolling one", 310, breakwaterv1.Propagation_ROLLING_OUT, 1, 6, true},
		{"not looked at yet", 321, breakwaterv1.Propagation_PENDING, 0, 6, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := engine(t)
			s := NewIndex(func() View { return v }).State()
			p := s.Of(siteAt(tt.revision), 0, time.Unix(0, 0))
			if p.GetState() != tt.state || int64(p.GetAppliedDataCenters()) != tt.applied || p.GetServingVersion() != tt.serving {
				t.Errorf("state %v, applied %d, serving %d; want %v, %d, %d",
					p.GetState(), p.GetAppliedDataCenters(), p.GetServingVersion(), tt.state, tt.applied, tt.serving)
			}
			if p.GetTotalDataCenters() != 3 {
				t.Errorf("total = %d, want 3: a drained data center is not eligible", p.GetTotalDataCenters())
			}
			if got := s.Canary(siteAt(tt.revision), 0); got != tt.canary {
				t.Errorf("canary = %v, want %v", got, tt.canary)
			}
			if got := s.ServingVersion(siteAt(tt.revision)); got != tt.serving {
				t.Errorf("ServingVersion = %d, want %d", got, tt.serving)
			}
		})
	}
}

func TestHeldDocuments(t *testing.T) {
	bad, good := wire.SumOf([]byte("bad")), wire.SumOf([]byte("good"))
	id := wire.DocumentID{Kind: wire.KindSite, ID: "shop.test"}
	v := engine(t)
	v.put(t, ledger.QuarantineKey(ledger.QuarantineID(id)), &storev1.QuarantineRecord{
		Kind: id.Kind, Id: id.ID, BadSha256: bad[:], Reason: "bug", DataCenter: "SJC", FromRevision: 100,
	})
	index := NewIndex(func() View { return v })
	site := siteAt(160)

	site.Sums = func() map[wire.DocumentID]wire.Sum { return map[wire.DocumentID]wire.Sum{id: bad} }
	p := index.State().Of(site, 0, time.Unix(0, 0))
	if p.GetState() != breakwaterv1.Propagation_QUARANTINED || p.GetAppliedDataCenters() != 0 || p.GetServingVersion() != 5 {
		t.Errorf("quarantined: %v, applied %d, serving %d; want QUARANTINED, 0, 5",
			p.GetState(), p.GetAppliedDataCenters(), p.GetServingVersion())
	}
	if p.GetReason() != "bug (seen at SJC)" {
		t.Errorf("reason = %q", p.GetReason())
	}

	site.Sums = func() map[wire.DocumentID]wire.Sum { return map[wire.DocumentID]wire.Sum{id: good} }
	if p := index.State().Of(site, 0, time.Unix(0, 0)); p.GetState() != breakwaterv1.Propagation_LIVE {
		t.Errorf("a newer version of a quarantined document: %v, want LIVE", p.GetState())
	}
}

func TestStateFollowsTheView(t *testing.T) {
	v := engine(t)
	index := NewIndex(func() View { return v })
	before := index.State()
	if index.State() != before {
		t.Error("an unchanged view was decoded twice")
	}
	v.put(t, ledger.DataCenterKey("WAW"), &storev1.DataCenterControl{})
	p := index.State().Of(siteAt(200), 0, time.Unix(0, 0))
	if p.GetTotalDataCenters() != 4 {
		t.Errorf("total = %d after the drain ended, want 4", p.GetTotalDataCenters())
	}
}
