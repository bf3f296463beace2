package rollout

import (
	"slices"
	"testing"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestIsolationIsQuick finds one culprit among 500 changes, and bounds what it costs: the
// time, and how often the first wave is hurt.
func TestIsolationIsQuick(t *testing.T) {
	s := started(t, 23)
	for i := range 500 {
		s.change(site(i), 1)
	}
	s.bug(site(377), 1, crashes)
	began := s.now
	for !s.quarantined(site(377)) {
		if s.now.Sub(began) > 30*time.Second {
			t.Fatalf("not isolated: %+v", s.chain(wire.Routine).Bisection)
		}
		s.tick(50 * time.Millisecond)
	}
	t.Logf("isolated in %v, %d releases abandoned", s.now.Sub(began), len(s.dead[wire.Routine]))
	if n := len(s.dead[wire.Routine]); n > 11 {
		t.Fatalf("%d releases hurt", n)
	}
	for _, a := range s.agents {
		if a.crashes > 0 && a.dc != s.firstWave(wire.Routine) {
			t.Fatalf("%s crashed", a.name)
		}
	}
	s.run(20 * time.Second)
	for i := range 500 {
		if i != 377 {
			wantServing(t, s, site(i), version(1), 23)
		}
	}
}

func TestBisectionGivesUp(t *testing.T) {
	s := started(t, 5)
	for i := range 64 {
		s.change(site(i), 1)
		s.bug(site(i), 1, crashes)
	}
	s.run(5 * time.Minute)
	ch := s.chain(wire.Routine)
	if ch.Bisection == nil || !ch.Bisection.Exhausted || ch.Bisection.Hurt > maxHurtingTrials {
		t.Fatalf("bisection %+v", ch.Bisection)
	}
	if !slices.ContainsFunc(s.incidents, func(i Incident) bool { return i.Kind == IncidentBisectionExhausted }) {
		t.Fatal("nobody was told")
	}
	// Everyone else goes on, and an operator may let the suspects go.
	v := s.change(site(99), 1)
	s.run(5 * time.Second)
	wantServing(t, s, site(99), v, 5)
}

// TestNothingPassesAHeldRelease has a release that was sealed before its ancestor was held.
func TestNothingPassesAHeldRelease(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	s.run(1300 * time.Millisecond)
	s.change(site(2), 1)
	s.publish(wire.Routine)
	s.commands = []Command{{ID: "1", Verb: storev1.Command_HOLD, Channel: wire.Routine, Release: 2}}
	s.run(5 * time.Second)
	wantServing(t, s, site(2), version(1), 0)
	s.commands = []Command{{ID: "2", Verb: storev1.Command_RESUME, Channel: wire.Routine, Release: 2}}
	s.run(8 * time.Second)
	wantServing(t, s, site(2), version(1), 9)
}

func TestOneCrashOfALiveReleaseIsChance(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	s.run(5 * time.Second)
	for _, a := range s.agents[:2] { // Both servers of one data center.
		s.crash(a, wire.Routine, Rejection{})
	}
	s.run(5 * time.Second)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatalf("abandoned %v", s.dead[wire.Routine])
	}
	s.crash(s.agents[2], wire.Routine, Rejection{})
	s.run(5 * time.Second)
	if len(s.dead[wire.Routine]) != 1 {
		t.Fatal("two data centers that crash are no chance")
	}
}

func TestAncestorRejectionsAndCorruptionConvictNobody(t *testing.T) {
	for _, cause := range []edgev1.Rejection_Cause{edgev1.Rejection_ANCESTOR, edgev1.Rejection_CORRUPT} {
		s := started(t, 5)
		v := s.change(site(1), 1)
		s.run(100 * time.Millisecond)
		i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.dc == s.firstWave(wire.Routine) })
		a := s.agents[i]
		a.release[wire.Routine] = 1
		a.rejections[wire.Routine] = []Rejection{{Release: 2, TargetSequence: a.seq[wire.Routine], Cause: cause, Document: site(1), Sum: v}}
		s.run(5 * time.Second)
		if len(s.dead[wire.Routine]) != 0 || len(s.quarantines) != 0 || s.chain(wire.Routine).Live != 1 {
			t.Fatalf("%v: dead %v, live %d", cause, s.dead[wire.Routine], s.chain(wire.Routine).Live)
		}
		a.rejections[wire.Routine] = nil
		a.seq[wire.Routine] = 0
		s.run(5 * time.Second)
		wantServing(t, s, site(1), v, 5)
	}
}

// TestLimitOfReleasesInFlight: beyond it the publisher waits for soaks.
func TestLimitOfReleasesInFlight(t *testing.T) {
	s := started(t, 3)
	p := s.policies[wire.Urgent]
	p.Soak = time.Hour
	for k := range p.Waves {
		p.Waves[k].Bake = 0
	}
	s.policies[wire.Urgent] = p
	for i := range 2 * MaxInFlight {
		s.change(shield(1), i+1)
		s.run(300 * time.Millisecond)
	}
	if n := len(s.chain(wire.Urgent).Releases); n != MaxInFlight+1 {
		t.Fatalf("%d releases", n)
	}
	for range 90 {
		s.tick(time.Minute)
	}
	s.run(time.Second)
	wantServing(t, s, shield(1), version(2*MaxInFlight), 3)
}

func TestGoodNeedsEveryEligibleDataCenter(t *testing.T) {
	s := started(t, 5)
	s.change(site(1), 1)
	s.run(5 * time.Second)
	stuck := s.agents[len(s.agents)-1]
	stuck.release[wire.Routine] = 1
	s.run(50 * time.Second)
	if good := s.chain(wire.Routine).LastKnownGood; good != 1 {
		t.Fatalf("release %d is good, and %s does not serve it", good, stuck.name)
	}
	s.controls[stuck.dc] = Control{Drained: true}
	s.run(5 * time.Second)
	if good := s.chain(wire.Routine).LastKnownGood; good != 2 {
		t.Fatalf("a drained data center keeps %d good", good)
	}
}

func TestJoinsAreOneAtATimeAndStopAtAHold(t *testing.T) {
	s := started(t, 9)
	s.controls["D07"], s.controls["D08"] = Control{Drained: true}, Control{Pinned: true}
	s.change(site(1), 1)
	s.run(5 * time.Second)
	s.commands = []Command{{ID: "1", Verb: storev1.Command_HOLD, Channel: wire.Routine, Release: 2}}
	s.step()
	s.controls = map[string]Control{}
	s.run(time.Second)
	wantServing(t, s, site(1), version(1), 7)
	s.commands = []Command{{ID: "2", Verb: storev1.Command_RESUME, Channel: wire.Routine, Release: 2}}
	for range 5 {
		s.step() // Nobody acts on it.
	}
	joining := 0
	for _, tg := range s.chain(wire.Routine).Targets {
		if tg.Joining {
			joining++
		}
	}
	if joining != 1 {
		t.Fatalf("%d join at once", joining)
	}
	s.run(2 * time.Second)
	wantServing(t, s, site(1), version(1), 9)
}

// TestCrashBehindTheWave is a crash where a release has passed while it rolls on: in the
// first wave it stops the release, elsewhere one data center may be chance.
func TestCrashBehindTheWave(t *testing.T) {
	for wave, want := range []int{1, 0} {
		s := started(t, 23)
		s.change(site(1), 1)
		for s.chain(wire.Routine).Head().openWave() != wave+1 {
			s.tick(50 * time.Millisecond)
		}
		dc := s.policies[wire.Routine].Waves[wave].DataCenters[0]
		i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.dc == dc })
		s.agents[i].run++ // It started anew, and serves what it did.
		s.tick(50 * time.Millisecond)
		if len(s.dead[wire.Routine]) != want {
			t.Fatalf("a crash in wave %d: abandoned %v", wave, s.dead[wire.Routine])
		}
	}
}

func TestSilenceInALargeWave(t *testing.T) {
	s := started(t, 23)
	s.change(site(1), 1)
	for s.chain(wire.Routine).Head().openWave() != 2 {
		s.tick(50 * time.Millisecond)
	}
	s.lose = func(a *agent) bool { a.view.Connected = a.dc < "D10"; return true }
	s.run(time.Minute)
	if len(s.dead[wire.Routine]) != 0 || len(s.incidents) != 0 {
		t.Fatalf("convicted in silence: %+v", s.incidents)
	}
	s.lose = nil
	s.run(3 * time.Second)
	wantServing(t, s, site(1), version(1), 23)
}
