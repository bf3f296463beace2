package rollout

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// The machine's own times and bounds. Bakes and soaks are policy; these are not.
const (
	// postMortem is how long a lost server's agent has to come back and say what happened,
	// and how long a hurt data center has to recover.
	postMortem = 5 * time.Second
	// startGrace is how long after the observer began nothing is concluded from silence.
	startGrace = 5 * time.Second
	// silenceMemory is how long a server that went silent counts as part of the fleet.
	silenceMemory = time.Hour
	// joinTimeout is how long one data center may keep the others from joining.
	joinTimeout = 30 * time.Second
	// retryBase is the first back-off of joins and quarantines; it doubles up to retryMost.
	retryBase = 30 * time.Second
	retryMost = time.Hour
	// givenUpJoins is after how many failed joins in a row a data center no longer keeps
	// a release from being good.
	givenUpJoins = 3
	// MaxInFlight is how many releases of a channel may be newer than last known good.
	MaxInFlight = 64
	// maxGenerations is how many last known good releases are remembered.
	maxGenerations = 8
	// maxReverts bounds the reverts that wait.
	maxReverts = 16
	// maxHurtingTrials is how often a bisection may hurt the first wave.
	maxHurtingTrials = 32
	// maxTroubles bounds what is remembered of servers in trouble.
	maxTroubles = 1000
	// longestTrial bounds the bake of a trial, whatever was seen.
	longestTrial = 15 * time.Minute
)

// Step returns the state after an observation, and what must be made true together with
// it. It changes neither of its arguments.
func Step(s State, o Observation) (State, []Action) {
	m := &machine{
		s: s.Clone(), o: o,
		moves:       map[moveKey]*SetTarget{},
		hurt:        map[string]bool{},
		quarantines: map[wire.DocumentID]Quarantine{},
		touched:     map[wire.DocumentID]bool{},
	}
	m.s.Wake = time.Time{}
	m.look()
	m.outage()
	m.watch()
	m.ingest()
	m.command()
	m.rested()
	m.rejections()
	m.settle()
	m.circumstances()
	m.late()
	m.stuck()
	m.gates()
	m.astray()
	m.soak()
	m.enter()
	m.join()
	m.trials()
	return m.s, m.finish()
}

// machine is one step under way.
type machine struct {
	s State
	o Observation

	// dcs are all data centers, by code.
	dcs []dataCenter
	// silent says that most of the fleet is, fresh that the observer just started, and
	// waiting that it has not yet heard of everyone.
	silent, fresh, waiting bool

	out []Action
	// moves are the targets set in this step, and order their keys as they came.
	moves map[moveKey]*SetTarget
	order []moveKey
	// hurt are the data centers whose harm convicted in this step.
	hurt map[string]bool
	// dead are the releases abandoned in this step, by chain.
	dead [][]int64
	// why is the reason of the oldest of them.
	why []string
	// quarantines is what they are now; touched those that this step changed, by document.
	quarantines map[wire.DocumentID]Quarantine
	touched     map[wire.DocumentID]bool
}

type moveKey struct {
	channel wire.Channel
	dc      string
}

// dataCenter is one data center as this step sees it.
type dataCenter struct {
	code    string
	control Control
	servers []*Server
}

// reports says whether any of its servers does.
func (d *dataCenter) reports() bool {
	return slices.ContainsFunc(d.servers, func(s *Server) bool { return s.Connected })
}

// serves says whether any of its servers reports and is healthy.
func (d *dataCenter) serves() bool {
	return slices.ContainsFunc(d.servers, func(s *Server) bool { return s.Connected && s.Healthy })
}

func (d *dataCenter) server(name string) *Server {
	for _, s := range d.servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// channel is what the server said of a channel; nothing said is the zero report.
func (s *Server) channel(c wire.Channel) ChannelReport {
	for _, r := range s.Channels {
		if r.Channel == c {
			return r
		}
	}
	return ChannelReport{Channel: c}
}

func (m *machine) dc(code string) *dataCenter {
	i, ok := slices.BinarySearchFunc(m.dcs, code, func(d dataCenter, code string) int { return cmp.Compare(d.code, code) })
	if !ok {
		return &dataCenter{code: code, control: m.o.Controls[code]}
	}
	return &m.dcs[i]
}

// look arranges the observation.
func (m *machine) look() {
	codes := map[string][]*Server{}
	for _, code := range m.o.Fleet {
		codes[code] = nil
	}
	reporting, lost := 0, 0
	for i := range m.o.Servers {
		srv := &m.o.Servers[i]
		codes[srv.DataCenter] = append(codes[srv.DataCenter], srv)
		switch {
		case srv.Connected:
			reporting++
		case !m.o.Controls[srv.DataCenter].Drained && m.o.Now.Sub(srv.LastSeen) < silenceMemory:
			lost++
		}
	}
	everyone := true
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		d := dataCenter{code: code, control: m.o.Controls[code], servers: codes[code]}
		everyone = everyone && d.reports()
		m.dcs = append(m.dcs, d)
	}
	m.silent = lost > reporting || reporting == 0
	m.fresh = m.o.Now.Before(m.o.Since.Add(startGrace))
	m.waiting = m.fresh && !everyone
	if m.fresh {
		m.wake(m.o.Since.Add(startGrace))
	}
	for _, q := range m.o.Quarantines {
		m.quarantines[q.Document] = q
	}
	m.dead = make([][]int64, len(m.s.Chains))
	m.why = make([]string, len(m.s.Chains))
}

// after is when edges had so long to do something that they were told to at a time. A clock
// that was set forward gave them no time.
func (m *machine) after(since time.Time, long time.Duration) time.Time {
	return later(since, m.o.Steady).Add(long)
}

func later(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// wake asks for a step at t.
func (m *machine) wake(t time.Time) {
	if t.After(m.o.Now) && (m.s.Wake.IsZero() || t.Before(m.s.Wake)) {
		m.s.Wake = t
	}
}

// move sets a data center's target.
func (m *machine) move(ch *Chain, dc string, release int64, bake time.Duration, back bool) *Target {
	key := moveKey{ch.Channel, dc}
	t := ch.Target(dc)
	if t == nil {
		i, _ := slices.BinarySearchFunc(ch.Targets, dc, func(t Target, dc string) int { return cmp.Compare(t.DataCenter, dc) })
		ch.Targets = slices.Insert(ch.Targets, i, Target{DataCenter: dc})
		t = &ch.Targets[i]
	}
	act := m.moves[key]
	if act == nil {
		t.Sequence++
		act = &SetTarget{Channel: ch.Channel, DataCenter: dc, Sequence: t.Sequence}
		m.moves[key] = act
		m.order = append(m.order, key)
	}
	act.Release, act.Bake, act.Back = release, bake, back
	t.Release, t.MoveTime = release, m.o.Now
	t.Joining, t.Joined = false, time.Time{}
	return t
}

// moved says whether the step already moved the data center.
func (m *machine) moved(ch *Chain, dc string) bool { return m.moves[moveKey{ch.Channel, dc}] != nil }

func (m *machine) emit(a Action) { m.out = append(m.out, a) }

// finish puts the actions together: each target, head and quarantine once.
func (m *machine) finish() []Action {
	for i := range m.s.Chains {
		if len(m.dead[i]) == 0 {
			continue
		}
		ch := &m.s.Chains[i]
		slices.Sort(m.dead[i])
		a := Abandon{Channel: ch.Channel, Releases: m.dead[i], Reason: m.why[i]}
		if head := ch.Head(); head != nil {
			a.Head, a.Cursor = head.Number, head.CoveredRevision
		}
		m.emit(a)
	}
	slices.SortStableFunc(m.order, func(a, b moveKey) int {
		return cmp.Compare(rank(m.hurt[a.dc]), rank(m.hurt[b.dc]))
	})
	for _, key := range m.order {
		m.emit(*m.moves[key])
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.touched), wire.DocumentID.Compare) {
		if q, ok := m.quarantines[id]; ok {
			m.emit(PutQuarantine{Quarantine: q})
		} else {
			m.emit(RemoveQuarantine{Document: id})
		}
	}
	return m.out
}

func rank(hurt bool) int {
	if hurt {
		return 0
	}
	return 1
}

// backoff is how long to wait after n failures in a row.
func backoff(n int) time.Duration {
	d := retryBase
	for ; n > 1 && d < retryMost; n-- {
		d *= 2
	}
	return min(d, retryMost)
}
