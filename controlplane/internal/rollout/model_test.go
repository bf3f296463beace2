package rollout

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestModel drives the machine through random seals, harm, lost and old reports, drains,
// commands and changes of leaders. The simulation checks the invariants after every step.
// At the end the trouble stops, and everything has to become live and good.
//
// BREAKWATER_SOAK multiplies the length of each run; RAPID_CHECKS sets their number. The log
// says how many steps that were.
func TestModel(t *testing.T) {
	runs, steps := 0, 0
	defer func() { t.Logf("%d runs, %d steps", runs, steps) }()
	length := 60
	if n, err := strconv.Atoi(os.Getenv("BREAKWATER_SOAK")); err == nil && n > 0 {
		length *= 10 * n
	}
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(t, codes(rapid.IntRange(1, 9).Draw(t, "fleet"))...)
		versions, chaos := 0, 0
		effects := []effect{refuses, crashes, crashesNamed, dies, hangs, sickens, crashesLater, diesLater, vanishes}
		document := func() wire.DocumentID {
			kind := rapid.SampledFrom([]string{wire.KindSite, wire.KindShield, wire.KindApp}).Draw(t, "kind")
			return wire.DocumentID{Kind: kind, ID: fmt.Sprint("x", rapid.IntRange(0, 9).Draw(t, "id"))}
		}
		dc := func() string { return rapid.SampledFrom(s.fleet).Draw(t, "dc") }
		channel := func() wire.Channel { return rapid.SampledFrom(wire.Channels()).Draw(t, "channel") }
		release := func(c wire.Channel) int64 { return rapid.Int64Range(1, s.last[c]).Draw(t, "release") }
		s.lose = func(*agent) bool { return chaos > 0 && rapid.IntRange(0, 9).Draw(t, "lose") < chaos }
		s.old = func(*agent) bool { return chaos > 0 && rapid.IntRange(0, 19).Draw(t, "old") == 0 }
		commandID := 0
		order := func(v storev1.Command_Verb) {
			c := channel()
			commandID++
			principal := rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "principal")
			cmd := Command{ID: fmt.Sprint(commandID), Verb: v, Channel: c, Release: release(c), Principal: principal}
			if m := s.manifests[c][cmd.Release]; m != nil {
				cmd.Changes, cmd.FromRevision = m.Changes, m.FromRevision
			}
			s.commands = append(s.commands, cmd)
		}
		actions := map[string]func(*rapid.T){
			"change": func(*rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "changes") {
					versions++
					s.change(document(), versions)
				}
			},
			"bug": func(*rapid.T) {
				versions++
				id := document()
				s.change(id, versions)
				s.bug(id, versions, rapid.SampledFrom(effects).Draw(t, "effect"))
			},
			"run":  func(*rapid.T) { s.run(time.Duration(rapid.IntRange(1, 12).Draw(t, "ticks")) * 50 * time.Millisecond) },
			"wait": func(*rapid.T) { s.run(3 * time.Second) },
			"chaos": func(*rapid.T) {
				chaos = rapid.IntRange(0, 5).Draw(t, "chaos")
			},
			"clock": func(*rapid.T) {
				s.jump(time.Duration(rapid.IntRange(1, 600).Draw(t, "jump")) * time.Second)
			},
			"kill":   func(*rapid.T) { s.kill(dc()) },
			"revive": func(*rapid.T) { s.revive(dc()) },
			"crash": func(*rapid.T) {
				if a := s.agents[rapid.IntRange(0, len(s.agents)-1).Draw(t, "agent")]; a.up {
					s.crash(a, wire.Routine, Rejection{})
				}
			},
			"misjudge": func(*rapid.T) {
				s.misjudge(s.agents[rapid.IntRange(0, len(s.agents)-1).Draw(t, "agent")], channel())
			},
			"deafen": func(*rapid.T) {
				a := s.agents[rapid.IntRange(0, len(s.agents)-1).Draw(t, "agent")]
				a.deaf = !a.deaf
			},
			"patience": func(*rapid.T) {
				c := channel()
				p := s.policies[c]
				p.Patience = time.Duration(rapid.IntRange(0, 4).Draw(t, "patience")) * time.Second
				s.policies[c] = p
			},
			"control": func(*rapid.T) {
				s.controls[dc()] = Control{Drained: rapid.Bool().Draw(t, "drained"), Pinned: rapid.Bool().Draw(t, "pinned")}
			},
			"freeze": func(*rapid.T) {
				c := channel()
				p := s.policies[c]
				p.Frozen = !p.Frozen
				s.policies[c] = p
			},
			"waves": func(*rapid.T) {
				c := channel()
				p := s.policies[c]
				p.Waves = []PolicyWave{
					{DataCenters: []string{dc()}, Bake: 200 * time.Millisecond}, {DataCenters: []string{dc(), dc()}, Bake: time.Second}, {},
				}
				s.policies[c] = p
			},
			"expedite": func(*rapid.T) { order(storev1.Command_EXPEDITE) },
			"approve":  func(*rapid.T) { order(storev1.Command_APPROVE) },
			"hold":     func(*rapid.T) { order(storev1.Command_HOLD) },
			"resume":   func(*rapid.T) { order(storev1.Command_RESUME) },
			"rollback": func(*rapid.T) { order(storev1.Command_ROLLBACK) },
			"retry": func(*rapid.T) {
				for _, q := range s.observe().Quarantines {
					s.retry(q.Document)
					return
				}
			},
			"leader": func(*rapid.T) {
				s.changeLeader()
				if rapid.Bool().Draw(t, "cold") {
					s.since = s.now
				}
			},
		}
		for range rapid.IntRange(1, length).Draw(t, "steps") {
			actions[rapid.SampledFrom(sortedKeys(actions)).Draw(t, "action")](t)
		}
		chaos = 0
		s.calm()
		runs++
		steps += s.steps
	})
}

// changeLeader stores the state and loads it again, with what the manifests know.
func (s *sim) changeLeader() {
	for i := range s.state.Chains {
		ch := stored(s.tb, s.state.Chains[i])
		for j := range ch.Releases {
			ch.Releases[j].Changes = s.manifests[ch.Channel][ch.Releases[j].Number].Changes
		}
		s.state.Chains[i] = ch
	}
}

// calm ends all trouble and checks that everything ends well.
func (s *sim) calm() {
	s.bugs = map[wire.DocumentID]map[wire.Sum]effect{}
	s.controls = map[string]Control{}
	s.commands = nil
	for c, p := range s.policies {
		p.Frozen = false
		s.policies[c] = p
		for _, r := range s.chain(c).Releases {
			s.commands = append(s.commands, Command{ID: fmt.Sprint("end", c, r.Number), Verb: storev1.Command_RESUME, Channel: c, Release: r.Number})
		}
		for n := range s.dead[c] {
			s.commands = append(s.commands, Command{ID: fmt.Sprint("let", c, n), Verb: storev1.Command_RESUME, Channel: c, Release: n})
		}
	}
	for _, a := range s.agents {
		a.healthy, a.crashAt, a.silent, a.deaf = true, time.Time{}, false, false
		if !a.up {
			a.downUntil = s.now
		}
	}
	s.run(30 * time.Second)
	for s.settle(); len(s.commands) > 0; {
		s.settle()
	}
	for _, q := range s.observe().Quarantines {
		if s.desired[q.Document] == q.Bad {
			s.retry(q.Document)
			for len(s.commands) > 0 {
				s.settle()
			}
		}
	}
	for range 40 {
		s.settle()
	}
	for _, c := range wire.Channels() {
		ch := s.chain(c)
		if len(ch.Releases) != 1 || ch.LastKnownGood != s.head[c] || ch.Bisection != nil || len(ch.Settling) != 0 {
			for _, a := range s.agents {
				s.tb.Logf("%s run %d up %v: %+v, rejections %+v", a.name, a.run, a.up, a.view, a.rejections)
			}
			s.fail("%s: not all is good: %v", c, ch.Record())
		}
		for id, sum := range s.desired {
			if got, _ := wire.ChannelOf(id.Kind); got != c {
				continue
			}
			kept := slices.ContainsFunc(ch.Suspects, func(x Suspect) bool { return x.Document == id && x.Bad == sum })
			if q, ok := s.quarantines[id]; ok && q.Bad == sum && !q.Trying {
				kept = true
			}
			if n := s.serving(id, sum); !kept && n != len(s.fleet) {
				s.fail("%s is served by %d of %d", id, n, len(s.fleet))
			}
		}
	}
}

// settle lets a while pass in coarse steps.
func (s *sim) settle() {
	for range 8 {
		s.tick(time.Second)
	}
}
