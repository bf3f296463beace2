package ops

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// A policy is no release and passes no gate, so that its bounds are what keeps one call of
// one operator from taking a bad change everywhere. They depend on the fleet and on the
// default policies, which are within them in every fleet.
const (
	// maxBake bounds a wave's bake, a soak and a patience.
	maxBake = 7 * 24 * time.Hour
	// minPatience bounds a patience.
	minPatience = time.Second
	// bakeShare and soakShare: a first wave's bake is at least the default's divided by the
	// one, a soak by the other.
	bakeShare, soakShare = 2, 10
	// firstShare: the first wave has at most the fleet divided by it, and so many servers or
	// data centers are tolerated at most.
	firstShare = 10
	// laterShare and laterLeast: a wave between has at most the fleet divided by the one, or
	// the other where that is more, which default policies of small fleets need.
	laterShare, laterLeast = 2, 8
)

// floors is the least first bake and the least soak of a channel.
func (r *Releases) floors(c wire.Channel) (bake, soak time.Duration) {
	p := r.defaults[c]
	if waves := p.GetWaves(); len(waves) > 0 {
		bake = waves[0].GetBake().AsDuration() / bakeShare
	}
	return bake, p.GetSoak().AsDuration() / soakShare
}

// violations collects what is wrong with a policy.
type violations []rpcerr.Violation

func (v *violations) add(field, rule, format string, args ...any) {
	*v = append(*v, rpcerr.Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// duration checks one that has to be between two others.
func (v *violations) duration(field string, d *durationpb.Duration, least, most time.Duration) {
	switch {
	case d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > most:
		v.add(field, "range", "is %gs to %gs", least.Seconds(), most.Seconds())
	case d.AsDuration() < least:
		v.add(field, "min", "is at least %v: what is harmful has to have the time to show", least)
	}
}

// checkPolicy names what is wrong with what operators want of a channel.
func (r *Releases) checkPolicy(c wire.Channel, ch *opsv1.Channel) []rpcerr.Violation {
	var v violations
	bake, soak := r.floors(c)
	r.checkWaves(&v, ch.GetWaves(), bake)
	v.duration("soak", ch.GetSoak(), soak, maxBake)
	most := max(1, len(r.locations)/firstShare)
	for _, tolerance := range []struct {
		field string
		n     int32
	}{{"serverTolerance", ch.GetServerTolerance()}, {"dataCenterTolerance", ch.GetDataCenterTolerance()}} {
		if tolerance.n < 0 || int(tolerance.n) > most {
			v.add(tolerance.field, "range", "is 0 to %d in a fleet of %d data centers", most, len(r.locations))
		}
	}
	if p := ch.GetPatience(); p != nil && (p.CheckValid() != nil || p.AsDuration() < minPatience || p.AsDuration() > maxBake) {
		v.add("patience", "range", "is %gs to %gs", minPatience.Seconds(), maxBake.Seconds())
	}
	return v
}

func (r *Releases) checkWaves(v *violations, waves []*opsv1.Channel_Wave, firstBake time.Duration) {
	if len(waves) < 2 {
		v.add("waves", "min_items", "has at least two waves: the first one is what a bad change may hurt")
	}
	seen := map[string]bool{}
	for at, w := range waves {
		field := "waves[" + itoa(at) + "]"
		r.checkMembers(v, field+".dataCenters", w.GetDataCenters(), at, at == len(waves)-1)
		for _, dc := range w.GetDataCenters() {
			if _, ok := locate(r.locations, dc); !ok {
				v.add(field+".dataCenters", "data_center", "%s is no data center of the fleet", dc)
			}
			if seen[dc] {
				v.add(field+".dataCenters", "unique", "%s is named twice", dc)
			}
			seen[dc] = true
		}
		least := firstBake
		if at > 0 {
			least = 0
		}
		v.duration(field+".bake", w.GetBake(), least, maxBake)
	}
}

// checkMembers checks how many data centers a wave has.
func (r *Releases) checkMembers(v *violations, field string, dcs []string, at int, last bool) {
	fleet := len(r.locations)
	first, later := max(1, fleet/firstShare), max(laterLeast, fleet/laterShare)
	switch n := len(dcs); {
	case last && n > 0:
		v.add(field, "last_wave", "is empty in the last wave, which takes all other data centers")
	case !last && n == 0:
		v.add(field, "min_items", "names at least one data center, but in the last wave")
	case at == 0 && n > first:
		v.add(field, "max_items", "names at most %d of the fleet's %d data centers in the first wave, which is what a bad change may hurt", first, fleet)
	case n > later:
		v.add(field, "max_items", "names at most %d of the fleet's %d data centers, but in the last wave", later, fleet)
	}
}

// setPolicy stores what was changed. What nobody changes stays the default's, whatever that
// will be.
func setPolicy(p *storev1.ChannelPolicy, ch *opsv1.Channel, changed []string) {
	p.ServerTolerance, p.DataCenterTolerance = ch.GetServerTolerance(), ch.GetDataCenterTolerance()
	if slices.Contains(changed, "patience") {
		p.Patience = ch.GetPatience()
	}
	if slices.Contains(changed, "soak") {
		p.Soak = ch.GetSoak()
	}
	if slices.Contains(changed, "waves") {
		p.Waves = nil
		for _, w := range ch.GetWaves() {
			p.Waves = append(p.Waves, &storev1.ChannelPolicy_Wave{DataCenters: w.GetDataCenters(), Bake: w.GetBake()})
		}
	}
}

// policyView is a policy as operators see it.
func policyView(c wire.Channel, p *storev1.ChannelPolicy) *opsv1.Channel {
	out := &opsv1.Channel{
		Name: channelName(c), Soak: p.GetSoak(), ServerTolerance: p.GetServerTolerance(),
		DataCenterTolerance: p.GetDataCenterTolerance(), Patience: p.GetPatience(),
	}
	for _, w := range p.GetWaves() {
		bake := w.GetBake()
		if bake == nil {
			bake = durationpb.New(0)
		}
		out.Waves = append(out.Waves, &opsv1.Channel_Wave{DataCenters: w.GetDataCenters(), Bake: bake})
	}
	out.Etag = resource.Etag(out)
	out.Frozen = p.GetFrozen()
	return out
}
