package rollout

import (
	"slices"
	"testing"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// barred does what an agent does with a target that stands on a release it refused: it
// refuses that too, unless it was told something older meanwhile, or is told again.
func (s *sim) barred(a *agent, t SetTarget) bool {
	c := t.Channel
	for i := range a.rejections[c] {
		if r := &a.rejections[c][i]; r.Release > t.Release && r.TargetSequence < t.Sequence {
			r.Reason = answered
		}
	}
	rejected := func(n int64) int {
		return slices.IndexFunc(a.rejections[c], func(r Rejection) bool { return r.Release == n })
	}
	if i := rejected(t.Release); i >= 0 && a.rejections[c][i].Cause == edgev1.Rejection_ANCESTOR {
		a.rejections[c] = slices.Delete(a.rejections[c], i, i+1) // told again
		return false
	}
	for n := s.manifests[c][t.Release].Parent; n > a.release[c]; n = s.manifests[c][n].Parent {
		if i := rejected(n); i >= 0 && a.rejections[c][i].Reason != answered {
			a.rejections[c] = append(a.rejections[c], Rejection{
				Release: t.Release, TargetSequence: t.Sequence, Cause: edgev1.Rejection_ANCESTOR, Reason: "on another",
			})
			return true
		}
	}
	return false
}

const answered = "answered"

// misjudge lets a server crash by chance while it applies what it was told, which it blames.
func (s *sim) misjudge(a *agent, c wire.Channel) {
	t, ok := s.targets[moveKey{c, a.dc}]
	if !ok || !a.up {
		return
	}
	a.seq[c] = t.Sequence
	s.crash(a, c, Rejection{
		Release: t.Release, TargetSequence: t.Sequence, Cause: edgev1.Rejection_CRASHED, Reason: "by chance",
	})
}

func (s *sim) serves(a *agent, c wire.Channel, n int64) {
	s.tb.Helper()
	if a.release[c] != n {
		s.fail("%s serves %d of %s, not %d; target %+v, rejections %+v", a.name, a.release[c], c, n,
			s.chain(c).Target(a.dc), a.rejections[c])
	}
}

// last is a server of the last data center, which is in the last wave of the first channels.
func (s *sim) lastServer() *agent { return s.agents[len(s.agents)-1] }

// TestBlamesLive has a server blame, by chance, a release that is live: its data center goes
// back, and while it waits another release goes live, which stands on the one it blamed.
func TestBlamesLive(t *testing.T) {
	s := newSim(t, codes(7)...)
	a := s.lastServer()
	s.run(2 * time.Second)
	s.change(shield(1), 1)
	s.run(2 * time.Second)
	s.misjudge(a, wire.Urgent)
	s.run(3 * time.Second)
	s.change(shield(2), 1)
	s.run(3 * time.Second)
	if live := s.chain(wire.Urgent).Live; live != 3 {
		t.Fatalf("release %d is live", live)
	}
	s.serves(a, wire.Urgent, 1)
	s.run(retryBase + 5*time.Second)
	s.serves(a, wire.Urgent, 3)
}

// TestBlamesGood has a server blame last known good, which nobody can take back.
func TestBlamesGood(t *testing.T) {
	s := newSim(t, codes(7)...)
	a := s.lastServer()
	s.change(shield(1), 1)
	s.run(time.Minute)
	if lkg := s.chain(wire.Urgent).LastKnownGood; lkg != 2 {
		t.Fatalf("release %d is good", lkg)
	}
	s.misjudge(a, wire.Urgent)
	s.run(3 * time.Second)
	s.serves(a, wire.Urgent, 1)
	// What comes meanwhile does not wait for it.
	s.change(shield(2), 1)
	s.run(3 * time.Second)
	if live := s.chain(wire.Urgent).Live; live != 3 {
		t.Errorf("release %d is live", live)
	}
	s.run(retryBase + 5*time.Second)
	s.serves(a, wire.Urgent, 3)
}

// TestRefusesWhatStandsOnGood has a server come back that refused a release which is good
// by now, and is told one that stands on it.
func TestRefusesWhatStandsOnGood(t *testing.T) {
	s := newSim(t, codes(7)...)
	a := s.lastServer()
	s.change(shield(1), 1)
	s.run(2 * time.Second)
	s.misjudge(a, wire.Urgent)
	a.downUntil = time.Time{} // it stays away
	s.run(time.Minute)
	s.change(shield(2), 1)
	s.run(time.Minute)
	if ch := s.chain(wire.Urgent); ch.LastKnownGood != 3 {
		t.Fatalf("release %d is good", ch.LastKnownGood)
	}
	a.downUntil = s.now
	s.run(5 * time.Second)
	s.change(shield(3), 1)
	s.run(3*retryBase + 10*time.Second)
	s.serves(a, wire.Urgent, 4)
	if ch := s.chain(wire.Urgent); ch.Live != 4 {
		t.Errorf("release %d is live", ch.Live)
	}
}
