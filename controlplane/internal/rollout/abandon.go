package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// evidence is what convicts a release.
type evidence struct {
	dc, server string
	reason     string
	// attributed says that a server named the release.
	attributed bool
	// after is how long after applying the harm showed; zero when not known.
	after time.Duration
	// others are the other data centers that were hurt.
	others []string
}

// convict abandons a release that hurt a data center without a named culprit, makes its
// changes suspects, and lets the data center settle.
func (m *machine) convict(ch *Chain, n int64, e evidence) {
	r := ch.Release(n)
	if r == nil || r.Phase == Good {
		return
	}
	after := e.after
	if w := r.wave(e.dc); after == 0 && w >= 0 && !r.Waves[w].EnterTime.IsZero() {
		after = m.o.Now.Sub(later(r.Waves[w].EnterTime, m.o.Steady))
	}
	m.hurt[e.dc] = true
	m.settleAt(ch, e)
	if !m.trialHurt(ch, r, e, after) && !m.retryHurt(r, e) {
		m.abandon(ch, n, e.reason, OriginHarm)
		if b := ch.Bisection; b != nil {
			b.lengthen(after)
		}
		return
	}
	m.abandon(ch, n, e.reason, 0)
}

// settleAt makes what the data center applied wait until it has recovered. What troubled it
// is explained, and speaks against no other release.
func (m *machine) settleAt(ch *Chain, e evidence) {
	m.s.Troubles = slices.DeleteFunc(m.s.Troubles, func(t Trouble) bool { return t.DataCenter == e.dc })
	until := m.o.Now.Add(postMortem)
	m.wake(until)
	for i := range ch.Settling {
		if s := &ch.Settling[i]; s.DataCenter == e.dc {
			s.Until, s.Attributed, s.Servers = until, e.attributed, nil
			return
		}
	}
	ch.Settling = append(ch.Settling, Settling{DataCenter: e.dc, Until: until, Attributed: e.attributed})
}

// settling says whether a data center recovers from harm of any channel.
func (m *machine) settling(dc string) bool {
	for i := range m.s.Chains {
		for _, s := range m.s.Chains[i].Settling {
			if s.DataCenter == dc {
				return true
			}
		}
	}
	return false
}

// abandon marks a release and its descendants as dead and moves every data center on them
// to the release before. Its own changes become suspects of the given origin; those of its
// descendants hurt nobody and are sealed again. A zero origin makes no suspects.
func (m *machine) abandon(ch *Chain, n int64, reason string, origin Origin) {
	m.abandonAll(ch, n, n, reason, origin, true)
}

// abandonAll is abandon where all releases from n up to last are under suspicion; known says
// that they are what hurt. It returns how many suspects that made.
func (m *machine) abandonAll(ch *Chain, n, last int64, reason string, origin Origin, known bool) int {
	at := ch.index(n)
	if at < 1 || ch.Releases[at].Phase == Good {
		return 0
	}
	parent := ch.Releases[at-1]
	gone := ch.Releases[at:]
	ch.Releases = ch.Releases[:at:at]
	c := m.chainIndex(ch)
	if m.why[c] == "" || len(m.dead[c]) > 0 && n < m.dead[c][0] {
		m.why[c] = reason
	}
	for i := range gone {
		r := gone[i]
		r.Phase, r.Held, r.Reason = Abandoned, false, reason
		if r.Number > last {
			r.Reason = fmt.Sprintf("release %d, on which it stands, was abandoned", n)
		}
		if r.Number <= last && origin != OriginRollback {
			r.Hurt = m.hurtBy(ch, &r)
		}
		m.dead[c] = append(m.dead[c], r.Number)
		m.emit(Archive{Channel: ch.Channel, Release: r})
		if b := ch.Bisection; b != nil && b.Release == r.Number {
			b.Release = 0
			b.Trial++
		}
	}
	if ch.Live >= n {
		ch.Live = parent.Number
	}
	var moved []string
	for i := range ch.Targets {
		if t := &ch.Targets[i]; t.Release >= n {
			m.move(ch, t.DataCenter, parent.Number, 0, true)
			moved = append(moved, t.DataCenter)
		}
	}
	var suspects []Suspect
	if origin != 0 {
		suspects = suspectsIn(gone, last, origin)
		for i := range suspects {
			s := &suspects[i]
			s.FromRevision = m.goodUpTo(s.Document, s.Good, s.FromRevision)
		}
		ch.suspect(suspects, known)
	}
	m.emit(Incident{Kind: IncidentRollback, Channel: ch.Channel, Release: n, DataCenters: moved, Detail: reason})
	return len(suspects)
}

// hurtBy is the data centers that a release of the channel hurt: those that have to recover,
// and those of its gates where servers are away, started anew, or are not well. One that only
// refused it serves on, unhurt.
func (m *machine) hurtBy(ch *Chain, r *Release) []string {
	var dcs []string
	for _, s := range ch.Settling {
		if m.hurt[s.DataCenter] {
			dcs = append(dcs, s.DataCenter)
		}
	}
	for i := range r.Waves {
		for _, f := range r.Waves[i].Servers {
			srv := m.dc(f.DataCenter).server(f.Server)
			if srv == nil || !srv.Connected || srv.Incarnation != f.Incarnation || !srv.Healthy {
				dcs = append(dcs, f.DataCenter)
			}
		}
	}
	slices.Sort(dcs)
	return slices.Compact(dcs)
}

func (m *machine) chainIndex(ch *Chain) int {
	for i := range m.s.Chains {
		if &m.s.Chains[i] == ch {
			return i
		}
	}
	return -1
}

// retryHurt puts a document back into quarantine whose retry hurt.
func (m *machine) retryHurt(r *Release, e evidence) bool {
	if !m.isRetry(r) {
		return false
	}
	m.quarantine(r, r.Changes[0], e)
	return true
}

// quarantine keeps a document at the version before a change.
func (m *machine) quarantine(r *Release, c Change, e evidence) {
	channel := m.channelOf(c.Document)
	q := Quarantine{
		Document: c.Document, Channel: channel, Release: r.Number, FromRevision: r.FromRevision,
		Bad: c.New, Good: c.Old, Reason: e.reason, DataCenter: e.dc, Server: e.server, Created: m.o.Now,
		Retry: m.o.Now,
	}
	if before, ok := m.quarantines[c.Document]; ok {
		q.Retries = before.Retries
		if before.Bad == q.Bad {
			q.Created, q.RetriedBy = before.Created, before.RetriedBy
		} else {
			q.Retries++ // The owner's next version was another try.
		}
		if q.Retries > 0 {
			q.Retry = m.o.Now.Add(backoff(q.Retries))
		}
	}
	q.FromRevision = m.goodUpTo(c.Document, q.Good, q.FromRevision)
	q.Resting = m.o.Now.Before(q.Retry)
	m.putQuarantine(q)
	if ch := m.s.Chain(channel); ch != nil {
		ch.dropSuspects(func(_ int, s *Suspect) bool { return s.Document == c.Document })
	}
	m.emit(Incident{
		Kind: IncidentQuarantine, Channel: channel, Release: r.Number,
		DataCenters: []string{e.dc}, Detail: c.Document.String() + ": " + e.reason,
	})
}

// goodUpTo is the revision up to which a document's good version is the newest one. What an
// older hold kept from serving was covered since, and serves as little.
func (m *machine) goodUpTo(id wire.DocumentID, good wire.Sum, revision int64) int64 {
	if q, ok := m.quarantines[id]; ok && q.Good == good {
		revision = min(revision, q.FromRevision)
	}
	for i := range m.s.Chains {
		for _, s := range m.s.Chains[i].Suspects {
			if s.Document == id && s.Good == good {
				revision = min(revision, s.FromRevision)
			}
		}
	}
	return revision
}

// rested lets owners' next versions of quarantined documents go, whose pause is over.
func (m *machine) rested() {
	for _, q := range m.o.Quarantines {
		q = m.quarantines[q.Document]
		switch {
		case !q.Resting:
		case m.o.Now.Before(q.Retry):
			m.wake(q.Retry)
		default:
			q.Resting = false
			m.putQuarantine(q)
		}
	}
}
