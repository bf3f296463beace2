package rollout

import (
	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// astray finds data centers whose servers refuse what they are told to serve although nobody
// takes that back: a server may blame a release for a crash of another cause, and also
// refuses whatever stands on what it blamed. Last known good is never taken back, and what
// passed every wave only where it is blamed directly; so the data center is the one that
// goes back, and after a while it is told again, which a server takes for a new order.
func (m *machine) astray() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		for j := range m.o.Servers {
			srv := &m.o.Servers[j]
			t, control := ch.Target(srv.DataCenter), m.o.Controls[srv.DataCenter]
			if t == nil || control.Drained || control.Pinned || m.moved(ch, t.DataCenter) || m.settling(t.DataCenter) {
				continue
			}
			rej, refuses := srv.refuses(ch.Channel, t)
			r := ch.Release(t.Release)
			if !refuses || r == nil || rej.TargetSequence < t.Settled {
				continue
			}
			switch ancestor := rej.Cause == edgev1.Rejection_ANCESTOR; {
			case r.Phase == Good, r.Phase == Live && ancestor:
				m.setBack(ch, t)
				t.Settled = max(t.Settled, rej.TargetSequence+1)
			case r.Phase == Rolling && ancestor && ch.cleared(srv, r) && !m.o.Policies[ch.Channel].Frozen && !r.Held:
				// The gate is open, and waits for just this.
				if w := r.wave(t.DataCenter); w >= 0 && r.Waves[w].open() {
					m.move(ch, t.DataCenter, r.Number, r.Waves[w].Bake, false)
				}
			}
		}
	}
}

// cleared says whether a server blames ancestors of a release that passed every wave since,
// and no other ones.
func (c *Chain) cleared(srv *Server, of *Release) bool {
	found := false
	for _, rej := range srv.channel(c.Channel).Rejections {
		if rej.Release >= of.Number || rej.Cause == edgev1.Rejection_ANCESTOR {
			continue
		}
		if r := c.Release(rej.Release); r != nil && !r.settled() {
			return false
		}
		found = true
	}
	return found
}

// refuses returns the rejection with which a server refuses what it is told to serve now.
func (s *Server) refuses(c wire.Channel, t *Target) (Rejection, bool) {
	rep := s.channel(c)
	if !s.Connected || rep.Release == t.Release {
		return Rejection{}, false
	}
	for _, rej := range rep.Rejections {
		if rej.Release == t.Release && rej.TargetSequence == t.Sequence {
			return rej, true
		}
	}
	return Rejection{}, false
}

// again says whether a data center that is to join has to be told once more what it is told
// to serve now, because a server of it refuses that.
func (m *machine) again(ch *Chain, t *Target, to int64) bool {
	if t.Release > to || ch.Release(t.Release) == nil {
		return false
	}
	for _, srv := range m.dc(t.DataCenter).servers {
		if _, refuses := srv.refuses(ch.Channel, t); refuses {
			return true
		}
	}
	return false
}
