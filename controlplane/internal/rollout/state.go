package rollout

import (
	"cmp"
	"slices"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// State is everything that the machine remembers, for all channels, because harm in one
// may be another's fault.
type State struct {
	// Chains has one entry for each channel, in the order of [wire.Channels].
	Chains []Chain
	// Runs and Troubles are what servers did lately, ordered by data center and server, and
	// by time. They are not stored; see [Run].
	Runs     []Run
	Troubles []Trouble
	// Outage is the last time that most of the fleet was silent. It is not stored either.
	Outage Outage
	// Wake is when the next step is due although nothing changes; zero when never. It is
	// computed anew by every step and not stored.
	Wake time.Time
}

// NewState returns the state before any release.
func NewState() State {
	var s State
	for _, c := range wire.Channels() {
		s.Chains = append(s.Chains, Chain{Channel: c})
	}
	return s
}

// Chain is the state of one channel.
type Chain struct {
	Channel wire.Channel
	// Releases are last known good and everything newer that is not abandoned, oldest
	// first. Each one's parent is the one before it.
	Releases []Release
	// LastNumber is the newest release taken in, also when it was abandoned since.
	LastNumber int64
	// Live is the newest release that passed every wave.
	Live int64
	// LastKnownGood is the newest release that soaked everywhere.
	LastKnownGood int64
	// Generations are the last releases that were good, oldest first.
	Generations []Generation
	// Suspects are the documents held at their good versions. Those under bisection come
	// first, in the order of its groups. The list never changes: others take its place.
	Suspects []Suspect
	// LastChunk is the newest chunk that suspects were given.
	LastChunk int64
	// Targets says where each data center is told to be, in order of their codes.
	Targets []Target
	// Reverts are the older releases that operators want undone.
	Reverts []Revert
	// Settling are the data centers that recover from harm that this channel caused.
	Settling []Settling
	// Bisection is the search for the suspects that hurt; nil when there is none.
	Bisection *Bisection
}

// Phase is where a release is in its life.
type Phase int

// The phases of a release that is in the state, and the two in which it leaves it.
const (
	Sealed Phase = iota
	Rolling
	Live
	Abandoned
	Good
)

// Release is how far one release has come.
type Release struct {
	Number, Parent int64
	Phase          Phase
	Cause          edgev1.Manifest_Cause
	// Held says that an operator stopped it; Reason says why, or why it waits or was
	// abandoned.
	Held   bool
	Reason string
	Waves  []Wave
	// StateHash is what a server shows that serves it.
	StateHash wire.StateHash
	SealTime  time.Time
	LiveTime  time.Time
	// ChangeCount is the number of changes; Changes are the changes themselves, which the
	// manifest keeps and the stored state does not.
	ChangeCount int
	Changes     []Change
	// FromRevision and CoveredRevision are the registry revisions before and with it.
	FromRevision, CoveredRevision int64
	// Hurt are the data centers that it hurt, where it was abandoned for that.
	Hurt []string
	// Expedite is the wish that it skip its bakes.
	Expedite Expedite
}

// Change is one document that a release changes. A zero sum is an absent document.
type Change struct {
	Document wire.DocumentID
	Old, New wire.Sum
}

// Expedite is the wish of operators that a release skip its bakes: the first wave's is never
// skipped. It holds once somebody else than the requester approved it.
type Expedite struct {
	Requester, Reason string
	RequestTime       time.Time
	Approver          string
	ApproveTime       time.Time
}

// Wave is one step of a release's rollout.
type Wave struct {
	DataCenters []string
	Bake        time.Duration
	// EnterTime and PassTime are zero before it opened and passed.
	EnterTime, PassTime time.Time
	// Servers are what the gate needs. Once the release is live they are forgotten, and
	// only their numbers are kept: an unsoaked release is written often.
	Servers           []FrozenServer
	Needed, Attesting int
	Losses            []Loss
}

// FrozenServer is one server that a gate needs.
type FrozenServer struct {
	DataCenter, Server, Incarnation string
	// Attested says that it was healthy for the whole bake.
	Attested bool
	// Failure is how it failed where that is tolerated.
	Failure string
}

// Loss is a data center of an open wave that is dark, or as good as dark.
type Loss struct {
	DataCenter string
	Since      time.Time
	// Excused says that the gate goes on without it.
	Excused bool
	// Stuck says that it is not dark, but reports and did not act on the release.
	Stuck bool
}

// Generation is a release that was last known good.
type Generation struct {
	Release   int64
	StateHash wire.StateHash
	GoodTime  time.Time
}

// Origin says why a document is a suspect.
type Origin int

// The origins. Only suspects of harm are bisected.
const (
	OriginHarm Origin = iota + 1
	OriginRollback
	OriginRevert
)

// Suspect is a document that the publisher keeps at its good version wherever the registry
// wants the bad one.
type Suspect struct {
	Document  wire.DocumentID
	Bad, Good wire.Sum
	Release   int64
	// FromRevision is the registry revision that was covered before the release.
	FromRevision int64
	Origin       Origin
	// Chunk is where it is stored and Place its place there; zero for those that are few,
	// which the record has.
	Chunk int64
	Place int
}

// Target is where one data center is told to be.
type Target struct {
	DataCenter string
	Release    int64
	Sequence   int64
	MoveTime   time.Time
	// Joining says that it was set outside of waves and is not yet served.
	Joining bool
	// Joined is when the data center was seen to serve what it joined; soaks begin there.
	Joined time.Time
	// Retry is the earliest time of another attempt to join, after Failures in a row.
	Retry    time.Time
	Failures int
	// Settled is the sequence before which rejections were dealt with.
	Settled int64
}

// Revert is an older release that an operator wants undone.
type Revert struct {
	Release           int64
	Reason, Principal string
	Time              time.Time
}

// Settling is a data center that was hurt, and has until Until to recover.
type Settling struct {
	DataCenter string
	Until      time.Time
	// Servers are the servers that were seen to be back, as they were then.
	Servers []ServerKey
	// Attributed says that a server named the release: recovery then ends the wait.
	Attributed bool
}

// ServerKey is one run of one server.
type ServerKey struct {
	Server, Incarnation string
}

// Bisection is the search for the suspects of a channel that hurt. Its groups cut the first
// suspects of the chain into runs; the first group is tried next.
type Bisection struct {
	Groups []Group
	// Trial numbers the trials of the channel; Release is the trial's release, or zero
	// until the publisher sealed it.
	Trial, Release int64
	// Bake is how long a trial must stay healthy in its first wave.
	Bake time.Duration
	// Hurt counts the trials that hurt.
	Hurt int
	// Exhausted says that the search gave up.
	Exhausted bool
}

// Group is a run of suspects. Hurts says that the group is known to hurt on top of what
// serves, Paired that it is when the group before it passes.
type Group struct {
	Size          int
	Hurts, Paired bool
}

// Clone returns a copy that shares nothing that a step changes.
func (s State) Clone() State {
	s.Chains, s.Troubles = slices.Clone(s.Chains), slices.Clone(s.Troubles)
	for i := range s.Chains {
		s.Chains[i] = s.Chains[i].clone()
	}
	return s
}

func (c Chain) clone() Chain {
	c.Releases = slices.Clone(c.Releases)
	for i := range c.Releases {
		waves := slices.Clone(c.Releases[i].Waves)
		for k := range waves {
			waves[k].DataCenters = slices.Clone(waves[k].DataCenters)
			waves[k].Servers = slices.Clone(waves[k].Servers)
			waves[k].Losses = slices.Clone(waves[k].Losses)
		}
		c.Releases[i].Waves = waves
	}
	c.Generations = slices.Clone(c.Generations)
	c.Targets = slices.Clone(c.Targets)
	c.Reverts = slices.Clone(c.Reverts)
	c.Settling = slices.Clone(c.Settling)
	for i := range c.Settling {
		c.Settling[i].Servers = slices.Clone(c.Settling[i].Servers)
	}
	if c.Bisection != nil {
		b := *c.Bisection
		b.Groups = slices.Clone(b.Groups)
		c.Bisection = &b
	}
	return c
}

// Chain returns the chain of a channel, or nil for one that does not exist.
func (s *State) Chain(c wire.Channel) *Chain {
	for i := range s.Chains {
		if s.Chains[i].Channel == c {
			return &s.Chains[i]
		}
	}
	return nil
}

// Release returns a release of the chain, or nil.
func (c *Chain) Release(n int64) *Release {
	if i := c.index(n); i >= 0 {
		return &c.Releases[i]
	}
	return nil
}

func (c *Chain) index(n int64) int {
	i, ok := slices.BinarySearchFunc(c.Releases, n, func(r Release, n int64) int { return cmp.Compare(r.Number, n) })
	if !ok {
		return -1
	}
	return i
}

// Head is the end of the live chain, or nil before the first release.
func (c *Chain) Head() *Release {
	if len(c.Releases) == 0 {
		return nil
	}
	return &c.Releases[len(c.Releases)-1]
}

// Target returns the target of a data center, or nil.
func (c *Chain) Target(dc string) *Target {
	i, ok := slices.BinarySearchFunc(c.Targets, dc, func(t Target, dc string) int { return cmp.Compare(t.DataCenter, dc) })
	if !ok {
		return nil
	}
	return &c.Targets[i]
}

// open says whether the wave was entered and not passed.
func (w *Wave) open() bool { return !w.EnterTime.IsZero() && w.PassTime.IsZero() }

func (w *Wave) passed() bool { return !w.PassTime.IsZero() }

// wave is the index of the data center's wave, or -1.
func (r *Release) wave(dc string) int {
	return slices.IndexFunc(r.Waves, func(w Wave) bool { return slices.Contains(w.DataCenters, dc) })
}

// openWave is the index of the wave that the release is in, or -1.
func (r *Release) openWave() int {
	return slices.IndexFunc(r.Waves, func(w Wave) bool { return w.open() })
}

// nextWave is the index of the first wave that is not passed, or len(Waves).
func (r *Release) nextWave() int {
	for k := range r.Waves {
		if !r.Waves[k].passed() {
			return k
		}
	}
	return len(r.Waves)
}

// settled says whether the release passed every wave.
func (r *Release) settled() bool { return r.Phase == Live || r.Phase == Good }
