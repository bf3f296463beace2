package rollout

import (
	"cmp"
	"fmt"
	"slices"
)

// suspicion is circumstantial evidence against a release at a data center.
type suspicion struct {
	chain   *Chain
	release int64
	wave    int
	dc      string
	server  string
	failure string
	open    bool
}

// circumstances looks at every frozen server: one that started anew, is unhealthy or is
// lost speaks against the release that bakes there.
func (m *machine) circumstances() {
	var found []suspicion
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		for j := range ch.Releases {
			r := &ch.Releases[j]
			if r.Phase != Rolling {
				continue
			}
			for k := range r.Waves {
				if w := &r.Waves[k]; w.open() {
					m.undrain(w)
					found = append(found, m.inspect(ch, r, k)...)
				} else if w.passed() {
					found = append(found, m.reinspect(ch, r, k)...)
				}
			}
		}
	}
	// Where a gate is open is the better explanation, then what was applied last.
	slices.SortStableFunc(found, func(a, b suspicion) int {
		if c := cmp.Compare(a.dc, b.dc); c != 0 {
			return c
		}
		if a.open != b.open {
			return rank(a.open) - rank(b.open)
		}
		return b.entered().Compare(a.entered())
	})
	for _, s := range found {
		m.judge(s)
	}
	m.darkness()
}

// judge convicts the release, unless it is gone, the data center settles since a better
// explanation was found, or the harm is tolerated.
func (m *machine) judge(s suspicion) {
	r := s.chain.Release(s.release)
	if r == nil || m.settling(s.dc) {
		return
	}
	w := &r.Waves[s.wave]
	tooMany := m.fails(s.chain, w, s.dc, s.server, s.failure)
	e := evidence{dc: s.dc, server: s.server, reason: fmt.Sprintf("%s/%s %s", s.dc, s.server, s.failure)}
	if !s.open {
		m.refreeze(w, s.dc, s.server)
	}
	switch failed := r.failedLater(); {
	case !tooMany:
	case s.open:
		m.convict(s.chain, s.release, e)
	case len(failed) > 1 && m.undoAll(failed, e):
	case s.wave == 0 || len(failed) > 1:
		// One crash that says nothing of its cause may be chance: it does not undo more than
		// what is still rolling.
		m.convict(s.chain, s.release, e)
	}
}

// failedLater are the data centers that failed after they passed.
func (r *Release) failedLater() []string {
	var dcs []string
	for _, w := range r.Waves {
		for _, s := range w.Servers {
			if w.passed() && s.Failure != "" && !slices.Contains(dcs, s.DataCenter) {
				dcs = append(dcs, s.DataCenter)
			}
		}
	}
	return dcs
}

// undrain takes servers of drained data centers out of an open gate. A wave that loses all
// of them so closes, and opens again when it has an eligible one.
func (m *machine) undrain(w *Wave) {
	w.dismiss(func(dc string) bool { return m.o.Controls[dc].Drained })
}

// leave takes a data center out of an open gate.
func (w *Wave) leave(dc string) { w.dismiss(func(other string) bool { return other == dc }) }

func (w *Wave) dismiss(gone func(dc string) bool) {
	before := len(w.Servers)
	w.Servers = slices.DeleteFunc(w.Servers, func(s FrozenServer) bool { return gone(s.DataCenter) })
	w.Losses = slices.DeleteFunc(w.Losses, func(l Loss) bool { return gone(l.DataCenter) })
	if len(w.Servers) == 0 && before > 0 && len(w.Losses) == 0 {
		*w = Wave{DataCenters: w.DataCenters, Bake: w.Bake}
	}
}

// inspect looks at the servers of an open gate.
func (m *machine) inspect(ch *Chain, r *Release, k int) []suspicion {
	w := &r.Waves[k]
	var found []suspicion
	var missing []string
	for i := range w.Servers {
		f := &w.Servers[i]
		srv := m.dc(f.DataCenter).server(f.Server)
		failure := ""
		switch {
		case f.Failure != "":
		case srv == nil || !srv.Connected:
			missing = append(missing, f.DataCenter)
		case srv.Incarnation != f.Incarnation:
			failure = "started anew while the release baked"
		case !srv.Healthy:
			failure = "became unhealthy while the release baked" + detail(srv)
		}
		if failure == "" {
			continue
		}
		if m.excusable(srv, f.Incarnation) || m.byOutage(ch, r, srv, f.Incarnation) {
			m.refreeze(w, f.DataCenter, f.Server)
			continue
		}
		found = append(found, suspicion{
			chain: ch, release: r.Number, wave: k, dc: f.DataCenter, server: f.Server, failure: failure, open: true,
		})
	}
	w.noteMissing(missing, m)
	return found
}

// reinspect looks at the servers of a passed gate of a release that is still rolling.
func (m *machine) reinspect(ch *Chain, r *Release, k int) []suspicion {
	w := &r.Waves[k]
	var found []suspicion
	for _, f := range w.Servers {
		srv := m.dc(f.DataCenter).server(f.Server)
		if srv == nil || !srv.Connected || m.o.Controls[f.DataCenter].Drained {
			continue
		}
		failure := ""
		switch {
		case srv.Incarnation != f.Incarnation:
			failure = "started anew after the release had passed there"
		case !srv.Healthy && f.Failure == "":
			failure = "became unhealthy after the release had passed there" + detail(srv)
		default:
			continue
		}
		if m.excusable(srv, f.Incarnation) || m.byOutage(ch, r, srv, f.Incarnation) {
			m.refreeze(w, f.DataCenter, f.Server)
			continue
		}
		found = append(found, suspicion{
			chain: ch, release: r.Number, wave: k, dc: f.DataCenter, server: f.Server, failure: failure,
		})
	}
	return found
}

// explained says whether a data center was moved outside of a wave a moment ago: what its
// servers did until then was with the release that they had.
func (m *machine) explained(dc string) bool {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		t := ch.Target(dc)
		if t == nil || t.Sequence == 1 || m.o.Now.Sub(t.MoveTime) >= postMortem {
			continue
		}
		r := ch.Release(t.Release)
		if r == nil {
			return true
		}
		if w := r.wave(dc); w < 0 || !r.Waves[w].EnterTime.Equal(t.MoveTime) {
			return true
		}
	}
	return false
}

// excusable says whether what is seen of a server convicts nobody: its data center settles
// or was just moved back, somebody restarted it in order, or the observer has just started.
// Mass silence excuses much, but a server that started anew is no silence: a fleet that crashes
// at once must not pass for an outage of our own.
func (m *machine) excusable(srv *Server, incarnation string) bool {
	same := srv.Incarnation == incarnation
	wanted := srv.InOrder && (!same || m.o.Now.Sub(m.runSince(srv)) < postMortem)
	return m.fresh || m.settling(srv.DataCenter) || m.explained(srv.DataCenter) || m.silent && same || wanted
}

func detail(srv *Server) string {
	if srv.Detail == "" {
		return ""
	}
	return ": " + srv.Detail
}

// refreeze takes a server's new incarnation; it has to bake anew.
func (m *machine) refreeze(w *Wave, dc, server string) {
	srv := m.dc(dc).server(server)
	for i := range w.Servers {
		f := &w.Servers[i]
		if f.DataCenter == dc && f.Server == server && srv != nil && srv.Incarnation != f.Incarnation {
			f.Incarnation, f.Attested = srv.Incarnation, false
		}
	}
}

// settle watches the data centers that were hurt. One that recovered is let go; harm that
// lasts although the release is gone there convicts the next one.
func (m *machine) settle() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		var keep, again []Settling
		for _, s := range ch.Settling {
			switch m.recovery(ch, &s) {
			case recovering:
				m.wake(s.Until)
				keep = append(keep, s)
			case lasting:
				again = append(again, s)
			case recovered:
			}
		}
		ch.Settling = keep
		for _, s := range again {
			m.next(s.DataCenter)
		}
	}
}

type recoveryState int

const (
	recovering recoveryState = iota
	recovered
	lasting
)

// recovery says how a hurt data center fares. A server counts as back once it acted on the
// target that took the release away; what it does from then on is not that release's fault.
func (m *machine) recovery(ch *Chain, s *Settling) recoveryState {
	d := m.dc(s.DataCenter)
	sequence := int64(0)
	if t := ch.Target(s.DataCenter); t != nil {
		sequence = t.Sequence
	}
	back, well := 0, true
	for _, srv := range d.servers {
		if !srv.Connected || srv.channel(ch.Channel).TargetSequence < sequence {
			well = false
			continue
		}
		i := slices.IndexFunc(s.Servers, func(k ServerKey) bool { return k.Server == srv.Name })
		switch {
		case i < 0:
			s.Servers = append(s.Servers, ServerKey{srv.Name, srv.Incarnation})
		case s.Servers[i].Incarnation != srv.Incarnation && srv.InOrder:
			s.Servers[i].Incarnation = srv.Incarnation
		case s.Servers[i].Incarnation != srv.Incarnation && !m.fresh:
			return lasting
		}
		back++
		well = well && srv.Healthy
	}
	switch {
	case well && back > 0 && (s.Attributed || !m.o.Now.Before(s.Until)):
		return recovered
	case m.o.Now.Before(s.Until):
		return recovering
	case m.silent || m.fresh:
		return recovered
	}
	for _, srv := range d.servers {
		if srv.Connected && !srv.Healthy && slices.ContainsFunc(s.Servers, func(k ServerKey) bool { return k.Server == srv.Name }) {
			return lasting
		}
	}
	// A server that stays away is lost, which no other release explains.
	return recovered
}

// next convicts the newest unsoaked release that the data center has, where a gate is open
// there before all others.
func (m *machine) next(dc string) {
	var found []suspicion
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		t := ch.Target(dc)
		for j := range ch.Releases {
			r := &ch.Releases[j]
			if w := r.wave(dc); t != nil && r.Phase != Good && t.Release >= r.Number && w >= 0 && !r.Waves[w].EnterTime.IsZero() {
				found = append(found, suspicion{chain: ch, release: r.Number, wave: w, dc: dc, open: r.Waves[w].open()})
			}
		}
	}
	if len(found) == 0 {
		m.emit(Incident{
			Kind: IncidentDataCenterLost, DataCenters: []string{dc},
			Detail: "harm lasts although every new release was taken back there",
		})
		return
	}
	slices.SortStableFunc(found, func(a, b suspicion) int {
		if a.open != b.open {
			return rank(a.open) - rank(b.open)
		}
		return b.entered().Compare(a.entered())
	})
	s := found[0]
	m.convict(s.chain, s.release, evidence{dc: dc, reason: dc + " does not recover, and this release is the next newest there"})
}
