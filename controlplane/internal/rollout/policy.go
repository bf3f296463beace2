package rollout

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// DefaultPolicies returns the policy of each channel for a fleet, where operators set none:
//
//	urgent    1 → rest           250 ms
//	routine   1 → 4 → rest       1 s
//	platform  1 → 3 → 8 → rest   5 min, in dev 5 s
//
// with a soak of 10 minutes, in dev 30 s. Scale multiplies bakes and soaks; with zero there
// are none. The first waves are different data centers as long as there are enough: a
// channel's waves take codes from the sorted fleet, each channel from another place.
func DefaultPolicies(dcCodes []string, scale float64, dev bool) map[wire.Channel]*storev1.ChannelPolicy {
	fleet := slices.Compact(slices.Sorted(slices.Values(dcCodes)))
	platform, soak := 5*time.Minute, 10*time.Minute
	if dev {
		platform, soak = 5*time.Second, 30*time.Second
	}
	defaults := []struct {
		channel wire.Channel
		sizes   []int
		bake    time.Duration
	}{
		{wire.Urgent, []int{1}, 250 * time.Millisecond},
		{wire.Routine, []int{1, 4}, time.Second},
		{wire.Platform, []int{1, 3, 8}, platform},
	}
	out := map[wire.Channel]*storev1.ChannelPolicy{}
	for i, d := range defaults {
		p := &storev1.ChannelPolicy{Soak: scaled(soak, scale)}
		at := i * len(fleet) / len(defaults)
		left := len(fleet)
		for _, n := range d.sizes {
			w := &storev1.ChannelPolicy_Wave{Bake: scaled(d.bake, scale)}
			for ; n > 0 && left > 0; n-- {
				w.DataCenters = append(w.DataCenters, fleet[at%len(fleet)])
				at++
				left--
			}
			if len(w.GetDataCenters()) > 0 {
				p.Waves = append(p.Waves, w)
			}
		}
		p.Waves = append(p.Waves, &storev1.ChannelPolicy_Wave{Bake: scaled(d.bake, scale)})
		out[d.channel] = p
	}
	return out
}

func scaled(d time.Duration, scale float64) *durationpb.Duration {
	return durationpb.New(time.Duration(float64(d) * max(scale, 0)))
}

// MergePolicy returns what holds where operators set some of a policy: waves and soak that
// they did not set are the default's.
func MergePolicy(set, byDefault *storev1.ChannelPolicy) *storev1.ChannelPolicy {
	if set == nil {
		return byDefault
	}
	p := &storev1.ChannelPolicy{
		Waves: set.GetWaves(), Soak: set.GetSoak(), Frozen: set.GetFrozen(),
		ServerTolerance: set.GetServerTolerance(), DataCenterTolerance: set.GetDataCenterTolerance(),
		Patience: set.GetPatience(),
	}
	if len(p.GetWaves()) == 0 {
		p.Waves = byDefault.GetWaves()
	}
	if p.GetSoak() == nil {
		p.Soak = byDefault.GetSoak()
	}
	if p.GetPatience() == nil {
		p.Patience = byDefault.GetPatience()
	}
	return p
}

// PolicyFrom is the machine's form of a policy.
func PolicyFrom(p *storev1.ChannelPolicy) Policy {
	out := Policy{
		Soak: p.GetSoak().AsDuration(), Frozen: p.GetFrozen(),
		ServerTolerance: int(p.GetServerTolerance()), DataCenterTolerance: int(p.GetDataCenterTolerance()),
		Patience: p.GetPatience().AsDuration(),
	}
	for _, w := range p.GetWaves() {
		out.Waves = append(out.Waves, PolicyWave{
			DataCenters: slices.Clone(w.GetDataCenters()), Bake: w.GetBake().AsDuration(),
		})
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
