package propagation

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestStates(t *testing.T) {
	tests := []struct {
		name     string
		revision int64
		want     answer
	}{
		{"older than all that is kept", 50, answer{live, 3, 7, true}},
		{"in the live release", 200, answer{live, 3, 7, true}},
		{"needed no release", 230, answer{live, 3, 7, true}},
		{"in the rolling release", 251, answer{rollingOut, 1, 6, true}},
		{"needed no release after the rolling one", 310, answer{rollingOut, 1, 6, true}},
		{"not looked at yet", 321, answer{pending, 0, 6, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := ask(t, NewIndex(nil).At(engine(t)), siteAt(tt.revision, good), 0, tt.want)
			if p.GetTotalDataCenters() != 3 {
				t.Errorf("total = %d, want 3: a drained data center is not eligible", p.GetTotalDataCenters())
			}
			if p.GetName() != "accounts/acme/sites/shop.test/propagation" || p.GetVersion() != 7 {
				t.Errorf("name %q, version %d", p.GetName(), p.GetVersion())
			}
		})
	}
}

func TestOlderVersions(t *testing.T) {
	s := NewIndex(nil).At(engine(t))
	site := siteAt(321, good)
	site.Record.RecentVersions = []*storev1.VersionRevision{
		{Version: 6, Revision: 260}, {Version: 5, Revision: 150},
	}
	ask(t, s, site, 6, answer{rollingOut, 1, 5, true})
	ask(t, s, site, 5, answer{live, 3, 5, true})
	// Not remembered: as new as the oldest that is.
	ask(t, s, site, 1, answer{live, 3, 5, true})
	site.Record.RecentVersions[1].Revision = 260
	ask(t, s, site, 1, answer{rollingOut, 1, 0, true})
	// A touch of the value says when the version itself was stored.
	site.Record.VersionRevision = 150
	ask(t, s, site, 0, answer{live, 3, 7, true})
}

func TestOneChannelBehind(t *testing.T) {
	v := engine(t)
	v.put(t, ledger.HeadKey(wire.Urgent), &storev1.HeadRecord{Release: 6, Cursor: 400})
	r := rollout()
	r.Live = 6
	v.put(t, ledger.RolloutKey(wire.Urgent), r)
	s := NewIndex(nil).At(v)
	ask(t, s, siteAt(280, good), 0, answer{rollingOut, 1, 6, true})
	ask(t, s, siteAt(390, good), 0, answer{pending, 0, 6, false})
}

// Between a seal and the rollout's taking it in, what was looked at is not yet carried by
// the release before.
func TestSealedAndNotTakenIn(t *testing.T) {
	v := engine(t)
	for _, c := range siteChannels {
		r := rollout()
		r.Live, r.Releases[1].State = 6, storev1.ReleaseProgress_LIVE
		v.put(t, ledger.RolloutKey(c), r)
		v.put(t, ledger.HeadKey(c), &storev1.HeadRecord{Release: 7, LastNumber: 7, Cursor: 400})
	}
	s := NewIndex(nil).At(v)
	ask(t, s, siteAt(390, good), 0, answer{pending, 0, 6, false})
	ask(t, s, siteAt(300, good), 0, answer{live, 1, 7, true})
}

// After an older backup took the registry's place, what earlier releases cover counts in
// another history: they carry none of the new revisions.
func TestRestoredRegistry(t *testing.T) {
	v := engine(t)
	for _, c := range siteChannels {
		r := rollout()
		r.Releases[1].FromRevision, r.Releases[1].CoveredRevision = 0, 130
		v.put(t, ledger.RolloutKey(c), r)
		v.put(t, ledger.HeadKey(c), &storev1.HeadRecord{Release: 6, LastNumber: 6, Cursor: 130, RestartNumber: 5})
	}
	site := siteAt(120, good)
	site.Record.RecentVersions = nil
	ask(t, NewIndex(nil).At(v), site, 0, answer{rollingOut, 1, 0, true})
}

func TestBeforeGenesis(t *testing.T) {
	s := NewIndex(nil).At(&fakeView{kvs: map[string]registry.KV{}})
	p := ask(t, s, siteAt(3, good), 0, answer{pending, 0, 0, false})
	if p.GetTotalDataCenters() != 0 || s.Covered(wire.Platform) != 0 {
		t.Errorf("total %d, covered %d", p.GetTotalDataCenters(), s.Covered(wire.Platform))
	}
}

func TestAbandonedReleasesCarryNothing(t *testing.T) {
	v := engine(t)
	for _, c := range siteChannels {
		r := rollout()
		r.Releases[1].State = storev1.ReleaseProgress_ABANDONED
		v.put(t, ledger.RolloutKey(c), r)
		v.put(t, ledger.HeadKey(c), &storev1.HeadRecord{Release: 5, LastNumber: 6, Cursor: 200})
	}
	ask(t, NewIndex(nil).At(v), siteAt(280, good), 0, answer{pending, 0, 6, false})
}

func TestSitesThatAreNotServed(t *testing.T) {
	s := NewIndex(nil).At(engine(t))
	site := siteAt(150, wire.Sum{})
	site.Record.Site.State = breakwaterv1.Site_PENDING
	if p := ask(t, s, site, 0, answer{pending, 0, 0, false}); p.GetReason() != "the site is not active yet" {
		t.Errorf("reason = %q", p.GetReason())
	}
	site.Record.Site.State = breakwaterv1.Site_DELETED
	if p := ask(t, s, site, 0, answer{live, 3, 7, true}); !strings.HasPrefix(p.GetReason(), "the site is deleted") {
		t.Errorf("reason = %q", p.GetReason())
	}
	site.ModRevision = 260
	ask(t, s, site, 0, answer{rollingOut, 1, 6, true})
}

func quarantineOf(sum wire.Sum) *storev1.QuarantineRecord {
	return &storev1.QuarantineRecord{
		Kind: siteID.Kind, Id: siteID.ID, Channel: "routine", Release: 3, BadSha256: sum[:],
		Reason: "bug", DataCenter: "SJC", FromRevision: 100,
	}
}

func TestQuarantine(t *testing.T) {
	v := engine(t)
	key := ledger.QuarantineKey(ledger.QuarantineID(siteID))
	v.put(t, key, quarantineOf(bad))
	v.put(t, ledger.HistoryKey(wire.Routine, 3), &storev1.ReleaseProgress{Number: 3, CoveredRevision: 155})
	index := NewIndex(nil)

	p := ask(t, index.At(v), siteAt(160, bad), 0, answer{quarantined, 0, 5, false})
	if p.GetReason() != "bug (seen at SJC)" {
		t.Errorf("reason = %q", p.GetReason())
	}
	for _, dc := range p.GetDataCenters() {
		if dc.GetApplied() {
			t.Errorf("%s is said to have applied what is quarantined", dc.GetDataCenter())
		}
	}
	// Version 6 has what is held as well, or something that was never tried.
	ask(t, index.At(v), siteAt(160, bad), 6, answer{replaced, 0, 5, false})
	ask(t, index.At(v), siteAt(160, bad), 5, answer{live, 3, 5, true})

	// Another version of the document is tried by itself, and takes the older one's place.
	ask(t, index.At(v), siteAt(160, good), 0, answer{live, 3, 7, true})
	ask(t, index.At(v), siteAt(160, good), 6, answer{replaced, 0, 7, false})
	late := siteAt(320, good)
	late.Record.RecentVersions[0].Revision = 280
	ask(t, index.At(v), late, 6, answer{rollingOut, 1, 5, true})

	if q := index.At(v).Quarantines(siteAt(160, good)); len(q) != 0 {
		t.Errorf("quarantines of an older version: %v", q)
	}
	if q := index.At(v).Quarantines(siteAt(160, bad)); len(q) != 1 || q[0].ID != "site-shop.test" || q[0].Trying {
		t.Errorf("quarantines = %v", q)
	}

	trying := quarantineOf(bad)
	trying.Trying = true
	v.put(t, key, trying)
	if p := ask(t, index.At(v), siteAt(160, bad), 0, answer{pending, 0, 5, false}); p.GetReason() != "tried again after: bug (seen at SJC)" {
		t.Errorf("reason = %q", p.GetReason())
	}
	v.remove(key)
	ask(t, index.At(v), siteAt(160, bad), 0, answer{live, 3, 7, true})
}

// TestNextVersionRests: after versions that hurt, the owner's next one waits for a while.
func TestNextVersionRests(t *testing.T) {
	v, index := engine(t), NewIndex(nil)
	key := ledger.QuarantineKey(ledger.QuarantineID(siteID))
	older := wire.SumOf([]byte("older"))
	rest := quarantineOf(bad)
	rest.GoodSha256, rest.Resting = older[:], true
	rest.RetryTime = timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	v.put(t, key, rest)
	p := ask(t, index.At(v), siteAt(160, good), 0, answer{pending, 0, 5, false})
	if want := "waits until 2026-03-01T12:00:00Z, since versions before it hurt: bug (seen at SJC)"; p.GetReason() != want {
		t.Errorf("reason = %q, want %q", p.GetReason(), want)
	}
	if q := index.At(v).Quarantines(siteAt(160, good)); len(q) != 1 || !q[0].Retry.Equal(rest.GetRetryTime().AsTime()) {
		t.Errorf("quarantines = %v, want the one that it waits for", q)
	}
	ask(t, index.At(v), siteAt(160, good), 6, answer{replaced, 0, 5, false})
	// What hurt is quarantined all the same, and what was good before needs no pause.
	ask(t, index.At(v), siteAt(160, bad), 0, answer{quarantined, 0, 5, false})
	ask(t, index.At(v), siteAt(160, older), 0, answer{live, 3, 7, true})

	rest.Resting = false
	v.put(t, key, rest)
	ask(t, index.At(v), siteAt(320, good), 0, answer{rollingOut, 1, 6, true})
}

func TestQuarantinedRemoval(t *testing.T) {
	v := engine(t)
	q := quarantineOf(bad)
	q.BadSha256 = nil
	v.put(t, ledger.QuarantineKey(ledger.QuarantineID(siteID)), q)
	site := siteAt(160, wire.Sum{})
	site.Record.Site.State = breakwaterv1.Site_DELETED
	ask(t, NewIndex(nil).At(v), site, 0, answer{quarantined, 0, 5, false})
	// What can't be compiled is not shown to be another version.
	site = siteAt(160, good)
	site.Sums = func(*storev1.SiteRecord) map[wire.DocumentID]wire.Sum { return nil }
	ask(t, NewIndex(nil).At(v), site, 0, answer{quarantined, 0, 5, false})
}

func TestSuspects(t *testing.T) {
	for origin, words := range map[storev1.Suspect_Origin]string{
		storev1.Suspect_HARM: "tried again", storev1.Suspect_ROLLBACK: "rolled its release back", storev1.Suspect_REVERT: "reverted",
	} {
		v := engine(t)
		r := rollout()
		r.Suspects = []*storev1.Suspect{{
			Kind: siteID.Kind, Id: siteID.ID, BadSha256: bad[:], Release: 3, FromRevision: 100, Origin: origin,
		}}
		v.put(t, ledger.RolloutKey(wire.Routine), r)
		p := ask(t, NewIndex(nil).At(v), siteAt(160, bad), 0, answer{pending, 0, 5, false})
		if !strings.Contains(p.GetReason(), words) {
			t.Errorf("reason = %q, want it to say %q", p.GetReason(), words)
		}
		// A quarantine says more than a suspicion.
		v.put(t, ledger.QuarantineKey(ledger.QuarantineID(siteID)), quarantineOf(bad))
		ask(t, NewIndex(nil).At(v), siteAt(160, bad), 0, answer{quarantined, 0, 5, false})
	}
}

// A trial carries what is older than its revisions, and is on its way when its first wave
// let its documents go.
func TestTrialInFlight(t *testing.T) {
	v := engine(t)
	r := rollout()
	r.Live, r.LastNumber = 6, 7
	r.Releases = append(r.Releases, &storev1.ReleaseProgress{
		Number: 7, Parent: 6, FromRevision: 320, CoveredRevision: 320, Cause: edgev1.Manifest_TRIAL,
		State: storev1.ReleaseProgress_ROLLING, Waves: []*storev1.ReleaseProgress_Wave{{PassTime: timestamppb.Now()}, {}},
	})
	v.put(t, ledger.RolloutKey(wire.Routine), r)
	v.put(t, ledger.HeadKey(wire.Routine), &storev1.HeadRecord{Release: 7, LastNumber: 7, Cursor: 320})
	urgent := rollout()
	urgent.Live = 6
	v.put(t, ledger.RolloutKey(wire.Urgent), urgent)
	for _, dc := range []string{"SJC", "LHR", "NRT"} {
		v.serve(t, dc, 6)
	}

	asked, fail := 0, false
	index := NewIndex(func(c wire.Channel, n int64) ([]wire.DocumentID, error) {
		asked++
		if c != wire.Routine || n != 7 {
			t.Errorf("asked for %s/%d", c, n)
		}
		if fail {
			return nil, errors.New("away")
		}
		return []wire.DocumentID{siteID}, nil
	})
	site := siteAt(280, bad)
	p := ask(t, index.At(v), site, 0, answer{rollingOut, 0, 6, true})
	if p.GetReleases()["routine"] != 7 {
		t.Errorf("releases = %v, want the trial's", p.GetReleases())
	}
	v.put(t, ledger.FleetKey("SJC"), &storev1.FleetRecord{DataCenter: "SJC", Servers: []*storev1.FleetRecord_Server{
		{Server: "a", Connected: true, Releases: map[string]int64{"urgent": 6, "routine": 7}},
	}})
	ask(t, index.At(v), site, 0, answer{rollingOut, 1, 6, true})
	if asked != 1 {
		t.Errorf("the manifest was read %d times, want once", asked)
	}
	other := siteAt(280, good)
	other.Record.Site.Domain = "other.test"
	ask(t, index.At(v), other, 0, answer{live, 3, 7, true})

	// A manifest that can't be read may hold anything.
	fail = true
	index = NewIndex(index.documents)
	ask(t, index.At(v), other, 0, answer{rollingOut, 1, 6, true})
	fail = false
	v.revision++
	ask(t, index.At(v), other, 0, answer{live, 3, 7, true})

	r.Live = 7
	v.put(t, ledger.RolloutKey(wire.Routine), r)
	ask(t, index.At(v), site, 0, answer{live, 3, 7, true})
}

func TestStateFollowsTheView(t *testing.T) {
	v := engine(t)
	index := NewIndex(nil)
	before := index.At(v)
	v.revision++ // something elsewhere in the store
	if index.At(v) != before {
		t.Error("a view that differs in nothing that matters gave another state")
	}
	total := func() int32 {
		p, _ := index.At(v).Of(siteAt(200, good), 0, epoch)
		return p.GetTotalDataCenters()
	}
	for _, step := range []struct {
		what   string
		change func()
		want   int32
	}{
		{"the drain ended", func() { v.put(t, ledger.DataCenterKey("WAW"), &storev1.DataCenterControl{}) }, 4},
		{"it was pinned", func() { v.put(t, ledger.DataCenterKey("WAW"), &storev1.DataCenterControl{Pinned: true}) }, 3},
		{"its control is gone", func() { v.remove(ledger.DataCenterKey("WAW")) }, 4},
		{"it is gone", func() { v.remove(ledger.FleetKey("WAW")) }, 3},
		{"it went dark", func() {
			v.put(t, ledger.FleetKey("NRT"), &storev1.FleetRecord{DataCenter: "NRT", Servers: []*storev1.FleetRecord_Server{{Server: "a"}}})
		}, 2},
	} {
		step.change()
		if got := total(); got != step.want {
			t.Errorf("%s: total = %d, want %d", step.what, got, step.want)
		}
	}
}

func TestCovered(t *testing.T) {
	v := engine(t)
	v.put(t, ledger.HeadKey(wire.Platform), &storev1.HeadRecord{Release: 6, Cursor: 320})
	v.put(t, ledger.RolloutKey(wire.Platform), rollout())
	if got := NewIndex(nil).At(v).Covered(wire.Platform); got != 250 {
		t.Errorf("covered = %d, want 250: up to where release 6 begins", got)
	}
}

func TestServingVersionAllocatesNothing(t *testing.T) {
	v := engine(t)
	index, site := NewIndex(nil), siteAt(160, good)
	index.At(v)
	if n := testing.AllocsPerRun(100, func() { index.At(v).ServingVersion(site) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkServingVersion(b *testing.B) {
	v := engine(b)
	index, site := NewIndex(nil), siteAt(160, good)
	b.ReportAllocs()
	for b.Loop() {
		index.At(v).ServingVersion(site)
	}
}

// TestNeverBack shows that a version whose urgent part is live everywhere, while its routine
// part waits to be sealed, is on its way and not where it began.
func TestNeverBack(t *testing.T) {
	v := engine(t)
	head := &storev1.HeadRecord{Release: 5, LastNumber: 5, Cursor: 150}
	v.put(t, ledger.HeadKey(wire.Routine), head)
	v.put(t, ledger.RolloutKey(wire.Routine), &storev1.RolloutRecord{
		Live: 5, LastKnownGood: 4,
		Releases: []*storev1.ReleaseProgress{
			{Number: 5, Parent: 4, FromRevision: 100, CoveredRevision: 150, State: storev1.ReleaseProgress_LIVE},
		},
	})
	p, _ := NewIndex(nil).At(v).Of(siteAt(180, wire.Sum{}), 0, epoch)
	if p.GetState() != breakwaterv1.Propagation_ROLLING_OUT {
		t.Errorf("state %v, want ROLLING_OUT: the urgent release that brought it is live", p.GetState())
	}
}
