package rollout

import (
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Action is something to be made true together with the state of its step.
type Action interface{ action() }

// SetTarget tells a data center where to be. Those of one step are in the order in which
// they matter: data centers that were hurt first.
type SetTarget struct {
	Channel    wire.Channel
	DataCenter string
	Release    int64
	Sequence   int64
	// Bake is how long the release bakes there; zero for a move back.
	Bake time.Duration
	// Back says that the move is no move forward.
	Back bool
}

// Abandon marks releases as dead for ever, oldest first, and moves the channel's head back.
type Abandon struct {
	Channel  wire.Channel
	Releases []int64
	// Head is the new end of the live chain and Cursor what it covers.
	Head, Cursor int64
	Reason       string
}

// PutQuarantine writes a quarantine.
type PutQuarantine struct{ Quarantine Quarantine }

// RemoveQuarantine ends a quarantine: another version of the document is live.
type RemoveQuarantine struct{ Document wire.DocumentID }

// ReleaseSuspects says that suspects were let go, so that the publisher looks again.
type ReleaseSuspects struct {
	Channel  wire.Channel
	Suspects []Suspect
}

// RemoveCommand removes an operator's command, which is done with this step.
type RemoveCommand struct{ ID string }

// Archive writes the final progress of a release that leaves the state.
type Archive struct {
	Channel wire.Channel
	Release Release
}

// IncidentKind says what happened.
type IncidentKind int

// The kinds.
const (
	IncidentRollback IncidentKind = iota + 1
	IncidentQuarantine
	IncidentDataCenterLost
	IncidentSilence
	IncidentBisectionExhausted
	IncidentCorrupt
)

// Incident tells the world. It is a fact for others to act on, and nothing depends on it.
type Incident struct {
	Kind        IncidentKind
	Channel     wire.Channel
	Release     int64
	DataCenters []string
	Detail      string
}

func (SetTarget) action()        {}
func (Abandon) action()          {}
func (PutQuarantine) action()    {}
func (RemoveQuarantine) action() {}
func (ReleaseSuspects) action()  {}
func (RemoveCommand) action()    {}
func (Archive) action()          {}
func (Incident) action()         {}
