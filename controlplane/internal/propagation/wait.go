package propagation

import (
	"slices"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// What a version waits for where it is not its own doing. The reasons are shown to owners:
// they say nothing of other sites, and quote nothing that a server said.
const (
	waitFrozen    = "waits: an operator froze the channel that carries it"
	waitHeld      = "waits: an operator holds its release, or one before it"
	waitSearching = "waits: an earlier release hurt a data center, and the change at fault is looked for"
	waitSilent    = "waits: a data center that has its release does not answer as it should"
	waitNobody    = "waits: none of the data centers that come next takes part in rollouts now"
)

// obstacles are what may hold up the releases of a chain.
type obstacles struct {
	frozen, searching bool
	// stages are the releases that did not pass every wave, oldest first.
	stages []stage
}

// stage is where a release stands.
type stage struct {
	number      int64
	held, trial bool
	// silent says that a gate misses a data center, or has another reason to wait. next are the data centers of the wave
	// that opens next; nil while one is open.
	silent bool
	next   []string
}

func newObstacles(rollout *storev1.RolloutRecord, policy *storev1.ChannelPolicy) obstacles {
	b := rollout.GetBisection()
	o := obstacles{frozen: policy.GetFrozen(), searching: b != nil && !b.GetExhausted()}
	for _, r := range rollout.GetReleases() {
		if r.GetNumber() <= rollout.GetLive() || r.GetState() == storev1.ReleaseProgress_ABANDONED {
			continue
		}
		s := stage{number: r.GetNumber(), held: r.GetHeld(), trial: r.GetCause() == edgev1.Manifest_TRIAL}
		for _, w := range r.GetWaves() {
			if w.GetPassTime() != nil {
				continue
			}
			if w.GetEnterTime() == nil {
				s.next = w.GetDataCenters()
			} else {
				s.silent = len(w.GetLosses()) > 0 || r.GetReason() != ""
			}
			break
		}
		o.stages = append(o.stages, s)
	}
	return o
}

// waits says what holds a version up that is not LIVE; empty where it is just on its way.
func (s *State) waits(p place) string {
	for _, c := range siteChannels {
		n, carried := p.carried[c]
		if !carried {
			n = never
		}
		if ch := s.chains[c]; n > ch.live {
			if reason := s.obstacle(&ch.obstacles, n, carried && n <= ch.firstWave); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// obstacle is what holds up release n of a chain, which may have passed its first wave.
func (s *State) obstacle(o *obstacles, n int64, passed bool) string {
	ahead := o.stages
	for i, st := range ahead {
		if st.number > n {
			ahead = ahead[:i]
			break
		}
	}
	has := func(is func(stage) bool) bool { return slices.ContainsFunc(ahead, is) }
	switch {
	case has(func(st stage) bool { return st.held }):
		return waitHeld
	case o.frozen:
		return waitFrozen
	case o.searching && !passed && !has(func(st stage) bool { return st.number == n && st.trial }):
		return waitSearching
	case has(func(st stage) bool { return st.silent }):
		return waitSilent
	case has(func(st stage) bool { return len(st.next) > 0 && !s.takesPart(st.next) }):
		return waitNobody
	}
	return ""
}

// takesPart says whether one of the data centers is eligible.
func (s *State) takesPart(dcs []string) bool {
	return slices.ContainsFunc(s.dataCenters, func(d dataCenter) bool { return slices.Contains(dcs, d.code) })
}
