package rollout

import (
	"slices"
	"testing"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func (s *sim) agentOf(dc string) *agent {
	return s.agents[slices.IndexFunc(s.agents, func(a *agent) bool { return a.dc == dc })]
}

// soaked runs until everything so far is last known good.
func soaked(t *testing.T, n int) *sim {
	t.Helper()
	s := started(t, n)
	for i := range 4 {
		s.change(site(i), 1)
	}
	s.change(shield(1), 1)
	s.run(45 * time.Second)
	for _, c := range []wire.Channel{wire.Routine, wire.Urgent} {
		if ch := s.chain(c); ch.LastKnownGood != s.head[c] {
			t.Fatalf("%s: good %d of %d", c, ch.LastKnownGood, s.head[c])
		}
	}
	return s
}

// TestLateHarmInTwoDataCentersUndoesAllThatDidNotSoak: of several releases in two channels
// nobody can tell which one does it, so all go back at once, and the search for the culprit stays in
// the first waves.
func TestLateHarmInTwoDataCentersUndoesAllThatDidNotSoak(t *testing.T) {
	s := soaked(t, 9)
	good := map[wire.Channel]int64{wire.Routine: s.head[wire.Routine], wire.Urgent: s.head[wire.Urgent]}
	s.change(site(1), 2)
	s.bug(site(1), 2, diesLater)
	s.tick(50 * time.Millisecond)
	s.change(site(2), 2)
	s.change(shield(1), 2)
	s.run(1150 * time.Millisecond)
	s.change(site(3), 2)
	for len(s.dead[wire.Urgent]) == 0 {
		if s.now.Sub(epoch) > 3*time.Minute {
			t.Fatalf("nothing was undone: %+v", s.incidents)
		}
		s.tick(50 * time.Millisecond)
	}
	for c, n := range good {
		if _, dead := s.dead[c][n+1]; !dead {
			t.Fatalf("%s: release %d is alive", c, n+1)
		}
		for _, tg := range s.chain(c).Targets {
			if tg.Release > n && tg.DataCenter != s.firstWave(c) { // A trial may have begun there.
				t.Fatalf("%s: %s is told to be at %d", c, tg.DataCenter, tg.Release)
			}
		}
	}
	if got := s.chain(wire.Urgent).Bisection; got == nil || got.Groups[0].Hurts {
		t.Fatalf("urgent, which may have nothing to do with it: %+v", got)
	}
	s.run(time.Second)
	for _, a := range s.agents {
		a.crashes = 0
	}
	s.run(5 * time.Minute)
	if q := s.quarantines[site(1)]; q.Bad != version(2) || q.Good != version(1) || len(s.quarantines) != 1 {
		t.Fatalf("quarantines %+v", s.quarantines)
	}
	wantServing(t, s, site(1), version(1), 9)
	wantServing(t, s, site(2), version(2), 9)
	wantServing(t, s, site(3), version(2), 9)
	wantServing(t, s, shield(1), version(2), 9)
	for _, a := range s.agents {
		if a.crashes > 0 && a.dc != s.firstWave(wire.Routine) {
			t.Errorf("the search crashed %s", a.name)
		}
	}
}

// TestLateHarmThatIsNamedUndoesItsChannel: a server of the first wave says which release did
// it, after it had passed there. What else did not soak in that channel goes back with it;
// other channels stay.
func TestLateHarmThatIsNamedUndoesItsChannel(t *testing.T) {
	s := soaked(t, 9)
	good := s.head[wire.Routine]
	v := s.change(shield(1), 2)
	s.change(site(1), 2)
	s.run(5 * time.Second)
	s.change(site(2), 2)
	s.run(5 * time.Second)
	wantServing(t, s, site(2), version(2), 9)
	a := s.agentOf(s.firstWave(wire.Routine))
	s.crash(a, wire.Routine, Rejection{
		Cause: edgev1.Rejection_CRASHED, Release: a.release[wire.Routine], TargetSequence: a.seq[wire.Routine], Reason: "simulated",
	})
	s.run(1500 * time.Millisecond)
	if ch := s.chain(wire.Routine); ch.LastKnownGood != good || len(s.dead[wire.Routine]) != 2 || ch.Bisection == nil {
		t.Fatalf("good %d, abandoned %v", ch.LastKnownGood, s.dead[wire.Routine])
	}
	if len(s.dead[wire.Urgent]) != 0 {
		t.Fatal("the urgent channel was taken back too")
	}
	wantServing(t, s, shield(1), v, 9)
	s.run(3 * time.Minute)
	wantServing(t, s, site(1), version(2), 9)
	wantServing(t, s, site(2), version(2), 9)
	if len(s.quarantines) != 0 {
		t.Fatalf("quarantines %+v", s.quarantines)
	}
}

// TestExplainedHarmIsNoSecondOne: what crashed at a gate was convicted for it, and does not
// speak against what passed there before, when another data center crashes by chance.
func TestExplainedHarmIsNoSecondOne(t *testing.T) {
	s := soaked(t, 9)
	v := s.change(site(1), 2)
	s.run(8 * time.Second)
	wantServing(t, s, site(1), v, 9)
	s.change(site(2), 2)
	s.bug(site(2), 2, crashes)
	s.run(10 * time.Second)
	if !s.quarantined(site(2)) {
		t.Fatal("the culprit is not quarantined")
	}
	s.crash(s.agentOf("D07"), wire.Routine, Rejection{})
	s.run(3 * time.Second)
	if n := s.serving(site(1), v); n < 8 {
		t.Fatalf("an innocent release is served by %d", n)
	}
}

// TestHarmAtAGateLeavesTheRestAlone: where a gate is open it is the better explanation, and
// what passed before stays where it is.
func TestHarmAtAGateLeavesTheRestAlone(t *testing.T) {
	s := soaked(t, 9)
	s.change(site(1), 2)
	s.change(shield(1), 2)
	s.run(5 * time.Second)
	s.change(site(2), 2)
	s.bug(site(2), 2, crashes)
	s.run(2500 * time.Millisecond)
	_, before := s.dead[wire.Routine][3]
	if len(s.dead[wire.Routine]) == 0 || before || len(s.dead[wire.Urgent]) != 0 {
		t.Fatalf("abandoned %v and %v", s.dead[wire.Routine], s.dead[wire.Urgent])
	}
	wantServing(t, s, shield(1), version(2), 9)
}

// TestTheNewestOfSeveralVersionsIsSuspected: a document that several undone releases changed
// goes back to what it was before all of them.
func TestTheNewestOfSeveralVersionsIsSuspected(t *testing.T) {
	a, b := site(1), site(2)
	v := []wire.Sum{{}, version(1), version(2), version(3)}
	gone := []Release{
		{Number: 5, FromRevision: 50, Changes: []Change{{a, v[1], v[2]}, {b, v[1], v[2]}}},
		{Number: 6, FromRevision: 60, Changes: []Change{{a, v[2], v[3]}, {b, v[2], v[1]}}},
		{Number: 7, FromRevision: 70, Changes: []Change{{a, v[3], v[0]}}},
	}
	want := []Suspect{{Document: a, Bad: v[3], Good: v[1], Release: 6, FromRevision: 50, Origin: OriginHarm}}
	if got := suspectsIn(gone, 6, OriginHarm); !slices.Equal(got, want) {
		t.Fatalf("%+v", got)
	}
}

func TestALoneCrashCostsItsDataCenterOnly(t *testing.T) {
	s := soaked(t, 9)
	s.change(site(1), 2)
	s.run(5 * time.Second)
	wantServing(t, s, site(1), version(2), 9)
	a := s.agentOf("D08")
	s.crash(a, wire.Routine, Rejection{})
	s.run(1500 * time.Millisecond)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatalf("abandoned %v", s.dead[wire.Routine])
	}
	wantServing(t, s, site(1), version(2), 8)
	wantServing(t, s, site(1), version(1), 1)
	if !slices.ContainsFunc(s.incidents, func(i Incident) bool { return slices.Equal(i.DataCenters, []string{"D08"}) }) {
		t.Fatalf("nobody was told: %+v", s.incidents)
	}
	s.run(8 * time.Second)
	wantServing(t, s, site(1), version(2), 9)
	good := s.head[wire.Routine]
	s.run(22 * time.Second)
	if s.chain(wire.Routine).LastKnownGood == good {
		t.Fatal("it is good although a data center did not serve it for long enough")
	}
	s.run(20 * time.Second)
	if s.chain(wire.Routine).LastKnownGood != good || s.chain(wire.Routine).Target("D08").Failures != 0 {
		t.Fatalf("good %d, want %d", s.chain(wire.Routine).LastKnownGood, good)
	}
}

// TestRestartsInOrderAreNoCrashes: servers that somebody restarts while a release bakes, and
// everywhere while it soaks, take nothing back. Their bake begins anew.
func TestRestartsInOrderAreNoCrashes(t *testing.T) {
	s := soaked(t, 9)
	v := s.change(site(1), 2)
	s.run(500 * time.Millisecond)
	s.restart(s.firstWave(wire.Routine))
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v, 9)
	for _, dc := range s.fleet {
		s.restart(dc)
		s.run(time.Second)
	}
	s.run(time.Minute)
	if len(s.dead[wire.Routine]) != 0 || s.chain(wire.Routine).LastKnownGood != s.head[wire.Routine] {
		t.Fatalf("abandoned %v, good %d of %d, %+v", s.dead[wire.Routine], s.chain(wire.Routine).LastKnownGood, s.head[wire.Routine], s.incidents)
	}
	wantServing(t, s, site(1), v, 9)
}
