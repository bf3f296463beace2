package edge

import (
	"errors"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var (
	// ErrStuck is returned by [Agent.Run] when Apply did not return after its context
	// ended. The release is rejected by then; the server needs to be restarted.
	ErrStuck = errors.New("edge: the data plane does not come back from applying")

	// ErrCrash is for simulations: a Run whose context is cancelled with this cause stops as
	// if the process had been killed, without noting anything on its disk.
	ErrCrash = errors.New("edge: the process is killed")
)

// errReopen says that the store must be opened again, which mends it.
var errReopen = errors.New("edge: the store is damaged")

// unavailable says that something is not there that should be: it is tried again, for a
// while.
type unavailable struct {
	document wire.DocumentID
	sum      wire.Sum
	reason   string
}

func (e *unavailable) Error() string { return "edge: " + e.reason }
