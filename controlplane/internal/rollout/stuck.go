package rollout

import (
	"fmt"
	"slices"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
)

// leastPatience is how long a gate waits at least for a server that reports and does not
// serve the release: longer than an agent's own watchdog, which ends what hangs.
const leastPatience = time.Minute

// patience is how long an open gate waits for such a server.
func (p Policy) patience(bake time.Duration) time.Duration {
	if p.Patience > 0 {
		return p.Patience + bake
	}
	return max(leastPatience, 10*bake)
}

// stuck finds the servers of open gates that report, are well, reject nothing, and do not
// serve the release although they had time enough. A document did that as little as it makes
// a data center dark, as far as anybody can tell: another data center serves it well, or will
// be asked. So a stuck data center is like a dark one. The gate goes on without it, or tries
// the next one, once; a second one convicts, but only where no server at all served the
// release well and most of those that were told to do act on their orders. Where that can't
// be said the release waits, and operators are told.
func (m *machine) stuck() {
	if m.silent || m.fresh {
		return
	}
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		for j := range ch.Releases {
			r := &ch.Releases[j]
			if k := r.openWave(); r.Phase == Rolling && k >= 0 && !r.Held {
				if !m.unstick(ch, r, k) {
					break // The rest of the chain is gone.
				}
			}
		}
	}
}

// unstick judges the stuck servers of one gate. It returns false when the release was
// convicted.
func (m *machine) unstick(ch *Chain, r *Release, k int) bool {
	w := &r.Waves[k]
	var dcs []string
	for i := range w.Servers {
		if f := &w.Servers[i]; m.overdue(ch, r, w, f) && !slices.Contains(dcs, f.DataCenter) {
			dcs = append(dcs, f.DataCenter)
		}
	}
	for _, dc := range dcs {
		tooMany, name := false, ""
		for i := range w.Servers {
			if f := &w.Servers[i]; f.DataCenter == dc && m.overdue(ch, r, w, f) {
				name = f.Server
				tooMany = m.fails(ch, w, dc, name, "did not act on the release") || tooMany
			}
		}
		if !tooMany {
			m.report(ch, r, dc, fmt.Sprintf("%s/%s does not act on the release; going on without it", dc, name))
			continue
		}
		if !m.stuckDataCenter(ch, r, w, dc) {
			return false
		}
	}
	return true
}

// overdue says whether a frozen server is stuck, and asks for a step when it will be.
func (m *machine) overdue(ch *Chain, r *Release, w *Wave, f *FrozenServer) bool {
	srv := m.dc(f.DataCenter).server(f.Server)
	if f.Failure != "" || f.Attested || m.settling(f.DataCenter) || srv == nil || !srv.Connected || !srv.Healthy || srv.Incarnation != f.Incarnation {
		return false
	}
	judged := func(rej Rejection) bool { return rej.Release == r.Number && rej.Cause != edgev1.Rejection_ANCESTOR }
	if slices.ContainsFunc(srv.channel(ch.Channel).Rejections, judged) {
		return false
	}
	since := later(w.EnterTime, m.runSince(srv), m.targetSince(ch, f.DataCenter))
	due := m.after(since, m.o.Policies[ch.Channel].patience(w.Bake))
	m.wake(due)
	return !m.o.Now.Before(due)
}

func (m *machine) targetSince(ch *Chain, dc string) time.Time {
	if t := ch.Target(dc); t != nil {
		return t.MoveTime
	}
	return time.Time{}
}

// runSince is since when a server has been reporting in its incarnation.
func (m *machine) runSince(srv *Server) time.Time { return m.run(srv).Since }

func (m *machine) run(srv *Server) Run {
	for _, run := range m.s.Runs {
		if run.DataCenter == srv.DataCenter && run.Server == srv.Name {
			return run
		}
	}
	return Run{}
}

// stuckDataCenter excuses a data center, convicts for the second one, or waits. It returns
// false when it convicted.
func (m *machine) stuckDataCenter(ch *Chain, r *Release, w *Wave, dc string) bool {
	excused := 0
	for _, l := range w.Losses {
		if l.Excused {
			excused++
		}
	}
	if excused <= m.o.Policies[ch.Channel].DataCenterTolerance {
		w.Losses = append(slices.DeleteFunc(w.Losses, func(l Loss) bool { return l.DataCenter == dc }),
			Loss{DataCenter: dc, Since: m.o.Now, Excused: true, Stuck: true})
		w.Servers = slices.DeleteFunc(w.Servers, func(s FrozenServer) bool { return s.DataCenter == dc })
		if t := ch.Target(dc); t != nil && !m.servesAt(ch, r.Number, dc) {
			m.sendBack(ch, t)
		}
		m.report(ch, r, dc, dc+" does not act on the release and rejects nothing; going on without it")
		return true
	}
	if !m.anyoneServes(ch, r) && !m.deaf(ch) {
		m.convict(ch, r.Number, evidence{
			dc: dc, reason: dc + " is the second data center that does not act on the release, and none serves it",
		})
		return false
	}
	m.report(ch, r, dc, fmt.Sprintf("the gate waits: %s is the second data center that does not act on the release, and others do: drain it to go on", dc))
	for i := range w.Servers {
		if f := &w.Servers[i]; f.DataCenter == dc {
			f.Failure = "" // It may come to its senses.
		}
	}
	return true
}

// report says once why a release waits or goes on without a data center.
func (m *machine) report(ch *Chain, r *Release, dc, reason string) {
	if r.Reason == reason {
		return
	}
	r.Reason = reason
	m.emit(Incident{
		Kind: IncidentDataCenterLost, Channel: ch.Channel, Release: r.Number, DataCenters: []string{dc}, Detail: reason,
	})
}

// anyoneServes says whether a server serves the release, or one on top of it, well.
func (m *machine) anyoneServes(ch *Chain, r *Release) bool {
	return slices.ContainsFunc(m.dcs, func(d dataCenter) bool { return m.servesAt(ch, r.Number, d.code) })
}

// servesAt is the same for one data center.
func (m *machine) servesAt(ch *Chain, n int64, dc string) bool {
	return slices.ContainsFunc(m.dc(dc).servers, func(srv *Server) bool {
		return srv.Connected && srv.Healthy && m.shows(ch, n, srv.channel(ch.Channel))
	})
}

// deaf says whether most data centers do not act on what the channel last told them: then it is
// our orders that do not arrive, and nobody's release.
func (m *machine) deaf(ch *Chain) bool {
	acts, waits := 0, 0
	for i := range m.dcs {
		switch dc := m.dcs[i].code; {
		case !m.dcs[i].reports():
		case m.acts(ch, dc):
			acts++
		default:
			waits++
		}
	}
	return waits >= acts
}
