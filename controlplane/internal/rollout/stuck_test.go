package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func (s *sim) deafen(deaf bool, dcs ...string) {
	for _, a := range s.agents {
		if slices.Contains(dcs, a.dc) {
			a.deaf = deaf
		}
	}
}

func (s *sim) told(what string) bool {
	return slices.ContainsFunc(s.incidents, func(i Incident) bool { return strings.Contains(i.Detail, what) })
}

// TestStuckDataCenterGetsOneSecondTry: the first wave reports and does nothing. The next data
// center serves the release well, so nothing is held against it.
func TestStuckDataCenterGetsOneSecondTry(t *testing.T) {
	s := started(t, 9)
	first := s.firstWave(wire.Routine)
	s.deafen(true, first)
	v := s.change(site(1), 1)
	s.run(50 * time.Second)
	wantServing(t, s, site(1), v, 0)
	if len(s.incidents) != 0 {
		t.Fatalf("told before its time: %+v", s.incidents)
	}
	s.run(20 * time.Second)
	wantServing(t, s, site(1), v, 8)
	if len(s.dead[wire.Routine]) != 0 || !s.told("does not act") {
		t.Fatalf("abandoned %v, told %+v", s.dead[wire.Routine], s.incidents)
	}
	s.deafen(false, first)
	s.run(2 * time.Minute)
	wantServing(t, s, site(1), v, 9)
	if ch := s.chain(wire.Routine); ch.LastKnownGood != s.head[wire.Routine] {
		t.Fatalf("good %d of %d", ch.LastKnownGood, s.head[wire.Routine])
	}
}

// TestJumpIsNoTime: a clock that is set forward makes nobody late, stuck or dark.
func TestJumpIsNoTime(t *testing.T) {
	s := started(t, 9)
	first := s.firstWave(wire.Routine)
	v := s.change(site(1), 1)
	s.run(50 * time.Millisecond)
	s.jump(10 * time.Minute)
	s.run(20 * time.Second)
	wantServing(t, s, site(1), v, 9)
	if len(s.incidents) != 0 {
		t.Fatalf("told %+v", s.incidents)
	}
	// What really is late is found as late as otherwise.
	s.deafen(true, first)
	s.change(site(1), 2)
	s.run(time.Second)
	s.jump(10 * time.Minute)
	s.run(50 * time.Second)
	if len(s.incidents) != 0 {
		t.Fatalf("told before its time: %+v", s.incidents)
	}
	s.run(20 * time.Second)
	if !s.told("does not act") {
		t.Fatalf("told %+v", s.incidents)
	}
}

// TestSecondStuckDataCenterConvicts: nobody ever served the release well.
func TestSecondStuckDataCenterConvicts(t *testing.T) {
	s := started(t, 9)
	p := s.policies[wire.Routine]
	p.Patience = 10 * time.Second
	s.policies[wire.Routine] = p
	second := p.Waves[1].DataCenters[0]
	s.deafen(true, s.firstWave(wire.Routine), second)
	s.change(site(1), 1)
	s.run(15 * time.Second)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatal("convicted by one")
	}
	s.run(10 * time.Second)
	if len(s.dead[wire.Routine]) != 1 {
		t.Fatalf("abandoned %v", s.dead[wire.Routine])
	}
}

// TestStuckServersThatOthersSpeakFor: two data centers of a later wave are stuck, and the
// first wave serves the release. It waits, and the operators are told; it goes on by itself.
func TestStuckServersThatOthersSpeakFor(t *testing.T) {
	s := started(t, 9)
	p := s.policies[wire.Routine]
	p.Patience = 10 * time.Second
	s.policies[wire.Routine] = p
	stuck := p.Waves[1].DataCenters[:2]
	s.deafen(true, stuck...)
	v := s.change(site(1), 1)
	s.run(time.Minute)
	r := s.chain(wire.Routine).Head()
	if len(s.dead[wire.Routine]) != 0 || r.openWave() != 1 || !strings.Contains(r.Reason, "the gate waits") || !s.told("the gate waits") {
		t.Fatalf("abandoned %v, reason %q", s.dead[wire.Routine], r.Reason)
	}
	if n := len(s.incidents); n > 4 {
		t.Fatalf("told %d times", n)
	}
	s.deafen(false, stuck...)
	s.run(2 * time.Minute)
	wantServing(t, s, site(1), v, 9)
}

func TestOneStuckServerIsTolerated(t *testing.T) {
	s := started(t, 9)
	p := s.policies[wire.Routine]
	p.Patience, p.ServerTolerance = 10*time.Second, 1
	s.policies[wire.Routine] = p
	a := s.agentOf(s.firstWave(wire.Routine))
	a.deaf = true
	s.change(site(1), 1)
	s.run(20 * time.Second)
	if s.chain(wire.Routine).Live != 2 || !s.told(a.name) {
		t.Fatalf("live %d, told %+v", s.chain(wire.Routine).Live, s.incidents)
	}
}

// TestDeafFleetConvictsNobody: orders do not arrive anywhere, which is nobody's release.
func TestDeafFleetConvictsNobody(t *testing.T) {
	s := started(t, 3)
	p := s.policies[wire.Routine]
	p.Patience = 5 * time.Second
	s.policies[wire.Routine] = p
	s.deafen(true, s.fleet...)
	v := s.change(site(1), 1)
	s.run(2 * time.Minute)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatalf("abandoned %v", s.dead[wire.Routine])
	}
	s.deafen(false, s.fleet...)
	s.run(5 * time.Minute)
	wantServing(t, s, site(1), v, 3)
}
