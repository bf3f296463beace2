package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

type releaseKey struct {
	channel wire.Channel
	release int64
}

// checkBakes is invariant 8.
func (s *sim) checkBakes(ch *Chain) {
	for j := range ch.Releases {
		r := &ch.Releases[j]
		key := releaseKey{ch.Channel, r.Number}
		sealed, known := s.bakes[key]
		if !known || s.waited[key] {
			sealed = nil
			for _, w := range r.Waves {
				sealed = append(sealed, w.Bake)
			}
			if len(sealed) > 0 {
				s.bakes[key] = sealed
			}
		}
		s.waited[key] = r.Phase == Sealed && r.waits()
		e := r.Expedite
		two := e.Requester != "" && e.Approver != "" && e.Requester != e.Approver
		if e.Approver != "" && !two {
			s.fail("%s: release %d is expedited by %q and %q", ch.Channel, r.Number, e.Requester, e.Approver)
		}
		// A wave may be gone, where its data center stood in for a dark one; the others
		// keep their order.
		at := 0
		for k := range r.Waves {
			now := r.Waves[k].Bake
			if two && k > 0 && now == 0 {
				continue
			}
			for at < len(sealed) && sealed[at] != now {
				at++
			}
			if at == len(sealed) || k == 0 && at > 0 {
				s.fail("%s: wave %d of release %d bakes %v, sealed with %v, expedited %+v", ch.Channel, k, r.Number, now, sealed, e)
			}
			at++
		}
	}
}

// ask gives a command and lets it be done.
func (s *sim) ask(verb storev1.Command_Verb, c wire.Channel, n int64, principal string) {
	s.commands = append(s.commands, Command{
		ID: fmt.Sprint("ask", len(s.commands), verb, principal), Verb: verb, Channel: c, Release: n, Principal: principal, Reason: "now",
	})
	s.tick(0)
}

// enteredWaves are the times at which a release entered its waves.
func enteredWaves(r *Release) []time.Time {
	var out []time.Time
	for _, w := range r.Waves {
		if !w.EnterTime.IsZero() {
			out = append(out, w.EnterTime)
		}
	}
	return out
}

func TestExpediteNeedsTwoOperators(t *testing.T) {
	for name, test := range map[string]struct {
		ask  func(s *sim)
		want bool
	}{
		"nobody asks": {func(*sim) {}, false},
		"nobody approves": {func(s *sim) {
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
		}, false},
		"nobody asked": {func(s *sim) {
			s.ask(storev1.Command_APPROVE, wire.Platform, 2, "bob")
		}, false},
		"the same operator twice": {func(s *sim) {
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
			s.ask(storev1.Command_APPROVE, wire.Platform, 2, "ann")
		}, false},
		"approval before the wish": {func(s *sim) {
			s.ask(storev1.Command_APPROVE, wire.Platform, 2, "bob")
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
		}, false},
		"nameless": {func(s *sim) {
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
			s.ask(storev1.Command_APPROVE, wire.Platform, 2, "")
		}, false},
		"another release": {func(s *sim) {
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
			s.ask(storev1.Command_APPROVE, wire.Platform, 1, "bob")
		}, false},
		"two operators": {func(s *sim) {
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
			s.changeLeader()
			s.ask(storev1.Command_APPROVE, wire.Platform, 2, "bob")
			s.changeLeader()
		}, true},
		"the later wish counts": {func(s *sim) {
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
			s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "bob")
			s.ask(storev1.Command_APPROVE, wire.Platform, 2, "ann")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t, 23)
			app := wire.DocumentID{Kind: wire.KindApp, ID: "minify"}
			v := s.change(app, 1)
			s.tick(0)
			test.ask(s)
			if got := s.chain(wire.Platform).Head().Expedite.approved(); got != test.want {
				t.Fatalf("expedited %v", got)
			}
			// The bakes are 5 s each; the first wave's is kept.
			s.run(4500 * time.Millisecond)
			wantServing(t, s, app, v, 1)
			s.run(2 * time.Second)
			if test.want {
				wantServing(t, s, app, v, 23)
			} else {
				wantServing(t, s, app, v, 4)
			}
			if r := s.chain(wire.Platform).Release(2); r != nil && test.want {
				entered := enteredWaves(r)
				if len(entered) != 4 || len(slices.Compact(entered)) != 4 {
					t.Errorf("waves were entered at %v, want one at a time", entered)
				}
			}
		})
	}
}

// Harm in the second wave stops an expedited release there: its gates are as strict.
func TestExpediteKeepsGates(t *testing.T) {
	s := started(t, 23)
	app := wire.DocumentID{Kind: wire.KindApp, ID: "minify"}
	v := s.change(app, 1)
	second := s.policies[wire.Platform].Waves[1].DataCenters[0]
	s.tick(0)
	s.ask(storev1.Command_EXPEDITE, wire.Platform, 2, "ann")
	s.ask(storev1.Command_APPROVE, wire.Platform, 2, "bob")
	for len(enteredWaves(s.chain(wire.Platform).Release(2))) < 2 {
		s.tick(50 * time.Millisecond)
		for _, a := range s.agents {
			if a.dc == second {
				a.healthy = len(enteredWaves(s.chain(wire.Platform).Head())) < 2
			}
		}
	}
	s.run(3 * time.Second)
	if r := s.chain(wire.Platform).Release(2); r != nil && len(enteredWaves(r)) > 2 {
		t.Fatalf("a release that hurt its second wave entered %d", len(enteredWaves(r)))
	}
	if n := s.serving(app, v); n > 4 {
		t.Fatalf("%d data centers serve it", n)
	}
}

// What was abandoned for harm says where it hurt, and what was only refused does not.
func TestHurtDataCentersAreKept(t *testing.T) {
	for e, hurts := range map[effect]bool{refuses: false, crashesNamed: true, crashes: true, sickens: true} {
		s := started(t, 23)
		s.change(site(1), 1)
		s.run(10 * time.Second)
		n := s.last[wire.Routine] + 1
		s.change(site(1), 2)
		s.bug(site(1), 2, e)
		s.run(5 * time.Second)
		if s.archived[wire.Routine][n] != Abandoned {
			t.Fatalf("effect %v: release %d is not abandoned", e, n)
		}
		hurt := s.hurt[releaseKey{wire.Routine, n}]
		if hurts && !slices.Equal(hurt, []string{s.firstWave(wire.Routine)}) || !hurts && len(hurt) > 0 {
			t.Errorf("effect %v: hurt %v", e, hurt)
		}
	}
}
