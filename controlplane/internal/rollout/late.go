package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Run is the run of a server that was last seen, to notice when it starts anew. It is
// learned from reports and not stored: the records of the fleet carry it over to a new
// leader.
type Run struct {
	DataCenter, Server, Incarnation string
	Healthy                         bool
	Seen                            time.Time
	// Since is since when it has been reporting without a break; Gone says that it does not.
	Since time.Time
	Gone  bool
	// Before is when the run before it was last seen; zero where none was.
	Before time.Time
}

// Trouble is a server that crashed and came back soon, or turned unhealthy. It is not
// stored either.
type Trouble struct {
	DataCenter, Server string
	Time               time.Time
	Crashed            bool
	What               string
	// Had is where its data center was told to be, in the order of the chains.
	Had []int64
}

// watch compares every server with what was last seen of it. A server that comes back
// within the time of a post-mortem crashed; one that was away for longer may as well have
// been switched off.
func (m *machine) watch() {
	runs := make([]Run, 0, len(m.o.Servers))
	for i := range m.o.Servers {
		srv := &m.o.Servers[i]
		run := Run{DataCenter: srv.DataCenter, Server: srv.Name, Incarnation: srv.Incarnation, Healthy: srv.Healthy, Seen: srv.LastSeen, Since: m.o.Now}
		at, known := slices.BinarySearchFunc(m.s.Runs, srv, func(r Run, s *Server) int {
			return cmp.Or(cmp.Compare(r.DataCenter, s.DataCenter), cmp.Compare(r.Server, s.Name))
		})
		if known {
			before := m.s.Runs[at]
			if !before.Gone && before.Incarnation == srv.Incarnation {
				run.Since = before.Since
			}
			if run.Before = before.Before; before.Incarnation != srv.Incarnation {
				run.Before = before.Seen
			}
			if !srv.Connected {
				run = before
				run.Gone = true
			} else if what := before.trouble(srv); what != "" && !m.explained(srv.DataCenter) {
				m.s.Troubles = append(m.s.Troubles, Trouble{
					DataCenter: srv.DataCenter, Server: srv.Name, Time: m.o.Now,
					Crashed: before.Incarnation != srv.Incarnation, What: what, Had: m.told(srv.DataCenter),
				})
			}
		}
		runs = append(runs, run)
	}
	m.s.Runs = runs
	m.s.Troubles = slices.DeleteFunc(m.s.Troubles, func(t Trouble) bool {
		return m.o.Now.Sub(t.Time) > silenceMemory || m.o.Controls[t.DataCenter].Drained
	})
	if extra := len(m.s.Troubles) - maxTroubles; extra > 0 {
		m.s.Troubles = slices.Delete(m.s.Troubles, 0, extra)
	}
}

// told is where a data center is told to be, in the order of the chains.
func (m *machine) told(dc string) []int64 {
	out := make([]int64, len(m.s.Chains))
	for i := range m.s.Chains {
		if t := m.s.Chains[i].Target(dc); t != nil {
			out[i] = t.Release
		}
	}
	return out
}

func (r Run) trouble(srv *Server) string {
	switch {
	case r.Incarnation != srv.Incarnation && !srv.InOrder && srv.LastSeen.Sub(r.Seen) <= postMortem:
		return "crashed"
	case r.Incarnation == srv.Incarnation && r.Healthy && !srv.Healthy:
		return "became unhealthy" + detail(srv)
	}
	return ""
}

// late takes back what passed everywhere and did not soak, when servers of two data centers
// that have it get into trouble. One alone may be chance, and costs that data center only.
func (m *machine) late() {
	if m.fresh {
		m.s.Troubles = nil
		return
	}
	for _, t := range slices.Clone(m.s.Troubles) {
		if t.Time.Before(m.o.Now) || m.settling(t.DataCenter) || m.explained(t.DataCenter) {
			continue
		}
		var found []suspicion
		for i := range m.s.Chains {
			ch := &m.s.Chains[i]
			for j := range ch.Releases {
				r := &ch.Releases[j]
				if r.Phase == Live && m.met(i, r, t) && len(m.troubled(i, r)) > 1 {
					found = append(found, suspicion{chain: ch, release: r.Number, wave: r.wave(t.DataCenter), dc: t.DataCenter})
				}
			}
		}
		if len(found) == 0 {
			m.chance(t)
			continue
		}
		slices.SortStableFunc(found, func(a, b suspicion) int { return b.entered().Compare(a.entered()) })
		s := found[0]
		dcs := m.troubled(m.chainIndex(s.chain), s.chain.Release(s.release))
		m.undoAll(dcs, evidence{
			dc: t.DataCenter, server: t.Server,
			reason: fmt.Sprintf("servers of %d data centers got into trouble after it was live; %s/%s %s", len(dcs), t.DataCenter, t.Server, t.What),
		})
		m.s.Troubles = slices.DeleteFunc(m.s.Troubles, func(t Trouble) bool { return slices.Contains(dcs, t.DataCenter) })
	}
}

// met says whether the trouble was where the release is, and after it came.
func (m *machine) met(chain int, r *Release, t Trouble) bool {
	w := r.wave(t.DataCenter)
	return w >= 0 && t.Had[chain] >= r.Number && !r.Waves[w].EnterTime.IsZero() && t.Time.After(r.Waves[w].EnterTime)
}

// passedOver says whether a server that was unhealthy is well again.
func (m *machine) passedOver(t Trouble) bool {
	srv := m.dc(t.DataCenter).server(t.Server)
	return !t.Crashed && srv != nil && srv.Connected && srv.Healthy
}

// troubled are the data centers that got into trouble with a release.
func (m *machine) troubled(chain int, r *Release) []string {
	var dcs []string
	for _, t := range m.s.Troubles {
		if m.met(chain, r, t) && !m.passedOver(t) && !slices.Contains(dcs, t.DataCenter) {
			dcs = append(dcs, t.DataCenter)
		}
	}
	return dcs
}
