package propagation

import (
	"strings"
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
		if strings.HasPrefix(key, prefix) && !visit(kv) {
			return
		}
	}
}

func (v *fakeView) put(t testing.TB, key string, m proto.Message) {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	v.revision++
	v.kvs[key] = registry.KV{Key: key, Value: b, ModRevision: v.revision}
}

func (v *fakeView) remove(key string) {
	v.revision++
	delete(v.kvs, key)
}

// rollout is the rollout of [engine].
func rollout() *storev1.RolloutRecord {
	return &storev1.RolloutRecord{
		Live: 5, LastKnownGood: 5, LastNumber: 6,
		Releases: []*storev1.ReleaseProgress{
			{Number: 5, Parent: 4, FromRevision: 100, CoveredRevision: 200, State: storev1.ReleaseProgress_GOOD},
			{
				Number: 6, Parent: 5, FromRevision: 250, CoveredRevision: 300, State: storev1.ReleaseProgress_ROLLING,
				Waves: []*storev1.ReleaseProgress_Wave{{PassTime: timestamppb.Now()}, {}},
			},
		},
	}
}

// engine is a state in which, in both of a site's channels, release 5 covers (100, 200]
// and is live, nothing was needed in (200, 250], release 6 covers (250, 300] and rolls,
// and the cursor stands at 320.
func engine(t testing.TB) *fakeView {
	t.Helper()
	v := &fakeView{kvs: map[string]registry.KV{}}
	for _, c := range siteChannels {
		v.put(t, ledger.HeadKey(c), &storev1.HeadRecord{Release: 6, LastNumber: 6, Cursor: 320})
		v.put(t, ledger.RolloutKey(c), rollout())
	}
	for dc, release := range map[string]int64{"SJC": 6, "LHR": 5, "NRT": 5} {
		v.serve(t, dc, release)
	}
	v.serve(t, "WAW", 4)
	v.put(t, ledger.DataCenterKey("WAW"), &storev1.DataCenterControl{Drained: true})
	return v
}

// serve has one server of a data center serve a release, and another one lost.
func (v *fakeView) serve(t testing.TB, dc string, release int64) {
	t.Helper()
	v.put(t, ledger.FleetKey(dc), &storev1.FleetRecord{DataCenter: dc, Servers: []*storev1.FleetRecord_Server{
		{Server: "a", Connected: true, Releases: map[string]int64{"urgent": release, "routine": release}},
		{Server: "b", Connected: false, Releases: map[string]int64{"urgent": 1, "routine": 1}},
	}})
}

var siteID = wire.DocumentID{Kind: wire.KindSite, ID: "shop.test"}

// siteAt is a site whose newest version was stored at a revision, and which compiles to a
// `site` document of the given sum.
func siteAt(revision int64, sum wire.Sum) Site {
	return Site{
		ModRevision: revision,
		Record: &storev1.SiteRecord{
			Site: &breakwaterv1.Site{
				Name: "accounts/acme/sites/shop.test", Domain: "shop.test", Version: 7, State: breakwaterv1.Site_ACTIVE,
			},
			RecentVersions: []*storev1.VersionRevision{
				{Version: 6, Revision: 150},
				{Version: 5, Revision: 90},
			},
		},
		Sums: func(*storev1.SiteRecord) map[wire.DocumentID]wire.Sum {
			return map[wire.DocumentID]wire.Sum{siteID: sum}
		},
	}
}

var (
	bad, good = wire.SumOf([]byte("bad")), wire.SumOf([]byte("good"))
	epoch     = time.Unix(0, 0)
)

type answer struct {
	state            breakwaterv1.Propagation_State
	applied, serving int64
	canary           bool
}

const (
	pending     = breakwaterv1.Propagation_PENDING
	rollingOut  = breakwaterv1.Propagation_ROLLING_OUT
	live        = breakwaterv1.Propagation_LIVE
	quarantined = breakwaterv1.Propagation_QUARANTINED
	replaced    = breakwaterv1.Propagation_SUPERSEDED
)

// ask fails the test where the answer is another one, and returns all of it.
func ask(t *testing.T, s *State, site Site, version int64, want answer) *breakwaterv1.Propagation {
	t.Helper()
	p, canary := s.Of(site, version, epoch)
	got := answer{p.GetState(), int64(p.GetAppliedDataCenters()), p.GetServingVersion(), canary}
	if got != want {
		t.Errorf("got %+v (%s), want %+v", got, p.GetReason(), want)
	}
	if n := s.ServingVersion(site); n != p.GetServingVersion() {
		t.Errorf("ServingVersion = %d, the answer says %d", n, p.GetServingVersion())
	}
	return p
}
