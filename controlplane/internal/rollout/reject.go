package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// verdict is one rejection that counts.
type verdict struct {
	release int64
	e       evidence
	cause   edgev1.Rejection_Cause
	change  Change
	named   bool
	// settled says that it was dealt with; it counts as a witness only.
	settled bool
}

// rejections acts on what servers refuse: named documents first, since what they bring
// down needs no other explanation.
func (m *machine) rejections() {
	for i := range m.s.Chains {
		ch := &m.s.Chains[i]
		verdicts := m.verdicts(ch)
		m.named(ch, verdicts)
		m.unnamed(ch, verdicts)
	}
}

// verdicts collects the rejections of unsoaked releases, oldest release first.
func (m *machine) verdicts(ch *Chain) []verdict {
	var out []verdict
	for i := range m.o.Servers {
		srv := &m.o.Servers[i]
		settled := int64(0)
		if t := ch.Target(srv.DataCenter); t != nil {
			settled = t.Settled
		}
		for _, rej := range srv.channel(ch.Channel).Rejections {
			r := ch.Release(rej.Release)
			if r == nil || r.Phase == Good || rej.Cause == edgev1.Rejection_ANCESTOR {
				continue
			}
			old := rej.TargetSequence < settled
			if old && srv.channel(ch.Channel).Release >= r.Number {
				continue // It serves the release since.
			}
			v := verdict{release: r.Number, cause: rej.Cause, settled: old, e: evidence{
				dc: srv.DataCenter, server: srv.Name, reason: reasonOf(rej), attributed: true, after: rej.After,
			}}
			if rej.Cause != edgev1.Rejection_CORRUPT && rej.Document != (wire.DocumentID{}) {
				if by, change, ok := ch.brought(r, rej.Document, rej.Sum); ok {
					v.named, v.change, v.release = true, change, by.Number
				}
			}
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(a, b verdict) int { return cmp.Compare(a.release, b.release) })
	return out
}

func reasonOf(rej Rejection) string {
	what := map[edgev1.Rejection_Cause]string{
		edgev1.Rejection_REFUSED:   "refused",
		edgev1.Rejection_TIMEOUT:   "applying it did not end in time",
		edgev1.Rejection_CRASHED:   "the server crashed",
		edgev1.Rejection_CORRUPT:   "its content is corrupt",
		edgev1.Rejection_UNHEALTHY: "the server became unhealthy",
	}[rej.Cause]
	if rej.Cause == edgev1.Rejection_REFUSED && rej.Reason != "" {
		return rej.Reason
	}
	if what == "" {
		what = "rejected"
	}
	if rej.After > 0 {
		what += fmt.Sprintf(" %s after applying it", rej.After.Round(10*time.Millisecond))
	}
	if rej.Reason != "" {
		what += ": " + rej.Reason
	}
	return what
}

func (m *machine) named(ch *Chain, verdicts []verdict) {
	for _, v := range verdicts {
		// The release may be gone as the descendant of one that was judged before; what was
		// said of its document is true all the same, if that is still what it brought.
		if !v.named || v.settled {
			continue
		}
		q, ok := m.quarantines[v.change.Document]
		if ok && q.Bad == v.change.New && !q.Trying {
			continue
		}
		from := Release{Number: v.release}
		if r := ch.Release(v.release); r != nil {
			from.FromRevision = r.FromRevision
		}
		m.quarantine(&from, v.change, v.e)
	}
	for _, v := range verdicts {
		if !v.named || v.settled {
			continue
		}
		m.hurt[v.e.dc] = true
		if v.cause != edgev1.Rejection_REFUSED {
			m.settleAt(ch, v.e)
		}
		m.abandon(ch, v.release, v.change.Document.String()+": "+v.e.reason, 0)
	}
}

func (m *machine) unnamed(ch *Chain, verdicts []verdict) {
	for _, v := range verdicts {
		r := ch.Release(v.release)
		if v.named || v.settled || r == nil {
			continue
		}
		if v.cause == edgev1.Rejection_CORRUPT {
			m.corrupt(ch, r, v)
			continue
		}
		e := v.e
		e.reason = fmt.Sprintf("%s/%s: %s", v.e.dc, v.e.server, v.e.reason)
		w := r.wave(e.dc)
		t := ch.Target(e.dc)
		switch {
		case t != nil && t.Joining && t.Release >= r.Number:
			m.setBack(ch, t)
		case w >= 0 && r.Waves[w].open():
			if m.fails(ch, &r.Waves[w], e.dc, e.server, v.e.reason) {
				m.convict(ch, r.Number, e)
			}
		case m.isRetry(r):
			m.convict(ch, r.Number, e) // Without a doubt: it is alone, and hurt before.
		case w == 0 || len(witnesses(verdicts, r.Number)) > 1:
			e.others = witnesses(verdicts, r.Number)
			m.undo(ch, r.Number, e, true)
		case r.Phase == Rolling:
			m.convict(ch, r.Number, e)
		case t != nil:
			m.emit(Incident{
				Kind: IncidentDataCenterLost, Channel: ch.Channel, Release: r.Number,
				DataCenters: []string{e.dc}, Detail: e.reason,
			})
			m.setBack(ch, t)
		}
	}
}

// witnesses are the data centers that reject a release.
func witnesses(verdicts []verdict, n int64) []string {
	var dcs []string
	for _, v := range verdicts {
		if v.release == n && v.cause != edgev1.Rejection_CORRUPT && !slices.Contains(dcs, v.e.dc) {
			dcs = append(dcs, v.e.dc)
		}
	}
	return dcs
}

// corrupt says why a release waits. No document is to blame for a wrong hash, so nothing
// is abandoned: the gate stays shut until the server holds what it should.
func (m *machine) corrupt(ch *Chain, r *Release, v verdict) {
	reason := fmt.Sprintf("%s/%s: %s", v.e.dc, v.e.server, v.e.reason)
	if r.Reason == reason || r.Held {
		return
	}
	r.Reason = reason
	m.emit(Incident{
		Kind: IncidentCorrupt, Channel: ch.Channel, Release: r.Number,
		DataCenters: []string{v.e.dc}, Detail: reason,
	})
}

// setBack takes one data center back to last known good; it joins again later. Gates go on
// without it.
func (m *machine) setBack(ch *Chain, t *Target) {
	for j := range ch.Releases {
		if r := &ch.Releases[j]; r.openWave() >= 0 && r.Number > ch.LastKnownGood {
			r.Waves[r.openWave()].leave(t.DataCenter)
		}
	}
	m.sendBack(ch, t)
}

func (m *machine) sendBack(ch *Chain, t *Target) {
	if t.Release > ch.LastKnownGood {
		t = m.move(ch, t.DataCenter, ch.LastKnownGood, 0, true)
	}
	t.Joining = false
	t.Failures++
	t.Retry = m.o.Now.Add(backoff(t.Failures))
	t.Settled = t.Sequence
}

// fails marks a frozen server as failed and says whether that is more than the channel's
// policy tolerates: some whole data centers, the worst ones first, and some servers beside,
// and never more than half of the wave.
func (m *machine) fails(ch *Chain, w *Wave, dc, server, failure string) bool {
	for i := range w.Servers {
		if s := &w.Servers[i]; s.DataCenter == dc && s.Server == server {
			s.Failure = orElse(failure, "failed")
		}
	}
	return m.tooMany(ch, w)
}

func (m *machine) tooMany(ch *Chain, w *Wave) bool {
	var counts []int
	for _, dc := range w.DataCenters {
		n := 0
		for _, s := range w.Servers {
			if s.DataCenter == dc && s.Failure != "" {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, n)
		}
	}
	slices.SortFunc(counts, func(a, b int) int { return cmp.Compare(b, a) })
	p := m.o.Policies[ch.Channel]
	left, all := 0, 0
	for _, n := range counts {
		all += n
	}
	for _, n := range counts[min(p.DataCenterTolerance, len(counts)):] {
		left += n
	}
	return left > p.ServerTolerance || 2*all > len(w.Servers)
}
