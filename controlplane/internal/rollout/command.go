package rollout

import (
	"slices"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
)

// command does what operators asked, oldest first. What makes no sense any more is removed
// without an effect: the release left the state, or is already where it is asked to be.
func (m *machine) command() {
	for _, cmd := range m.o.Commands {
		if m.obey(cmd) {
			m.emit(RemoveCommand{ID: cmd.ID})
		}
	}
}

// obey returns false while the command must wait.
func (m *machine) obey(cmd Command) bool {
	if cmd.Verb == storev1.Command_RETRY {
		return m.retry(cmd)
	}
	ch := m.s.Chain(cmd.Channel)
	if ch == nil {
		return true
	}
	r := ch.Release(cmd.Release)
	switch cmd.Verb {
	case storev1.Command_HOLD:
		if r != nil && r.Phase != Good {
			r.Held, r.Reason = true, orElse(cmd.Reason, "held by "+cmd.Principal)
		}
	case storev1.Command_RESUME:
		if r != nil {
			r.Held, r.Reason = false, ""
		}
		m.letGo(ch, cmd.Release)
	case storev1.Command_EXPEDITE:
		m.expedite(r, cmd)
	case storev1.Command_APPROVE:
		m.approve(r, cmd)
	case storev1.Command_ROLLBACK:
		reason := orElse(cmd.Reason, "rolled back by "+cmd.Principal)
		switch {
		case r != nil && r.Phase != Good:
			m.abandon(ch, cmd.Release, reason, OriginRollback)
		case cmd.Release <= ch.LastKnownGood:
			m.revert(ch, cmd, reason)
		}
	case storev1.Command_VERB_UNSPECIFIED, storev1.Command_RETRY:
	}
	return true
}

// letGo releases the suspects that a release left.
func (m *machine) letGo(ch *Chain, release int64) {
	var gone []Suspect
	for _, s := range ch.Suspects {
		if s.Release == release {
			gone = append(gone, s)
		}
	}
	if len(gone) > 0 {
		ch.dropSuspects(func(_ int, s *Suspect) bool { return s.Release == release })
		m.emit(ReleaseSuspects{Channel: ch.Channel, Suspects: gone})
	}
	ch.Reverts = slices.DeleteFunc(ch.Reverts, func(rv Revert) bool { return rv.Release == release })
}

// revert keeps the documents of an old release at the versions before it: the publisher
// then seals a release that says so, and it goes wave by wave.
func (m *machine) revert(ch *Chain, cmd Command, reason string) {
	if len(cmd.Changes) == 0 || len(ch.Reverts) >= maxReverts {
		return
	}
	ch.suspect(suspectsOf(cmd.Changes, cmd.Release, cmd.FromRevision, OriginRevert), false)
	ch.Reverts = append(ch.Reverts, Revert{Release: cmd.Release, Reason: reason, Principal: cmd.Principal, Time: m.o.Now})
}

// retry lets the publisher try a quarantined document again; it waits for the back-off.
func (m *machine) retry(cmd Command) bool {
	for _, q := range m.o.Quarantines {
		if ledger.QuarantineID(q.Document) != cmd.Quarantine {
			continue
		}
		q = m.quarantines[q.Document]
		if m.o.Now.Before(q.Retry) {
			m.wake(q.Retry)
			return false
		}
		if !q.Trying {
			q.Trying = true
			q.Retries++
			q.RetriedBy = cmd.Principal
			m.putQuarantine(q)
		}
		break
	}
	return true
}

func (m *machine) putQuarantine(q Quarantine) {
	m.quarantines[q.Document] = q
	m.touched[q.Document] = true
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
