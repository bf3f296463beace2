package rollout

import (
	"slices"
	"time"
)

// Outage is a time in which most of the fleet was silent. It is learned from reports and not
// stored.
type Outage struct {
	// DataCenters are those of which no server reported, in order.
	DataCenters  []string
	Since, Until time.Time
}

// outage notes who is silent while most are.
func (m *machine) outage() {
	if !m.silent || len(m.o.Servers) == 0 {
		return
	}
	o := &m.s.Outage
	if m.o.Now.Sub(o.Until) > postMortem {
		*o = Outage{Since: m.o.Now}
	}
	o.Until = m.o.Now
	for i := range m.dcs {
		d := &m.dcs[i]
		if at, known := slices.BinarySearch(o.DataCenters, d.code); !known && len(d.servers) > 0 && !d.reports() {
			o.DataCenters = slices.Insert(slices.Clip(o.DataCenters), at, d.code)
		}
	}
}

// byOutage says whether a server started anew in an outage that the release had no part in:
// the server was away for longer than a crash takes, and so were most data centers that never
// had the release. Where all have it, nothing tells an outage from a fleet that it crashed.
func (m *machine) byOutage(ch *Chain, r *Release, srv *Server, incarnation string) bool {
	o := m.s.Outage
	if srv.Incarnation == incarnation || len(o.DataCenters) == 0 {
		return false
	}
	run := m.run(srv)
	if run.Before.IsZero() || run.Since.Sub(run.Before) <= postMortem || run.Before.After(o.Until) || run.Since.Before(o.Since) {
		return false
	}
	others, away := 0, 0
	for i := range m.dcs {
		if t := ch.Target(m.dcs[i].code); t == nil || t.Release >= r.Number {
			continue
		}
		others++
		if _, silent := slices.BinarySearch(o.DataCenters, m.dcs[i].code); silent {
			away++
		}
	}
	return 2*away > others
}
