package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// check is the invariants of the package doc, over one step.
func (s *sim) check(o Observation, next State, actions []Action) {
	for i := range next.Chains {
		s.checkWaves(&next.Chains[i])
		s.checkBakes(&next.Chains[i])
		s.checkChain(o, &s.prev.Chains[i], &next.Chains[i])
	}
	for _, a := range actions {
		if t, ok := a.(SetTarget); ok {
			s.checkMove(next, t)
		}
	}
	for i := range next.Chains {
		s.checkSuspects(&next.Chains[i], actions)
	}
}

// checkSuspects is invariant 10: nothing that may have hurt is sealed again as if it had not.
func (s *sim) checkSuspects(ch *Chain, actions []Action) {
	newest := map[wire.DocumentID]wire.Sum{}
	for _, a := range actions {
		if r, ok := a.(Archive); ok && r.Channel == ch.Channel && r.Release.Phase == Abandoned && len(r.Release.Hurt) > 0 {
			for _, c := range s.manifests[ch.Channel][r.Release.Number].Changes {
				newest[c.Document] = c.New
			}
		}
	}
	quarantined := maps.Clone(s.quarantines)
	for _, a := range actions {
		switch a := a.(type) {
		case PutQuarantine:
			if _, named := newest[a.Quarantine.Document]; named && a.Quarantine.Channel == ch.Channel {
				return // Others came with what was named, and hurt nobody.
			}
			quarantined[a.Quarantine.Document] = a.Quarantine
		case RemoveQuarantine:
			delete(quarantined, a.Document)
		}
	}
	head := s.manifests[ch.Channel][ch.Head().Number].docs
	for id, sum := range newest {
		suspect := slices.ContainsFunc(ch.Suspects, func(x Suspect) bool { return x.Document == id && x.Bad == sum })
		if q, held := quarantined[id]; !suspect && head[id] != sum && (!held || q.Bad != sum) {
			s.fail("%s: %s was in a release that hurt, and is not held: %+v", ch.Channel, id, ch.Bisection)
		}
	}
}

func (s *sim) fail(format string, args ...any) {
	s.tb.Fatalf("at %v: %s", s.now.Sub(epoch), fmt.Sprintf(format, args...))
}

// checkWaves is invariants 1 and 2.
func (s *sim) checkWaves(ch *Chain) {
	in := map[int]int64{}
	for j := range ch.Releases {
		r := &ch.Releases[j]
		for k := range r.Waves {
			w := &r.Waves[k]
			if w.open() {
				if other, taken := in[k]; taken {
					s.fail("%s: releases %d and %d are both in wave %d", ch.Channel, other, r.Number, k)
				}
				in[k] = r.Number
			}
			if k > 0 && !w.EnterTime.IsZero() && !r.Waves[k-1].passed() {
				s.fail("%s: release %d is in wave %d, and did not pass the one before", ch.Channel, r.Number, k)
			}
		}
	}
}

// checkChain is invariants 2, 4, 5 and 6.
func (s *sim) checkChain(o Observation, before, after *Chain) {
	for j := range after.Releases {
		r := &after.Releases[j]
		if j > 0 && r.Parent != after.Releases[j-1].Number {
			s.fail("%s: release %d does not follow its parent", after.Channel, r.Number)
		}
		if _, dead := s.dead[after.Channel][r.Number]; dead {
			s.fail("%s: abandoned release %d is alive", after.Channel, r.Number)
		}
		entered := 0
		for k := range r.Waves {
			old := before.Release(r.Number)
			var was Wave
			if old != nil && k < len(old.Waves) {
				was = old.Waves[k]
			}
			if was.EnterTime.IsZero() && !r.Waves[k].EnterTime.IsZero() {
				entered++
			}
			if !was.passed() && r.Waves[k].passed() {
				s.checkGate(after, r, k, was)
			}
		}
		if entered > 1 {
			s.fail("%s: release %d entered %d waves in one step", after.Channel, r.Number, entered)
		}
	}
	if after.LastKnownGood < before.LastKnownGood || len(after.Releases) > 0 && after.Releases[0].Number != after.LastKnownGood {
		s.fail("%s: last known good went from %d to %d", after.Channel, before.LastKnownGood, after.LastKnownGood)
	}
	for _, t := range after.Targets {
		if t.Release > after.LastKnownGood && after.Release(t.Release) == nil {
			s.fail("%s: %s is told to be at %d, which is not alive", after.Channel, t.DataCenter, t.Release)
		}
		if old := before.Target(t.DataCenter); old != nil && (t.Sequence < old.Sequence || t.Release != old.Release && t.Sequence == old.Sequence) {
			s.fail("%s: the sequence of %s did not grow", after.Channel, t.DataCenter)
		}
	}
	size := 0
	if b := after.Bisection; b != nil {
		for _, g := range b.Groups {
			size += g.Size
		}
		for i, sus := range after.Suspects {
			if (i < size) != (sus.Origin == OriginHarm) {
				s.fail("%s: suspect %d of %d is out of its place", after.Channel, i, size)
			}
		}
	}
	if len(after.Releases) > MaxInFlight+8 {
		s.fail("%s: %d releases in flight", after.Channel, len(after.Releases))
	}
	_ = o
}

// checkGate is invariant 4, against what the agents truly did.
func (s *sim) checkGate(ch *Chain, r *Release, k int, was Wave) {
	servers := r.Waves[k].Servers
	if r.Phase == Live {
		servers = was.Servers // Forgotten by now.
	}
	if len(servers) == 0 {
		s.fail("%s: release %d passed wave %d without a server", ch.Channel, r.Number, k)
	}
	for _, f := range servers {
		lost := slices.ContainsFunc(r.Waves[k].Losses, func(l Loss) bool { return l.DataCenter == f.DataCenter && l.Excused })
		back := ch.Target(f.DataCenter)
		if f.Failure != "" || lost || s.controls[f.DataCenter].Drained || back != nil && back.Release < r.Number {
			continue
		}
		i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.name == f.Server })
		a := s.agents[i]
		if r.Phase == Live {
			f.Incarnation = a.view.Incarnation // It may have been frozen anew in this step.
		}
		run, _ := strconv.Atoi(f.Incarnation)
		healthy := a.attestation[attestKey{run, ch.Channel, r.Number}]
		if healthy < r.Waves[k].Bake {
			s.fail("%s: release %d passed wave %d, but %s was healthy for %v only", ch.Channel, r.Number, k, f.Server, healthy)
		}
	}
}

// checkMove is invariants 3, 5 and 7.
func (s *sim) checkMove(next State, t SetTarget) {
	ch := next.Chain(t.Channel)
	old := s.prev.Chain(t.Channel).Target(t.DataCenter)
	if t.Back {
		if old != nil && t.Release > old.Release {
			s.fail("%s: a move back takes %s from %d to %d", t.Channel, t.DataCenter, old.Release, t.Release)
		}
		return
	}
	r := ch.Release(t.Release)
	switch {
	case r == nil:
		s.fail("%s: %s moves to %d, which is not alive", t.Channel, t.DataCenter, t.Release)
	case s.policies[t.Channel].Frozen:
		s.fail("%s: %s moves to %d in a frozen channel", t.Channel, t.DataCenter, t.Release)
	case s.controls[t.DataCenter].Drained, s.controls[t.DataCenter].Pinned:
		s.fail("%s: %s moves to %d though an operator keeps it out", t.Channel, t.DataCenter, t.Release)
	}
	for j := range ch.Releases {
		a := &ch.Releases[j]
		if a.Number > t.Release {
			break
		}
		if a.Held && old != nil && old.Release < a.Number {
			s.fail("%s: %s moves to %d past %d, which is held", t.Channel, t.DataCenter, t.Release, a.Number)
		}
		if a.settled() {
			continue
		}
		w := a.wave(t.DataCenter)
		if w < 0 || a.Number == t.Release && !a.Waves[w].open() || a.Number < t.Release && !a.Waves[w].passed() {
			s.fail("%s: %s moves to %d outside of a wave of %d", t.Channel, t.DataCenter, t.Release, a.Number)
		}
	}
}

// firstWave is the data center that a channel tries first.
func (s *sim) firstWave(c wire.Channel) string { return s.policies[c].Waves[0].DataCenters[0] }
