package rollout

import (
	"fmt"
	"slices"
	"time"
)

// entered is when the release entered the wave of the suspicion.
func (s suspicion) entered() time.Time {
	if r := s.chain.Release(s.release); r != nil && s.wave < len(r.Waves) {
		return r.Waves[s.wave].EnterTime
	}
	return time.Time{}
}

// noteMissing keeps since when data centers of an open wave miss servers.
func (w *Wave) noteMissing(dcs []string, m *machine) {
	quiet := m.silent || m.fresh
	w.Losses = slices.DeleteFunc(w.Losses, func(l Loss) bool {
		return !l.Excused && (quiet || !slices.Contains(dcs, l.DataCenter) || m.settling(l.DataCenter))
	})
	if quiet {
		return
	}
	for _, dc := range dcs {
		if !m.settling(dc) && !slices.ContainsFunc(w.Losses, func(l Loss) bool { return l.DataCenter == dc }) {
			w.Losses = append(w.Losses, Loss{DataCenter: dc, Since: m.o.Now})
		}
	}
}

// darkness decides about losses whose post-mortem did not come, where several releases
// bake in one data center the newest first: once that is convicted, the others wait.
func (m *machine) darkness() {
	var due []suspicion
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		for j := range ch.Releases {
			r := &ch.Releases[j]
			k := r.openWave()
			if r.Phase != Rolling || k < 0 {
				continue
			}
			for _, l := range r.Waves[k].Losses {
				if at := m.after(l.Since, postMortem); l.Excused || m.o.Now.Before(at) {
					m.wake(at)
					continue
				}
				due = append(due, suspicion{chain: ch, release: r.Number, wave: k, dc: l.DataCenter})
			}
		}
	}
	slices.SortStableFunc(due, func(a, b suspicion) int { return b.entered().Compare(a.entered()) })
	for _, s := range due {
		r := s.chain.Release(s.release)
		if r == nil || m.settling(s.dc) {
			continue
		}
		w := &r.Waves[s.wave]
		l := slices.IndexFunc(w.Losses, func(l Loss) bool { return l.DataCenter == s.dc })
		switch {
		case l < 0:
		case m.dc(s.dc).reports():
			m.lostServers(s.chain, r, w, w.Losses[l])
		default:
			m.lostDataCenter(s.chain, r, w, l)
		}
	}
}

// lostServers judges a data center that still reports but misses frozen servers.
func (m *machine) lostServers(ch *Chain, r *Release, w *Wave, loss Loss) {
	tooMany := false
	name := ""
	for i := range w.Servers {
		f := &w.Servers[i]
		srv := m.dc(f.DataCenter).server(f.Server)
		if f.DataCenter == loss.DataCenter && f.Failure == "" && (srv == nil || !srv.Connected) {
			name = f.Server
			tooMany = m.fails(ch, w, f.DataCenter, f.Server, "was lost while the release baked") || tooMany
		}
	}
	if tooMany {
		m.convict(ch, r.Number, evidence{
			dc: loss.DataCenter, server: name,
			reason: fmt.Sprintf("%s/%s was lost while the release baked, and the others there report", loss.DataCenter, name),
		})
	}
}

// lostDataCenter lets the gate go on without a data center that went dark as a whole: that
// may be bad luck. A second one is not.
func (m *machine) lostDataCenter(ch *Chain, r *Release, w *Wave, l int) {
	dc := w.Losses[l].DataCenter
	lost := 1
	for _, other := range w.Losses {
		if other.Excused {
			lost++
		}
	}
	m.emit(Incident{
		Kind: IncidentDataCenterLost, Channel: ch.Channel, Release: r.Number, DataCenters: []string{dc},
		Detail: dc + " went dark while the release baked",
	})
	if lost > 1+m.o.Policies[ch.Channel].DataCenterTolerance {
		m.convict(ch, r.Number, evidence{
			dc: dc, reason: fmt.Sprintf("%s is the second data center that went dark while the release baked", dc),
		})
		return
	}
	w.Losses[l].Excused = true
	w.Servers = slices.DeleteFunc(w.Servers, func(s FrozenServer) bool { return s.DataCenter == dc })
	r.Reason = dc + " went dark while the release baked; going on without it"
}

// draft finds another data center for an open wave that lost all of its own: first one of
// them that is back, else, once, the next one that the release would have met later, else
// one that was stuck and acts again.
func (m *machine) draft(ch *Chain, r *Release, k int) {
	w := &r.Waves[k]
	stuck := func(dc string) bool {
		return slices.ContainsFunc(w.Losses, func(l Loss) bool { return l.DataCenter == dc && l.Stuck })
	}
	for _, dc := range w.DataCenters {
		if !stuck(dc) && (m.eligible(ch, dc) || m.back(ch, r, dc)) {
			m.freeze(ch, r, k, dc)
			w.Losses = slices.DeleteFunc(w.Losses, func(l Loss) bool { return l.DataCenter == dc })
			return
		}
	}
	for later := k + 1; later < len(r.Waves); later++ {
		for i, dc := range r.Waves[later].DataCenters {
			if !m.eligible(ch, dc) || !m.clearAt(ch, r, dc) {
				continue
			}
			r.Waves[later].DataCenters = slices.Delete(r.Waves[later].DataCenters, i, i+1)
			w.DataCenters = append(w.DataCenters, dc)
			m.freeze(ch, r, k, dc)
			if len(r.Waves[later].DataCenters) == 0 {
				r.Waves = slices.Delete(r.Waves, later, later+1)
			}
			return
		}
	}
	for _, dc := range w.DataCenters {
		if stuck(dc) && (m.eligible(ch, dc) || m.back(ch, r, dc)) && m.acts(ch, dc) {
			m.freeze(ch, r, k, dc) // Its loss counts on: stuck again it is the second one.
			return
		}
	}
}

// acts says whether the servers of a data center that report acted on their last order.
func (m *machine) acts(ch *Chain, dc string) bool {
	t := ch.Target(dc)
	return t != nil && !slices.ContainsFunc(m.dc(dc).servers, func(srv *Server) bool {
		return srv.Connected && srv.channel(ch.Channel).TargetSequence < t.Sequence
	})
}

// back says whether a data center that already has the release as its target serves again.
func (m *machine) back(ch *Chain, r *Release, dc string) bool {
	t, d := ch.Target(dc), m.dc(dc)
	return t != nil && t.Release == r.Number && d.serves() && !d.control.Drained && !m.settling(dc)
}
