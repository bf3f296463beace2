package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var epoch = time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)

// effect is what a document version does to a server that applies it.
type effect string

const (
	refuses      effect = "refuses"      // named
	crashes      effect = "crashes"      // the agent says which release
	crashesNamed effect = "crashesNamed" // the agent left a breadcrumb
	dies         effect = "dies"         // restarts and says nothing
	hangs        effect = "hangs"
	sickens      effect = "sickens" // unhealthy, without a rejection
	crashesLater effect = "crashesLater"
	diesLater    effect = "diesLater" // again and again, and says nothing
	vanishes     effect = "vanishes"  // the server goes away and stays away
)

const laterDelay = 4 * time.Second

// sim is a fleet, a publisher and an observer around the machine.
type sim struct {
	tb    rapid.TB
	now   time.Time
	state State
	prev  State
	fleet []string

	policies    map[wire.Channel]Policy
	controls    map[string]Control
	commands    []Command
	quarantines map[wire.DocumentID]Quarantine
	since       time.Time
	steady      time.Time

	agents    []*agent
	bugs      map[wire.DocumentID]map[wire.Sum]effect
	pairs     map[[2]wire.DocumentID]effect // bites when both are served in a new version
	desired   map[wire.DocumentID]wire.Sum
	manifests map[wire.Channel]map[int64]*manifest
	head      map[wire.Channel]int64
	last      map[wire.Channel]int64
	dead      map[wire.Channel]map[int64]string
	archived  map[wire.Channel]map[int64]Phase
	targets   map[moveKey]SetTarget
	empty     map[wire.Channel]int64
	incidents []Incident
	moves     []SetTarget

	// applied are the data centers that ever applied a version of a document.
	applied map[wire.DocumentID]map[wire.Sum][]string
	// bakes are the bakes of every release as they were when its waves were fixed.
	bakes map[releaseKey][]time.Duration
	// waited are those that could not enter their first wave: they go by the policy as it is.
	waited map[releaseKey]bool
	// hurt are the data centers that finished releases hurt.
	hurt map[releaseKey][]string
	// trouble breaks reports in model tests.
	lose func(*agent) bool
	old  func(*agent) bool
	// steps counts the steps of the machine.
	steps int
}

type manifest struct {
	Release
	docs map[wire.DocumentID]wire.Sum
}

type agent struct {
	dc, name    string
	run         int
	quiet       bool // started, and did not report yet
	up          bool
	downUntil   time.Time
	healthy     bool
	release     map[wire.Channel]int64
	seq         map[wire.Channel]int64
	since       map[wire.Channel]time.Time
	rejections  map[wire.Channel][]Rejection
	crashAt     time.Time
	crashChan   wire.Channel
	silent      bool // crashes without a rejection
	deaf        bool // reports, and acts on no target
	inOrder     bool // somebody stopped it
	crashes     int
	view        Server
	history     []Server
	attestation map[attestKey]time.Duration
}

func newSim(tb rapid.TB, dcs ...string) *sim {
	tb.Helper()
	s := &sim{
		tb: tb, now: epoch, state: NewState(), fleet: slices.Sorted(slices.Values(dcs)),
		policies: map[wire.Channel]Policy{}, controls: map[string]Control{}, quarantines: map[wire.DocumentID]Quarantine{},
		since: epoch.Add(-time.Hour),
		bugs:  map[wire.DocumentID]map[wire.Sum]effect{}, pairs: map[[2]wire.DocumentID]effect{},
		desired:   map[wire.DocumentID]wire.Sum{},
		manifests: map[wire.Channel]map[int64]*manifest{}, head: map[wire.Channel]int64{}, last: map[wire.Channel]int64{},
		dead: map[wire.Channel]map[int64]string{}, archived: map[wire.Channel]map[int64]Phase{},
		targets: map[moveKey]SetTarget{}, empty: map[wire.Channel]int64{},
		applied: map[wire.DocumentID]map[wire.Sum][]string{},
		bakes:   map[releaseKey][]time.Duration{}, waited: map[releaseKey]bool{}, hurt: map[releaseKey][]string{},
	}
	for c, p := range DefaultPolicies(dcs, 1, true) {
		s.policies[c] = PolicyFrom(p)
	}
	for _, c := range wire.Channels() {
		s.manifests[c], s.dead[c], s.archived[c] = map[int64]*manifest{}, map[int64]string{}, map[int64]Phase{}
		s.seal(c, edgev1.Manifest_GENESIS, nil)
	}
	for _, dc := range s.fleet {
		for i := 1; i <= 2; i++ {
			s.agents = append(s.agents, newAgent(dc, fmt.Sprintf("%s-%d", dc, i)))
		}
	}
	return s
}

type attestKey struct {
	run     int
	channel wire.Channel
	release int64
}

func newAgent(dc, name string) *agent {
	return &agent{
		dc: dc, name: name, run: 1, up: true, healthy: true,
		release: map[wire.Channel]int64{}, seq: map[wire.Channel]int64{}, since: map[wire.Channel]time.Time{},
		rejections: map[wire.Channel][]Rejection{}, attestation: map[attestKey]time.Duration{},
	}
}

func site(i int) wire.DocumentID {
	return wire.DocumentID{Kind: wire.KindSite, ID: fmt.Sprintf("s%04d.test", i)}
}

func shield(i int) wire.DocumentID {
	return wire.DocumentID{Kind: wire.KindShield, ID: fmt.Sprintf("s%04d.test", i)}
}

func version(v int) wire.Sum { return wire.SumOf(fmt.Appendf(nil, "v%d", v)) }

// change gives a document a version in the registry.
func (s *sim) change(id wire.DocumentID, v int) wire.Sum {
	s.desired[id] = version(v)
	return version(v)
}

func (s *sim) bug(id wire.DocumentID, v int, e effect) {
	if s.bugs[id] == nil {
		s.bugs[id] = map[wire.Sum]effect{}
	}
	s.bugs[id][version(v)] = e
}

// seal seals a release of changes on the head.
func (s *sim) seal(c wire.Channel, cause edgev1.Manifest_Cause, changes []Change) int64 {
	parent := s.manifests[c][s.head[c]]
	m := &manifest{docs: map[wire.DocumentID]wire.Sum{}}
	var hash wire.StateHash
	if parent != nil {
		m.docs = maps.Clone(parent.docs)
		hash = parent.StateHash
	}
	slices.SortFunc(changes, func(a, b Change) int { return a.Document.Compare(b.Document) })
	for _, ch := range changes {
		hash = hash.Replace(c, ch.Document, ch.Old, ch.New)
		if m.docs[ch.Document] = ch.New; ch.New.IsZero() {
			delete(m.docs, ch.Document)
		}
	}
	s.last[c]++
	m.Release = Release{
		Number: s.last[c], Parent: s.head[c], Cause: cause, StateHash: hash, SealTime: s.now,
		ChangeCount: len(changes), Changes: changes, FromRevision: s.last[c]*10 - 10, CoveredRevision: s.last[c] * 10,
	}
	s.manifests[c][m.Number] = m
	s.head[c] = m.Number
	return m.Number
}

// publish seals what desired and head differ in, as the publisher would.
func (s *sim) publish(c wire.Channel) {
	ch := s.state.Chain(c)
	if ch.LastNumber != s.last[c] {
		return
	}
	serving := s.manifests[c][s.head[c]].docs
	if req, ok := ch.Trial(); ok && !s.policies[c].Frozen {
		var changes []Change
		for _, d := range req.Documents {
			if s.desired[d.Document] == d.New && serving[d.Document] != d.New {
				changes = append(changes, Change{Document: d.Document, Old: serving[d.Document], New: d.New})
			}
		}
		if len(changes) == 0 {
			s.empty[c] = req.Trial
			return
		}
		s.seal(c, edgev1.Manifest_TRIAL, changes)
		return
	}
	if !s.state.Ready(c, s.policies[c]) {
		return
	}
	var changes []Change
	for id, sum := range s.desired {
		if got, _ := wire.ChannelOf(id.Kind); got != c {
			continue
		}
		for _, sus := range ch.Suspects {
			if sus.Document == id && sus.Bad == sum {
				sum = sus.Good
			}
		}
		q, held := s.quarantines[id]
		if held && !q.Trying && (q.Bad == sum || q.Resting) {
			sum = q.Good
		}
		if serving[id] == sum {
			continue
		}
		change := Change{Document: id, Old: serving[id], New: sum}
		if held && sum != q.Good {
			s.seal(c, edgev1.Manifest_RETRY, []Change{change})
			return
		}
		changes = append(changes, change)
	}
	if len(changes) > 0 {
		s.seal(c, edgev1.Manifest_CHANGES, changes)
	}
}

// observe builds the observation.
func (s *sim) observe() Observation {
	o := Observation{
		Now: s.now, Fleet: s.fleet, Since: s.since, Steady: s.steady, Controls: s.controls, Policies: s.policies,
		Sealed: map[wire.Channel][]Release{}, Commands: s.commands, EmptyTrials: s.empty,
	}
	for _, a := range s.agents {
		if a.view.Name != "" {
			o.Servers = append(o.Servers, a.view)
		}
	}
	slices.SortFunc(o.Servers, func(a, b Server) int {
		return slices.Compare([]string{a.DataCenter, a.Name}, []string{b.DataCenter, b.Name})
	})
	for _, c := range wire.Channels() {
		for n := s.state.Chain(c).LastNumber + 1; n <= s.last[c]; n++ {
			o.Sealed[c] = append(o.Sealed[c], s.manifests[c][n].Release)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.quarantines), wire.DocumentID.Compare) {
		o.Quarantines = append(o.Quarantines, s.quarantines[id])
	}
	return o
}

// step runs the machine once, checks the invariants and makes its actions true.
func (s *sim) step() []Action {
	o := s.observe()
	s.prev = s.state
	s.steps++
	next, actions := Step(s.state, o)
	s.check(o, next, actions)
	s.state = next
	s.empty = map[wire.Channel]int64{}
	for _, a := range actions {
		switch a := a.(type) {
		case SetTarget:
			s.targets[moveKey{a.Channel, a.DataCenter}] = a
			s.moves = append(s.moves, a)
		case Abandon:
			for _, n := range a.Releases {
				s.dead[a.Channel][n] = a.Reason
			}
			s.head[a.Channel] = a.Head
		case PutQuarantine:
			s.quarantines[a.Quarantine.Document] = a.Quarantine
		case RemoveQuarantine:
			delete(s.quarantines, a.Document)
		case RemoveCommand:
			s.commands = slices.DeleteFunc(s.commands, func(c Command) bool { return c.ID == a.ID })
		case Archive:
			s.archived[a.Channel][a.Release.Number] = a.Release.Phase
			s.hurt[releaseKey{a.Channel, a.Release.Number}] = a.Release.Hurt
		case Incident:
			s.incidents = append(s.incidents, a)
		}
	}
	return actions
}

// agentsAct delivers targets and lets servers apply, crash and restart.
func (s *sim) agentsAct() {
	for _, a := range s.agents {
		if !a.up && !a.downUntil.IsZero() && !s.now.Before(a.downUntil) {
			s.start(a)
		}
		if !a.crashAt.IsZero() && a.up && !s.now.Before(a.crashAt) {
			if a.silent {
				s.crash(a, a.crashChan, Rejection{})
				continue
			}
			s.crash(a, a.crashChan, Rejection{
				Cause: edgev1.Rejection_CRASHED, Release: a.release[a.crashChan],
				TargetSequence: a.seq[a.crashChan], After: laterDelay, Reason: "out of memory",
			})
		}
		for _, c := range wire.Channels() {
			if t, ok := s.targets[moveKey{c, a.dc}]; ok && a.up && !a.quiet && !a.deaf && t.Sequence > a.seq[c] {
				s.apply(a, t)
			}
		}
		for _, c := range wire.Channels() {
			a.rejections[c] = slices.DeleteFunc(a.rejections[c], func(r Rejection) bool { _, dead := s.dead[c][r.Release]; return dead })
		}
	}
}

func (s *sim) start(a *agent) {
	a.up, a.downUntil, a.crashAt, a.healthy = true, time.Time{}, time.Time{}, true
	a.run++
	a.quiet = true
	if c := a.crashChan; a.silent && s.manifests[c][a.release[c]] != nil {
		for id, sum := range s.manifests[c][a.release[c]].docs {
			if s.bugs[id][sum] == diesLater {
				a.crashAt = s.now.Add(laterDelay)
			}
		}
	}
	for _, c := range wire.Channels() {
		a.since[c] = s.now
		refused := func(r Rejection) bool { return r.TargetSequence == a.seq[c] }
		if !slices.ContainsFunc(a.rejections[c], refused) {
			a.seq[c] = 0 // What it has not refused it tries again.
		}
	}
}

func (s *sim) crash(a *agent, c wire.Channel, rej Rejection) {
	a.up, a.downUntil, a.crashAt, a.inOrder = false, s.now.Add(time.Second), time.Time{}, false
	a.crashes++
	if rej.Cause != 0 {
		a.rejections[c] = append(a.rejections[c], rej)
	}
	if m := s.manifests[c][a.release[c]]; m != nil && rej.Release == a.release[c] {
		a.release[c] = m.Parent // Back to the last good generation.
	}
}

func (s *sim) apply(a *agent, t SetTarget) {
	c := t.Channel
	a.seq[c] = t.Sequence
	if s.barred(a, t) {
		return
	}
	m := s.manifests[c][t.Release]
	have := map[wire.DocumentID]wire.Sum{}
	if old := s.manifests[c][a.release[c]]; old != nil {
		have = old.docs
	}
	before := a.release[c]
	for _, id := range slices.SortedFunc(maps.Keys(m.docs), wire.DocumentID.Compare) {
		sum := m.docs[id]
		if have[id] == sum {
			continue
		}
		if s.applied[id] == nil {
			s.applied[id] = map[wire.Sum][]string{}
		}
		if !slices.Contains(s.applied[id][sum], a.dc) {
			s.applied[id][sum] = append(s.applied[id][sum], a.dc)
		}
		rej := Rejection{Release: t.Release, TargetSequence: t.Sequence, Reason: "simulated"}
		bite := s.bugs[id][sum]
		for pair, e := range s.pairs {
			if pair[0] == id || pair[1] == id {
				if m.docs[pair[0]] == version(2) && m.docs[pair[1]] == version(2) {
					bite = e
				}
			}
		}
		switch bite {
		case refuses:
			rej.Cause, rej.Document, rej.Sum = edgev1.Rejection_REFUSED, id, sum
			a.rejections[c] = append(a.rejections[c], rej)
			return
		case hangs:
			rej.Cause = edgev1.Rejection_TIMEOUT
			a.rejections[c] = append(a.rejections[c], rej)
			return
		case crashes:
			rej.Cause = edgev1.Rejection_CRASHED
			s.crash(a, c, rej)
			return
		case crashesNamed:
			rej.Cause, rej.Document = edgev1.Rejection_CRASHED, id
			s.crash(a, c, rej)
			return
		case dies:
			s.crash(a, c, Rejection{})
			return
		case vanishes:
			s.crash(a, c, Rejection{})
			a.downUntil = time.Time{}
			return
		case sickens:
			a.healthy = false
		case crashesLater, diesLater:
			a.crashAt, a.crashChan, a.silent = s.now.Add(laterDelay), c, bite == diesLater
		}
	}
	a.release[c], a.since[c] = t.Release, s.now
	if t.Release < before {
		a.healthy = !s.holds(m, sickens)
		if a.crashChan == c && !s.holds(m, crashesLater) && !s.holds(m, diesLater) {
			a.crashAt = time.Time{}
		}
	}
}

// holds says whether a release has a document with an effect.
func (s *sim) holds(m *manifest, e effect) bool {
	for id, sum := range m.docs {
		if s.bugs[id][sum] == e {
			return true
		}
	}
	return false
}

// report lets the observer hear of every agent.
func (s *sim) report() {
	for _, a := range s.agents {
		if s.lose != nil && s.lose(a) {
			continue
		}
		if s.old != nil && len(a.history) > 1 && s.old(a) {
			a.view = a.history[len(a.history)-2]
			continue
		}
		if !a.up {
			a.view.Connected = false
			continue
		}
		v := Server{
			DataCenter: a.dc, Name: a.name, Incarnation: strconv.Itoa(a.run), InOrder: a.inOrder, Connected: true, LastSeen: s.now, Healthy: a.healthy,
		}
		for _, c := range wire.Channels() {
			r := ChannelReport{Channel: c, Release: a.release[c], TargetSequence: a.seq[c], Rejections: slices.Clone(a.rejections[c])}
			if m := s.manifests[c][r.Release]; m != nil {
				r.StateHash = m.StateHash
			}
			if a.healthy && r.Release > 0 {
				r.HealthyFor = s.now.Sub(a.since[c])
				key := attestKey{a.run, c, r.Release}
				a.attestation[key] = max(a.attestation[key], r.HealthyFor)
			}
			v.Channels = append(v.Channels, r)
		}
		a.view, a.quiet = v, false
		a.history = append(a.history, v)
		if len(a.history) > 3 {
			a.history = a.history[1:]
		}
	}
}

// tick is one round of everything, and then time.
func (s *sim) tick(d time.Duration) {
	s.agentsAct()
	s.report()
	s.step()
	before := maps.Clone(s.last)
	for _, c := range wire.Channels() {
		s.publish(c)
	}
	if len(s.empty) > 0 || !maps.Equal(before, s.last) {
		s.step()
	}
	s.now = s.now.Add(d)
}

// jump sets the time of day, which is no time for anybody.
func (s *sim) jump(d time.Duration) {
	s.now, s.since = s.now.Add(d), s.since.Add(d)
	s.steady = s.now
	shift := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(d)
		}
	}
	for _, a := range s.agents {
		shift(&a.downUntil)
		shift(&a.crashAt)
		shift(&a.view.LastSeen)
		for c := range a.since {
			a.since[c] = a.since[c].Add(d)
		}
	}
}

// run ticks for a while.
func (s *sim) run(d time.Duration) {
	s.tb.Helper()
	tick := 50 * time.Millisecond
	if d > 10*time.Second {
		tick *= 4
	}
	for end := s.now.Add(d); s.now.Before(end); {
		s.tick(tick)
	}
}

func (s *sim) chain(c wire.Channel) *Chain { return s.state.Chain(c) }

// serving is how many data centers serve a version of a document with all servers.
func (s *sim) serving(id wire.DocumentID, sum wire.Sum) int {
	c, _ := wire.ChannelOf(id.Kind)
	n := 0
	for _, dc := range s.fleet {
		all := true
		for _, a := range s.agents {
			if a.dc == dc {
				m := s.manifests[c][a.release[c]]
				all = all && a.up && m != nil && m.docs[id] == sum
			}
		}
		if all {
			n++
		}
	}
	return n
}

func (s *sim) kill(dc string) {
	for _, a := range s.agents {
		if a.dc == dc {
			a.up, a.downUntil = false, time.Time{}
		}
	}
}

// restart stops the servers of a data center in order, for half a second.
func (s *sim) restart(dc string) {
	for _, a := range s.agents {
		if a.dc == dc {
			a.up, a.downUntil, a.inOrder = false, s.now.Add(500*time.Millisecond), true
		}
	}
}

func (s *sim) revive(dc string) {
	for _, a := range s.agents {
		if a.dc == dc && !a.up {
			a.downUntil = s.now
		}
	}
}

// crashed is how often servers crashed.
func (s *sim) crashed() (n int) {
	for _, a := range s.agents {
		n += a.crashes
	}
	return n
}

func (s *sim) quarantined(id wire.DocumentID) bool { _, ok := s.quarantines[id]; return ok }

func (s *sim) retry(id wire.DocumentID) {
	s.commands = append(s.commands, Command{ID: "retry", Verb: 4, Quarantine: ledger.QuarantineID(id)})
}

func codes(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("D%02d", i))
	}
	return out
}
