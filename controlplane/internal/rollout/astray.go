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
			if r.Phase == Good || rej.Cause == edgev1.Rejection_ANCESTOR && !ch.disputed(srv, r) {
				m.setBack(ch, t)
				t.Settled = max(t.Settled, rej.TargetSequence+1)
			}
		}
	}
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

// disputed says whether a server refuses an ancestor that is still rolling: what becomes of
// that is decided by its own rejection.
func (c *Chain) disputed(srv *Server, of *Release) bool {
	for _, rej := range srv.channel(c.Channel).Rejections {
		if r := c.Release(rej.Release); r != nil && r.Number < of.Number && !r.settled() && rej.Cause != edgev1.Rejection_ANCESTOR {
			return true
		}
	}
	return false
}

// refused says whether a server of a data center refuses what it is told to serve.
func (m *machine) refused(ch *Chain, dc string) bool {
	t := ch.Target(dc)
	if t == nil {
		return false
	}
	for _, srv := range m.dc(dc).servers {
		if _, refuses := srv.refuses(ch.Channel, t); refuses {
			return true
		}
	}
	return false
}
