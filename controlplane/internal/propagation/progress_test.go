package propagation

import (
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestHealthyRolloutsOnlyGoForward: while nothing is abandoned, and whatever the two channels
// do meanwhile, a version's state never goes back, nor does the number of data centers that
// have it; and PENDING says that none has.
func TestHealthyRolloutsOnlyGoForward(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newHealthy(t)
		index := NewIndex(nil)
		var asked [3]*breakwaterv1.Propagation
		site := siteAt(w.stored, good)
		site.Record.RecentVersions = nil
		for range 120 {
			w.step(rt)
			if w.stored < 12 && rapid.IntRange(0, 3).Draw(rt, "store") == 0 {
				w.stored++ // Another site's change.
			}
			for i := range asked {
				site.ModRevision = int64(3 * (i + 1))
				if site.ModRevision > w.stored {
					continue // It is yet to be stored.
				}
				p, _ := index.At(w.view).Of(site, 0, epoch)
				if p.GetState() == pending && p.GetAppliedDataCenters() > 0 {
					rt.Fatalf("revision %d: PENDING at %d data centers", site.ModRevision, p.GetAppliedDataCenters())
				}
				before := asked[i]
				if p.GetState() < before.GetState() || p.GetAppliedDataCenters() < before.GetAppliedDataCenters() ||
					p.GetServingVersion() < before.GetServingVersion() {
					rt.Fatalf("revision %d went back: %v, then %v", site.ModRevision, before, p)
				}
				asked[i] = p
			}
		}
	})
}

// healthy is an engine on which nothing goes wrong: releases of both channels pass two waves,
// A and then B, and the registry grows.
type healthy struct {
	t        *testing.T
	view     *fakeView
	stored   int64
	channels map[wire.Channel]*healthyChannel
}

type healthyChannel struct {
	head     *storev1.HeadRecord
	rollout  *storev1.RolloutRecord
	releases map[string]int64 // what A and B serve
}

func newHealthy(t *testing.T) *healthy {
	t.Helper()
	w := &healthy{t: t, view: engine(t), stored: 1, channels: map[wire.Channel]*healthyChannel{}}
	for _, dc := range []string{"SJC", "LHR", "NRT", "WAW"} {
		w.view.remove(ledger.FleetKey(dc))
	}
	for _, c := range siteChannels {
		w.channels[c] = &healthyChannel{
			head: &storev1.HeadRecord{Release: 1, LastNumber: 1, Cursor: 1},
			rollout: &storev1.RolloutRecord{Live: 1, LastKnownGood: 1, LastNumber: 1, Releases: []*storev1.ReleaseProgress{
				{Number: 1, CoveredRevision: 1, State: storev1.ReleaseProgress_GOOD},
			}},
			releases: map[string]int64{"A": 1, "B": 1},
		}
	}
	w.write()
	return w
}

// step lets one channel do the next thing: look at the registry and find that nothing is
// needed, seal, take a release in, serve it, pass a wave, find it good.
func (w *healthy) step(rt *rapid.T) {
	c := w.channels[rapid.SampledFrom(siteChannels[:]).Draw(rt, "channel")]
	all := c.rollout.GetReleases()
	newest := all[len(all)-1]
	switch rapid.SampledFrom([]string{"look", "seal", "take in", "serve", "pass", "good"}).Draw(rt, "step") {
	case "look":
		c.head.Cursor = w.stored
	case "seal":
		if c.head.GetRelease() == newest.GetNumber() && c.head.GetCursor() < w.stored {
			c.head = &storev1.HeadRecord{
				Release: newest.GetNumber() + 1, LastNumber: newest.GetNumber() + 1,
				FromRevision: c.head.GetCursor(), Cursor: w.stored,
			}
		}
	case "take in":
		if c.head.GetRelease() > newest.GetNumber() {
			c.rollout.Releases = append(all, &storev1.ReleaseProgress{
				Number: c.head.GetRelease(), Parent: newest.GetNumber(), State: storev1.ReleaseProgress_ROLLING,
				FromRevision: c.head.GetFromRevision(), CoveredRevision: c.head.GetCursor(),
				Waves: []*storev1.ReleaseProgress_Wave{{}, {}},
			})
		}
	case "serve":
		c.releases["A"] = newest.GetNumber()
		for _, r := range all {
			if r.GetState() != storev1.ReleaseProgress_ROLLING || r.GetWaves()[0].GetPassTime() != nil {
				c.releases["B"] = r.GetNumber()
			}
		}
	case "pass":
		for _, r := range all {
			switch {
			case r.GetNumber() <= c.rollout.GetLive():
			case r.GetNumber() <= c.releases["B"]:
				c.rollout.Live, r.State = r.GetNumber(), storev1.ReleaseProgress_LIVE
			case r.GetNumber() <= c.releases["A"]:
				r.Waves[0].PassTime = timestamppb.New(epoch)
			}
		}
	case "good":
		w.good(c)
	}
	w.write()
}

// good drops what is older than the live release. Soaks are longer than waves: by then the
// other channel, too, has passed what the live release brought.
func (w *healthy) good(c *healthyChannel) {
	for len(c.rollout.GetReleases()) > 1 && c.rollout.GetReleases()[1].GetNumber() <= c.rollout.GetLive() {
		next := c.rollout.GetReleases()[1]
		for _, other := range w.channels {
			for _, r := range other.rollout.GetReleases() {
				if r.GetNumber() > other.rollout.GetLive() && r.GetFromRevision() < next.GetFromRevision() {
					return
				}
			}
			if other.head.GetCursor() < next.GetFromRevision() ||
				other.head.GetRelease() > other.rollout.GetLive() && other.head.GetFromRevision() < next.GetFromRevision() {
				return
			}
		}
		c.rollout.Releases = c.rollout.GetReleases()[1:]
		next.State, c.rollout.LastKnownGood = storev1.ReleaseProgress_GOOD, next.GetNumber()
	}
}

// write stores what the engine knows.
func (w *healthy) write() {
	for _, c := range siteChannels {
		w.view.put(w.t, ledger.HeadKey(c), w.channels[c].head)
		w.view.put(w.t, ledger.RolloutKey(c), w.channels[c].rollout)
	}
	for _, dc := range []string{"A", "B"} {
		releases := map[string]int64{}
		for _, c := range siteChannels {
			releases[string(c)] = w.channels[c].releases[dc]
		}
		w.view.put(w.t, ledger.FleetKey(dc), &storev1.FleetRecord{DataCenter: dc, Servers: []*storev1.FleetRecord_Server{
			{Server: "a", Connected: true, Releases: releases},
		}})
	}
}
