package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Harm behind the gates. Where a gate is open the release that bakes there is the better
// explanation, and alone convicted. Harm where all gates are passed could be anything that
// did not soak, and is, or soon will be, wherever that went: looking for it one release
// after another would hurt the fleet once for each. So everything that did not soak and that
// the hurt data centers have goes back to last known good, everywhere and at once, and comes
// again through the first wave.

// undoAll takes all channels back that have something under suspicion at data centers that
// got into trouble and did not say by what. It returns false where there is nothing.
func (m *machine) undoAll(dcs []string, e evidence) bool {
	suspected := make([]int64, len(m.s.Chains))
	several := 0
	for i := range m.s.Chains {
		if suspected[i] = m.metBy(i, dcs); suspected[i] > 0 {
			several++
		}
	}
	e.others = dcs
	for i, n := range suspected {
		if n > 0 {
			m.undo(&m.s.Chains[i], n, e, several == 1)
		}
	}
	return several > 0
}

// metBy is the newest release of a chain that did not soak and that all of the data centers
// had when they got into trouble; zero when there is none.
func (m *machine) metBy(chain int, dcs []string) int64 {
	newest := int64(0)
	for _, r := range m.s.Chains[chain].Releases {
		if r.Phase == Good {
			continue
		}
		for _, dc := range dcs {
			if m.had(chain, dc) < r.Number {
				return newest
			}
		}
		newest = r.Number
	}
	return newest
}

// had is the release that a data center was told to serve when it last got into trouble, or
// is told now where nothing is known of that.
func (m *machine) had(chain int, dc string) int64 {
	for _, t := range slices.Backward(m.s.Troubles) {
		if t.DataCenter == dc {
			return t.Had[chain]
		}
	}
	if t := m.s.Chains[chain].Target(dc); t != nil {
		return t.Release
	}
	return 0
}

// undo takes a channel back to last known good, everywhere. What came with releases up to n
// is under suspicion; known says that the harm was of this channel.
func (m *machine) undo(ch *Chain, n int64, e evidence, known bool) {
	r := ch.Release(n)
	if r == nil || r.Phase == Good || len(ch.Releases) < 2 {
		return
	}
	oldest := ch.Releases[1]
	after := max(e.after, m.metFor(ch, e.dc))
	for _, dc := range append([]string{e.dc}, e.others...) {
		m.hurt[dc] = true
		at := e
		at.dc = dc
		m.settleAt(ch, at)
	}
	if oldest.Number < n {
		e.reason = fmt.Sprintf("with all releases from %d to %d, which did not soak: %s", oldest.Number, n, e.reason)
	}
	if m.abandonAll(ch, oldest.Number, n, e.reason, OriginHarm, known) > 0 {
		ch.Bisection.lengthen(after)
	}
}

// metFor is how long a data center has had the oldest release that did not soak: harm may
// have taken as long to show.
func (m *machine) metFor(ch *Chain, dc string) time.Duration {
	for i := range ch.Releases {
		r := &ch.Releases[i]
		if r.Phase == Good {
			continue
		}
		since := r.LiveTime
		if w := r.wave(dc); w >= 0 && !r.Waves[w].EnterTime.IsZero() {
			since = r.Waves[w].EnterTime
		}
		if since.IsZero() {
			return 0
		}
		return m.o.Now.Sub(later(since, m.o.Steady))
	}
	return 0
}

// isRetry says whether a release tries a quarantined document again, the version that hurt or
// another one.
func (m *machine) isRetry(r *Release) bool {
	if len(r.Changes) != 1 {
		return false
	}
	q, ok := m.quarantines[r.Changes[0].Document]
	tried := r.Changes[0].New
	return ok && tried != q.Good && (q.Trying || tried != q.Bad)
}

// chance takes a single data center back to last known good whose server crashed while no
// gate was open there. It may be chance, and if it is not, this ends it there. The data
// center joins again soon, and later every time that it crashes again before it soaked.
func (m *machine) chance(t Trouble) {
	if !t.Crashed || m.silent || m.o.Controls[t.DataCenter].Pinned || m.baking(t.DataCenter) {
		return
	}
	var back []string
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		target := ch.Target(t.DataCenter)
		if target == nil || target.Release <= ch.LastKnownGood {
			continue
		}
		m.setBack(ch, target)
		if target.Failures == 1 {
			target.Retry = m.o.Now.Add(postMortem)
		}
		back = append(back, string(ch.Channel))
	}
	if len(back) == 0 {
		return
	}
	m.emit(Incident{
		Kind: IncidentDataCenterLost, DataCenters: []string{t.DataCenter},
		Detail: fmt.Sprintf("%s/%s %s; the data center alone goes back to last known good of %s",
			t.DataCenter, t.Server, t.What, strings.Join(back, ", ")),
	})
}

// baking says whether a gate is open at a data center.
func (m *machine) baking(dc string) bool {
	for i := range m.s.Chains {
		for j := range m.s.Chains[i].Releases {
			r := &m.s.Chains[i].Releases[j]
			if k := r.openWave(); k >= 0 && slices.ContainsFunc(r.Waves[k].Servers, func(f FrozenServer) bool { return f.DataCenter == dc }) {
				return true
			}
		}
	}
	return false
}
