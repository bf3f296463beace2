package rollout

import (
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Observation is what the machine sees at one moment.
type Observation struct {
	Now time.Time
	// Fleet is the codes of all data centers that are known, sorted: the last wave of a
	// policy takes those that no other wave names.
	Fleet []string
	// Since is when the observer of reports began to listen. Shortly after it silence
	// means nothing.
	Since time.Time
	// Steady is since when Now has gone on as time does, and was not set; zero for always.
	// What edges are given time for counts from there at the earliest.
	Steady time.Time
	// Servers is what every known server last said, ordered by data center and name.
	Servers []Server
	// Controls is what operators set for data centers, by code.
	Controls map[string]Control
	// Policies is the policy of each channel.
	Policies map[wire.Channel]Policy
	// Sealed is the releases newer than [Chain.LastNumber], by channel, oldest first.
	Sealed map[wire.Channel][]Release
	// Commands is what operators asked, oldest first.
	Commands []Command
	// Quarantines is every quarantine, ordered by ID.
	Quarantines []Quarantine
	// EmptyTrials is the trials that the publisher found nothing to seal for, because the
	// registry moved on.
	EmptyTrials map[wire.Channel]int64
}

// Server is what one server last said.
type Server struct {
	DataCenter, Name, Incarnation string
	// Connected says whether it reports now; LastSeen when it last did.
	Connected bool
	LastSeen  time.Time
	// InOrder says that the run before this one was stopped in order: its end is no crash.
	InOrder bool
	// Healthy is its own check; Detail why it fails.
	Healthy bool
	Detail  string
	// Channels has at most one entry for a channel.
	Channels []ChannelReport
}

// ChannelReport is where a server is with one channel.
type ChannelReport struct {
	Channel        wire.Channel
	Release        int64
	TargetSequence int64
	StateHash      wire.StateHash
	HealthyFor     time.Duration
	Rejections     []Rejection
}

// Rejection is a release that a server refuses to serve.
type Rejection struct {
	Release, TargetSequence int64
	Cause                   edgev1.Rejection_Cause
	// Document is the one at fault; the zero value where it is not known. Sum is its
	// version, if the server said.
	Document wire.DocumentID
	Sum      wire.Sum
	Reason   string
	After    time.Duration
}

// Control is what operators set for a data center.
type Control struct {
	Drained, Pinned bool
}

// Policy is what operators set for a channel.
type Policy struct {
	// Waves name their data centers; the last one takes all that are not named.
	Waves []PolicyWave
	Soak  time.Duration
	// Frozen stops new releases and forward moves.
	Frozen bool
	// ServerTolerance and DataCenterTolerance are how many servers of a wave, and how
	// many data centers of it whole, may fail a gate.
	ServerTolerance, DataCenterTolerance int
	// Patience is how long an open gate waits for a server that reports and does not serve
	// the release; zero for ten times the bake, and at least a minute.
	Patience time.Duration
}

// PolicyWave is one wave of a policy.
type PolicyWave struct {
	DataCenters []string
	Bake        time.Duration
}

// Command is what an operator asked.
type Command struct {
	// ID is the last part of its key.
	ID         string
	Verb       storev1.Command_Verb
	Channel    wire.Channel
	Release    int64
	Quarantine string
	Reason     string
	Principal  string
	// Changes are the changes of Release where it is to be rolled back and is last known
	// good or older; FromRevision is what was covered before it.
	Changes      []Change
	FromRevision int64
}

// Quarantine is one document kept at its last good version.
type Quarantine struct {
	Document     wire.DocumentID
	Channel      wire.Channel
	Release      int64
	FromRevision int64
	Bad, Good    wire.Sum
	Reason       string
	DataCenter   string
	Server       string
	// Retries is how often it was tried again, Retry the earliest time of another try,
	// Trying whether it is being tried.
	Retries int
	Retry   time.Time
	Trying  bool
	// Resting says that also another version has to wait for Retry.
	Resting bool
	// RetriedBy is who asked for the last retry.
	RetriedBy string
	Created   time.Time
}
