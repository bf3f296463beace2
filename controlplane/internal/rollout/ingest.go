package rollout

import (
	"fmt"
	"slices"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// ingest takes in what was sealed, and fixes its waves.
func (m *machine) ingest() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		for _, r := range m.o.Sealed[ch.Channel] {
			if r.Number > ch.LastNumber {
				m.take(i, ch, r)
			}
		}
		for j := range ch.Releases {
			// One whose first wave can't open goes by the policy as it is now.
			if r := &ch.Releases[j]; r.Phase == Sealed && (len(r.Waves) == 0 || r.waits()) {
				r.Waves = fixWaves(m.o.Policies[ch.Channel], m.o.Fleet)
				m.fitTrial(ch, r)
				r.skipBakes()
			}
		}
	}
}

func (m *machine) take(i int, ch *Chain, r Release) {
	ch.LastNumber = r.Number
	r.Waves, r.Held, r.Reason = nil, false, ""
	head := ch.Head()
	if head == nil {
		// The genesis release is good by definition: there is nothing to go back to.
		r.Phase, r.LiveTime = Good, m.o.Now
		ch.Live, ch.LastKnownGood = r.Number, r.Number
		ch.Releases = append(ch.Releases, r)
		ch.Generations = append(ch.Generations, Generation{Release: r.Number, StateHash: r.StateHash, GoodTime: m.o.Now})
		return
	}
	if r.Parent != head.Number {
		// It was sealed on a release that was abandoned meanwhile.
		r.Phase, r.Reason = Abandoned, fmt.Sprintf("release %d, which it changes, is not the end of the live chain", r.Parent)
		m.emit(Archive{Channel: ch.Channel, Release: r})
		m.dead[i] = append(m.dead[i], r.Number)
		if m.why[i] == "" {
			m.why[i] = r.Reason
		}
		return
	}
	r.Phase = Sealed
	ch.Releases = append(ch.Releases, r)
	if ch.matches(&r) {
		ch.Bisection.Release = r.Number
	}
	// A request to revert is served by the first release that changes one of its documents.
	ch.Reverts = slices.DeleteFunc(ch.Reverts, func(rv Revert) bool {
		return slices.ContainsFunc(ch.Suspects, func(s Suspect) bool {
			return s.Release == rv.Release && slices.ContainsFunc(r.Changes, func(c Change) bool { return c.Document == s.Document })
		})
	})
}

// fixWaves resolves a policy for the fleet that is known. Waves without members are left
// out: in a small fleet they mean nothing.
func fixWaves(p Policy, fleet []string) []Wave {
	if len(fleet) == 0 || len(p.Waves) == 0 {
		return nil
	}
	named := map[string]bool{}
	var waves []Wave
	for k, pw := range p.Waves {
		w := Wave{Bake: pw.Bake}
		for _, dc := range pw.DataCenters {
			if !named[dc] {
				named[dc] = true
				w.DataCenters = append(w.DataCenters, dc)
			}
		}
		if k == len(p.Waves)-1 {
			for _, dc := range fleet {
				if !named[dc] {
					w.DataCenters = append(w.DataCenters, dc)
				}
			}
		}
		if len(w.DataCenters) > 0 {
			waves = append(waves, w)
		}
	}
	return waves
}

// fitTrial gives a trial its first wave: one data center, and a bake long enough to see
// what was seen before.
func (m *machine) fitTrial(ch *Chain, r *Release) {
	b := ch.Bisection
	if b == nil || b.Release != r.Number || len(r.Waves) == 0 {
		return
	}
	first := &r.Waves[0]
	if len(first.DataCenters) > 1 {
		one := Wave{DataCenters: first.DataCenters[:1:1], Bake: first.Bake}
		first.DataCenters = slices.Clone(first.DataCenters[1:])
		r.Waves = slices.Insert(r.Waves, 0, one)
		first = &r.Waves[0]
	}
	first.Bake = max(first.Bake, b.Bake)
}

// brought returns the newest unsoaked release up to r that changed the document into the
// version, or into any where sum is absent, and the change.
func (c *Chain) brought(r *Release, id wire.DocumentID, sum wire.Sum) (*Release, Change, bool) {
	for i := c.index(r.Number); i >= 0; i-- {
		m := &c.Releases[i]
		if m.Phase == Good {
			break
		}
		j, ok := slices.BinarySearchFunc(m.Changes, id, func(c Change, id wire.DocumentID) int { return c.Document.Compare(id) })
		if !ok {
			continue
		}
		if change := m.Changes[j]; sum.IsZero() || change.New == sum {
			return m, change, true
		}
		return nil, Change{}, false
	}
	return nil, Change{}, false
}
