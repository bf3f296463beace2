package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func started(t *testing.T, n int) *sim {
	t.Helper()
	s := newSim(t, codes(n)...)
	s.run(time.Second)
	for _, c := range wire.Channels() {
		if ch := s.chain(c); ch.LastKnownGood != 1 || len(ch.Targets) != n {
			t.Fatalf("%s: good %d, %d targets", c, ch.LastKnownGood, len(ch.Targets))
		}
	}
	return s
}

func wantServing(t *testing.T, s *sim, id wire.DocumentID, sum wire.Sum, want int) {
	t.Helper()
	if got := s.serving(id, sum); got != want {
		t.Fatalf("%s is served by %d data centers, want %d (%+v)", id, got, want, s.incidents)
	}
}

func TestHealthyReleaseBecomesGood(t *testing.T) {
	s := started(t, 23)
	v := s.change(site(1), 1)
	s.tick(0)
	if ch := s.chain(wire.Routine); ch.Head().Number != 2 || ch.Head().Phase != Rolling || len(ch.Head().Waves) != 3 {
		t.Fatalf("the release is %+v", ch.Head())
	}
	s.run(900 * time.Millisecond)
	wantServing(t, s, site(1), v, 1)
	s.run(time.Second)
	wantServing(t, s, site(1), v, 5)
	s.run(time.Second)
	wantServing(t, s, site(1), v, 23)
	if ch := s.chain(wire.Routine); ch.Live != 1 {
		t.Fatal("live before the last bake")
	}
	s.run(1500 * time.Millisecond)
	ch := s.chain(wire.Routine)
	if ch.Live != 2 || ch.LastKnownGood != 1 {
		t.Fatalf("live %d, good %d", ch.Live, ch.LastKnownGood)
	}
	s.run(30 * time.Second)
	ch = s.chain(wire.Routine)
	if ch.LastKnownGood != 2 || len(ch.Releases) != 1 || s.archived[wire.Routine][1] != Good {
		t.Fatalf("good %d, %d in flight", ch.LastKnownGood, len(ch.Releases))
	}
}

func TestReleasesArePipelined(t *testing.T) {
	s := started(t, 23)
	most := 0
	for i := range 60 {
		s.change(site(i), 1)
		s.tick(100 * time.Millisecond)
		n := 0
		for _, r := range s.chain(wire.Routine).Releases {
			if r.Phase == Rolling {
				n++
			}
		}
		most = max(most, n)
	}
	if most < 2 {
		t.Fatalf("at most %d releases were rolling", most)
	}
	s.run(10 * time.Second)
	for i := range 60 {
		wantServing(t, s, site(i), version(1), 23)
	}
}

func TestChannelsBeginElsewhere(t *testing.T) {
	s := started(t, 23)
	first := []string{s.firstWave(wire.Urgent), s.firstWave(wire.Routine), s.firstWave(wire.Platform)}
	if slices.Sort(first); len(slices.Compact(first)) != 3 {
		t.Fatalf("first waves %v", first)
	}
	small := DefaultPolicies([]string{"ONE"}, 0, false)
	if p := small[wire.Platform]; len(p.GetWaves()) != 2 || p.GetWaves()[0].GetBake().AsDuration() != 0 {
		t.Fatalf("policy of one data center %v", p)
	}
}

func TestSmallFleet(t *testing.T) {
	for n := 1; n <= 3; n++ {
		s := started(t, n)
		v := s.change(site(1), 1)
		s.run(5 * time.Second)
		wantServing(t, s, site(1), v, n)
		if ch := s.chain(wire.Routine); ch.Live != 2 {
			t.Fatalf("%d data centers: live %d", n, ch.Live)
		}
	}
}

func TestNamedDocumentIsQuarantined(t *testing.T) {
	for _, e := range []effect{refuses, crashesNamed} {
		s := started(t, 23)
		good := s.change(site(1), 1)
		s.run(5 * time.Second)
		bad := s.change(site(1), 2)
		other := s.change(site(2), 1)
		s.bug(site(1), 2, e)
		s.run(8 * time.Second)
		q, ok := s.quarantines[site(1)]
		if !ok || q.Bad != bad || q.Good != good || q.DataCenter != s.firstWave(wire.Routine) || q.Reason == "" {
			t.Fatalf("%s: quarantine %+v", e, q)
		}
		wantServing(t, s, site(1), good, 23)
		wantServing(t, s, site(2), other, 23)
		if dcs := s.applied[site(1)][bad]; len(dcs) != 1 {
			t.Fatalf("%s: met by %v", e, dcs)
		}
		// The owner's next version takes its place.
		fixed := s.change(site(1), 3)
		s.run(8 * time.Second)
		wantServing(t, s, site(1), fixed, 23)
		if s.quarantined(site(1)) {
			t.Fatalf("%s: the quarantine outlived the next version", e)
		}
	}
}

func TestUntrustedNameIsNoName(t *testing.T) {
	s := started(t, 5)
	s.change(site(1), 1)
	s.run(100 * time.Millisecond)
	a := s.agents[slices.IndexFunc(s.agents, func(a *agent) bool { return a.dc == s.firstWave(wire.Routine) })]
	a.rejections[wire.Routine] = []Rejection{{Release: 2, TargetSequence: a.seq[wire.Routine], Cause: 1, Document: site(99)}}
	s.tick(50 * time.Millisecond)
	if s.quarantined(site(99)) || s.quarantined(site(1)) {
		t.Fatal("a document was quarantined that the release did not bring")
	}
	if _, dead := s.dead[wire.Routine][2]; !dead {
		t.Fatal("the release goes on")
	}
}

func TestRetryGoesAloneAndBacksOff(t *testing.T) {
	s := started(t, 5)
	bad := s.change(site(1), 1)
	s.bug(site(1), 1, refuses)
	s.run(5 * time.Second)
	s.retry(site(1))
	s.run(2 * time.Second)
	q := s.quarantines[site(1)]
	if q.Retries != 1 || q.Trying || !q.Retry.After(s.now) || len(s.commands) != 0 {
		t.Fatalf("after one retry %+v", q)
	}
	delete(s.bugs, site(1))
	s.retry(site(1))
	s.run(5 * time.Second)
	if len(s.commands) != 1 {
		t.Fatal("the retry did not wait")
	}
	s.run(time.Minute)
	wantServing(t, s, site(1), bad, 5)
	if s.quarantined(site(1)) {
		t.Fatal("still in quarantine")
	}
}

// TestHarmWithoutAName runs every kind of harm that names nothing: it stays in the first
// wave, the culprit is found, and everybody else's change goes through.
// TestNewVersionsBackOff: an owner's next version that hurts too is followed by a pause, which
// grows; the first one after a quarantine goes at once, alone, and hurts once.
func TestNewVersionsBackOff(t *testing.T) {
	s := started(t, 9)
	hurts := func(v int) {
		t.Helper()
		s.change(site(1), v)
		s.bug(site(1), v, crashes)
	}
	hurts(1)
	s.run(10 * time.Second)
	before := s.crashed()
	hurts(2)
	s.run(10 * time.Second)
	q := s.quarantines[site(1)]
	if q.Bad != version(2) || q.Retries != 1 || !q.Resting {
		t.Fatalf("%+v", q)
	}
	if n := s.crashed() - before; n > 2 {
		t.Errorf("another version crashed %d servers", n)
	}
	from := q.FromRevision
	before = s.crashed()
	hurts(3)
	s.run(15 * time.Second)
	if s.crashed() != before {
		t.Error("a version did not wait for its turn")
	}
	// Others do not wait for it.
	v := s.change(site(2), 1)
	s.run(4 * time.Second)
	wantServing(t, s, site(2), v, 9)
	s.run(25 * time.Second)
	if q = s.quarantines[site(1)]; q.Bad != version(3) || q.Retries != 2 || q.FromRevision != from {
		t.Fatalf("%+v", q)
	}
	good := s.change(site(1), 4)
	s.run(2 * time.Minute)
	wantServing(t, s, site(1), good, 9)
}

func TestHarmWithoutAName(t *testing.T) {
	for _, e := range []effect{crashes, dies, hangs, sickens} {
		t.Run(string(e), func(t *testing.T) {
			s := started(t, 23)
			for i := range 20 {
				s.change(site(i), 1)
			}
			s.run(10 * time.Second)
			for i := range 20 {
				s.change(site(i), 2)
			}
			s.bug(site(13), 2, e)
			s.run(2 * time.Minute)
			if q := s.quarantines[site(13)]; q.Bad != version(2) || q.Good != version(1) || len(s.quarantines) != 1 {
				t.Fatalf("quarantines %+v", s.quarantines)
			}
			for i := range 20 {
				if i != 13 {
					wantServing(t, s, site(i), version(2), 23)
				}
			}
			wantServing(t, s, site(13), version(1), 23)
			if dcs := s.applied[site(13)][version(2)]; !slices.Equal(dcs, []string{s.firstWave(wire.Routine)}) {
				t.Fatalf("met by %v", dcs)
			}
			if ch := s.chain(wire.Routine); len(ch.Suspects) != 0 || ch.Bisection != nil {
				t.Fatalf("%d suspects left", len(ch.Suspects))
			}
		})
	}
}

// TestHarmAfterTheGateIsUndone is harm that shows when the release is live everywhere.
func TestHarmAfterTheGateIsUndone(t *testing.T) {
	for _, e := range []effect{crashesLater, diesLater} {
		s := started(t, 23)
		s.change(site(1), 1)
		s.change(site(2), 1)
		s.run(45 * time.Second)
		s.change(site(1), 2)
		s.change(site(2), 2)
		s.bug(site(1), 2, e)
		s.run(2 * time.Minute)
		wantServing(t, s, site(1), version(1), 23)
		wantServing(t, s, site(2), version(2), 23)
		if !s.quarantined(site(1)) || len(s.quarantines) != 1 {
			t.Fatalf("%s: not isolated: %+v", e, s.chain(wire.Routine).Bisection)
		}
		for _, a := range s.agents {
			if a.crashes > 1 && a.dc != s.firstWave(wire.Routine) {
				t.Fatalf("%s: %s crashed %d times", e, a.name, a.crashes)
			}
		}
	}
}

func TestRestartsOfALiveReleaseAreNoCrashes(t *testing.T) {
	s := started(t, 9)
	v := s.change(site(1), 1)
	s.run(5 * time.Second)
	for _, dc := range s.fleet {
		s.kill(dc)
		s.run(6 * time.Second)
		s.revive(dc)
		s.run(time.Second)
	}
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatalf("abandoned %v", s.dead[wire.Routine])
	}
	wantServing(t, s, site(1), v, 9)
}

func TestSeveralCulprits(t *testing.T) {
	s := started(t, 9)
	for i := range 40 {
		s.change(site(i), 1)
	}
	bad := []int{3, 4, 21, 39}
	for _, i := range bad {
		s.bug(site(i), 1, crashes)
	}
	s.run(4 * time.Minute)
	for i := range 40 {
		if slices.Contains(bad, i) != s.quarantined(site(i)) {
			t.Errorf("site %d: quarantined %v", i, s.quarantined(site(i)))
		}
	}
}

func TestCulpritThatNeedsAnother(t *testing.T) {
	s := started(t, 9)
	for i := range 16 {
		s.change(site(i), 1)
	}
	s.run(10 * time.Second)
	s.pairs[[2]wire.DocumentID{site(2), site(11)}] = crashes
	for i := range 16 {
		s.change(site(i), 2)
	}
	s.run(2 * time.Minute)
	if len(s.quarantines) != 1 || !s.quarantined(site(11)) && !s.quarantined(site(2)) {
		t.Fatalf("quarantines %+v", s.quarantines)
	}
	n := 0
	for i := range 16 {
		if s.serving(site(i), version(2)) == 9 {
			n++
		}
	}
	if n != 15 {
		t.Fatalf("%d of 15 others are served", n)
	}
}

func TestFailureOfItsOwn(t *testing.T) {
	s := started(t, 9)
	for i := range 8 {
		s.change(site(i), 1)
	}
	s.run(200 * time.Millisecond)
	for _, a := range s.agents {
		if a.dc == s.firstWave(wire.Routine) {
			s.crash(a, wire.Routine, Rejection{})
		}
	}
	s.run(time.Minute)
	if len(s.dead[wire.Routine]) == 0 {
		t.Fatal("a crash while baking did not stop the release")
	}
	if len(s.quarantines) != 0 {
		t.Fatalf("quarantines %+v", s.quarantines)
	}
	for i := range 8 {
		wantServing(t, s, site(i), version(1), 9)
	}
}

func TestOtherChannelIsNotBlamed(t *testing.T) {
	s := started(t, 3)
	for c, p := range s.policies {
		p.Waves = []PolicyWave{{DataCenters: []string{"D00"}, Bake: 3 * time.Second}, {Bake: time.Second}}
		s.policies[c] = p
	}
	s.change(site(1), 1)
	s.run(500 * time.Millisecond)
	s.change(shield(1), 1)
	s.bug(shield(1), 1, dies)
	s.run(40 * time.Second)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatalf("routine was blamed: %v", s.dead[wire.Routine])
	}
	wantServing(t, s, site(1), version(1), 3)
	if !s.quarantined(shield(1)) {
		t.Fatalf("not isolated: %v", s.dead[wire.Urgent])
	}
}

func TestLostServer(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	s.run(300 * time.Millisecond)
	for _, a := range s.agents {
		if a.dc == s.firstWave(wire.Routine) {
			a.up, a.downUntil = false, time.Time{}
			break
		}
	}
	s.run(4 * time.Second)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatal("convicted before the post-mortem was due")
	}
	s.run(2 * time.Second)
	if len(s.dead[wire.Routine]) != 1 {
		t.Fatal("a lost server beside others that report did not convict")
	}
	if len(s.dead[wire.Urgent])+len(s.dead[wire.Platform]) != 0 {
		t.Fatal("other channels were blamed")
	}
}

func TestDarkDataCenterGetsOneSecondTry(t *testing.T) {
	s := started(t, 9)
	v := s.change(site(1), 1)
	s.run(300 * time.Millisecond)
	s.kill(s.firstWave(wire.Routine))
	s.run(4 * time.Second)
	wantServing(t, s, site(1), v, 0)
	s.run(8 * time.Second)
	wantServing(t, s, site(1), v, 8)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatal("convicted by one dark data center")
	}
	s.revive(s.firstWave(wire.Routine))
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v, 9)
}

func TestSecondDarkDataCenterConvicts(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	s.bug(site(1), 1, vanishes)
	s.run(20 * time.Second)
	if _, dead := s.dead[wire.Routine][2]; !dead {
		t.Fatal("the release goes on")
	}
	if dcs := s.applied[site(1)][version(1)]; len(dcs) > 3 {
		t.Fatalf("met by %v", dcs)
	}
}

func TestMassSilenceConvictsNobody(t *testing.T) {
	s := started(t, 9)
	v := s.change(site(1), 1)
	s.run(300 * time.Millisecond)
	s.lose = func(a *agent) bool { a.view.Connected = false; return true }
	s.run(time.Minute)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatal("convicted in silence")
	}
	// The servers were restarted meanwhile.
	for _, a := range s.agents {
		a.run++
		for c := range a.since {
			a.since[c] = s.now
		}
	}
	s.lose = nil
	s.run(8 * time.Second)
	wantServing(t, s, site(1), v, 9)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatal("convicted after the silence")
	}
}

func TestDownBeforeDoesNotCount(t *testing.T) {
	s := started(t, 23)
	for i := 0; i < len(s.agents); i += 4 {
		s.agents[i].up = false
	}
	s.kill("D22")
	s.run(100 * time.Millisecond)
	v := s.change(site(1), 1)
	s.run(5 * time.Second)
	if ch := s.chain(wire.Routine); ch.Live != 2 {
		t.Fatalf("live %d", ch.Live)
	}
	s.revive("D22")
	for _, a := range s.agents {
		if !a.up {
			a.downUntil = s.now
		}
	}
	s.run(3 * time.Second)
	wantServing(t, s, site(1), v, 23)
}

func TestWaveWithoutEligibleDoesNotOpen(t *testing.T) {
	s := started(t, 9)
	first := s.firstWave(wire.Routine)
	s.controls[first] = Control{Drained: true}
	v := s.change(site(1), 1)
	s.run(10 * time.Second)
	wantServing(t, s, site(1), v, 0)
	if r := s.chain(wire.Routine).Head(); !strings.Contains(r.Reason, "none of its data centers") || !strings.Contains(r.Reason, first) {
		t.Errorf("the reason is %q", r.Reason)
	}
	delete(s.controls, first)
	s.run(5 * time.Second)
	if r := s.chain(wire.Routine).Head(); r.Reason != "" {
		t.Errorf("the reason is still %q", r.Reason)
	}
	wantServing(t, s, site(1), v, 9)
}

// TestPolicyMovesWhatWaits: what did not enter a wave yet goes by the policy as it is now.
func TestPolicyMovesWhatWaits(t *testing.T) {
	s := started(t, 9)
	s.kill(s.firstWave(wire.Routine))
	s.run(10 * time.Second)
	v := s.change(site(1), 1)
	s.run(10 * time.Second)
	wantServing(t, s, site(1), v, 0)
	p := s.policies[wire.Routine]
	p.Waves = append([]PolicyWave{{DataCenters: []string{"D08"}, Bake: p.Waves[0].Bake}}, p.Waves[1:]...)
	s.policies[wire.Routine] = p
	s.run(10 * time.Second)
	wantServing(t, s, site(1), v, 8)
}

func TestDrainedAndPinnedCatchUpOneAtATime(t *testing.T) {
	s := started(t, 23)
	out := []string{"D03", "D05", "D16"}
	s.controls["D03"], s.controls["D05"], s.controls["D16"] = Control{Drained: true}, Control{Pinned: true}, Control{Drained: true}
	for i := range 5 {
		s.change(site(i), 1)
		s.run(4 * time.Second)
	}
	wantServing(t, s, site(4), version(1), 20)
	s.controls = map[string]Control{}
	s.moves = nil
	for range 20 {
		s.step()
		joining := 0
		for _, tg := range s.chain(wire.Routine).Targets {
			if tg.Joining {
				joining++
			}
		}
		if joining > 1 {
			t.Fatalf("%d join at once", joining)
		}
		s.tick(50 * time.Millisecond)
	}
	wantServing(t, s, site(4), version(1), 23)
	for _, m := range s.moves {
		if m.Channel == wire.Routine && (!slices.Contains(out, m.DataCenter) || m.Release != s.chain(wire.Routine).Live) {
			t.Fatalf("moved %+v", m)
		}
	}
}

func TestDrainMidBakeClosesTheWave(t *testing.T) {
	s := started(t, 9)
	first := s.firstWave(wire.Routine)
	v := s.change(site(1), 1)
	s.run(300 * time.Millisecond)
	s.controls[first] = Control{Drained: true}
	s.kill(first)
	s.run(20 * time.Second)
	if len(s.dead[wire.Routine]) != 0 || s.serving(site(1), v) != 0 {
		t.Fatal("a drained data center decided")
	}
	s.controls = map[string]Control{}
	s.revive(first)
	s.run(8 * time.Second)
	wantServing(t, s, site(1), v, 9)
}

func TestHoldFreezeResume(t *testing.T) {
	s := started(t, 9)
	v := s.change(site(1), 1)
	s.run(300 * time.Millisecond)
	s.commands = []Command{{ID: "1", Verb: storev1.Command_HOLD, Channel: wire.Routine, Release: 2, Reason: "wait"}}
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v, 1)
	if r := s.chain(wire.Routine).Release(2); !r.Held || r.Reason != "wait" || len(s.commands) != 0 || s.state.Ready(wire.Routine, s.policies[wire.Routine]) {
		t.Fatalf("held: %+v", r)
	}
	s.commands = []Command{{ID: "2", Verb: storev1.Command_RESUME, Channel: wire.Routine, Release: 2}}
	p := s.policies[wire.Routine]
	p.Frozen = true
	s.policies[wire.Routine] = p
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v, 1)
	p.Frozen = false
	s.policies[wire.Routine] = p
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v, 9)
}

func TestRollback(t *testing.T) {
	s := started(t, 9)
	v1 := s.change(site(1), 1)
	s.run(5 * time.Second)
	v2 := s.change(site(1), 2)
	s.run(4 * time.Second)
	s.change(site(2), 1)
	s.run(time.Second)
	wantServing(t, s, site(1), v2, 9)
	s.commands = []Command{{ID: "1", Verb: storev1.Command_ROLLBACK, Channel: wire.Routine, Release: 3, Principal: "op"}}
	s.step()
	s.agentsAct()
	wantServing(t, s, site(1), v1, 9)
	if len(s.dead[wire.Routine]) != 2 {
		t.Fatalf("abandoned %v", s.dead[wire.Routine])
	}
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v1, 9)         // Not sealed again by itself,
	wantServing(t, s, site(2), version(1), 9) // but what stood on it is.
	s.commands = []Command{{ID: "2", Verb: storev1.Command_RESUME, Channel: wire.Routine, Release: 3}}
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v2, 9)
}

func TestRevertOfAnOlderRelease(t *testing.T) {
	s := started(t, 9)
	v1 := s.change(site(1), 1)
	s.run(40 * time.Second)
	s.change(site(1), 2)
	s.run(40 * time.Second)
	s.change(site(2), 1)
	s.run(40 * time.Second)
	if ch := s.chain(wire.Routine); ch.LastKnownGood != 4 {
		t.Fatalf("good %d", ch.LastKnownGood)
	}
	m := s.manifests[wire.Routine][3]
	s.commands = []Command{{
		ID: "1", Verb: storev1.Command_ROLLBACK, Channel: wire.Routine, Release: 3,
		Changes: m.Changes, FromRevision: m.FromRevision,
	}}
	s.step()
	if ch := s.chain(wire.Routine); len(ch.Reverts) != 1 {
		t.Fatalf("reverts %+v", ch.Reverts)
	}
	s.run(5 * time.Second)
	wantServing(t, s, site(1), v1, 9)
	if ch := s.chain(wire.Routine); len(ch.Reverts) != 0 || len(ch.Suspects) != 1 || len(s.dead[wire.Routine]) != 0 {
		t.Fatalf("reverts %+v suspects %+v", ch.Reverts, ch.Suspects)
	}
}

// TestAllThatWereHurtAreNamed, not only the one that convicted.
func TestAllThatWereHurtAreNamed(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	r := s.chain(wire.Routine).Head()
	for i := 0; r == nil || r.Number != 2 || !r.Waves[len(r.Waves)-1].open(); i++ {
		if i > 1000 {
			t.Fatal("the last wave does not open")
		}
		s.tick(50 * time.Millisecond)
		r = s.chain(wire.Routine).Head()
	}
	last := r.Waves[len(r.Waves)-1].DataCenters
	for _, a := range s.agents {
		if slices.Contains(last, a.dc) {
			a.healthy = false
		}
	}
	s.run(3 * time.Second)
	if got := s.hurt[releaseKey{wire.Routine, 2}]; !slices.Equal(got, slices.Sorted(slices.Values(last))) {
		t.Errorf("hurt are %v, not %v", got, last)
	}
}

func TestTolerance(t *testing.T) {
	s := started(t, 9)
	p := s.policies[wire.Routine]
	p.ServerTolerance = 1
	s.policies[wire.Routine] = p
	v := s.change(site(1), 1)
	s.run(300 * time.Millisecond)
	i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.dc == s.firstWave(wire.Routine) })
	s.agents[i].healthy = false
	s.run(8 * time.Second)
	s.agents[i].healthy = true
	wantServing(t, s, site(1), v, 9)
	if s.chain(wire.Routine).Live != 2 {
		t.Fatal("one tolerated server stopped the release")
	}
}

// Whatever is tolerated, what most of a wave does not bear is taken back.
func TestToleranceIsNeverMostOfAWave(t *testing.T) {
	s := started(t, 9)
	p := s.policies[wire.Routine]
	p.ServerTolerance, p.DataCenterTolerance = 2, 2
	s.policies[wire.Routine] = p
	s.bug(site(1), 1, sickens)
	v := s.change(site(1), 1)
	for range 300 {
		s.run(100 * time.Millisecond)
		if n := s.serving(site(1), v); n > 1 {
			t.Fatalf("%d data centers serve what their first wave does not bear", n)
		}
	}
	if _, ok := s.dead[wire.Routine][2]; !ok {
		t.Fatal("it was not taken back")
	}
}

func TestOneLiveDataCenterThatCrashesGoesBackAlone(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	s.run(5 * time.Second)
	last := s.policies[wire.Routine].Waves[1].DataCenters[3]
	i := slices.IndexFunc(s.agents, func(a *agent) bool { return a.dc == last })
	s.crash(s.agents[i], wire.Routine, Rejection{Release: 2, TargetSequence: s.agents[i].seq[wire.Routine], Cause: 3})
	s.run(3 * time.Second)
	if len(s.dead[wire.Routine]) != 0 {
		t.Fatal("one data center convicted a live release")
	}
	wantServing(t, s, site(1), version(1), 8)
	s.run(time.Minute)
	wantServing(t, s, site(1), version(1), 9)
	// A second one, and it is abandoned.
}

func TestStaleParentIsAbandoned(t *testing.T) {
	s := started(t, 5)
	s.change(site(1), 1)
	s.bug(site(1), 1, refuses)
	s.run(100 * time.Millisecond)
	o := s.observe()
	n := s.last[wire.Routine] + 1
	o.Sealed[wire.Routine] = append(o.Sealed[wire.Routine], Release{Number: n, Parent: 999})
	next, actions := Step(s.state, o)
	if next.Chain(wire.Routine).Release(n) != nil || !slices.ContainsFunc(actions, func(a Action) bool {
		ab, ok := a.(Abandon)
		return ok && slices.Contains(ab.Releases, n) && strings.Contains(ab.Reason, "999")
	}) {
		t.Fatalf("actions %+v", actions)
	}
}

func TestStepDoesNotChangeItsInput(t *testing.T) {
	s := started(t, 9)
	s.change(site(1), 1)
	s.run(time.Second)
	before := s.chain(wire.Routine).Record().String()
	o := s.observe()
	first, a1 := Step(s.state, o)
	second, a2 := Step(s.state, o)
	if s.chain(wire.Routine).Record().String() != before {
		t.Fatal("the state that went in was changed")
	}
	for i := range first.Chains {
		if first.Chains[i].Record().String() != second.Chains[i].Record().String() || len(a1) != len(a2) {
			t.Fatal("two steps differ")
		}
	}
}
