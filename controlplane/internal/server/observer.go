package server

import (
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
)

// observer shows the fleet to the rollout. Reports are timed by the machine's clock, since
// silence is a matter of seconds; the rollout counts in the time of day, which a
// development server moves. What it sees is therefore as long ago as it really was.
type observer struct {
	fleet        *fleet.Fleet
	machine, day clockwork.Clock
}

var _ rollout.Observer = observer{}

func (o observer) byDay(t time.Time) time.Time { return o.day.Now().Add(-o.machine.Since(t)) }

// Servers implements rollout.Observer.
func (o observer) Servers() []rollout.Server {
	known := o.fleet.Snapshot()
	out := make([]rollout.Server, len(known))
	for i, s := range known {
		out[i] = rollout.ServerFromReport(s.Report, s.Connected, o.byDay(s.LastSeen))
	}
	return out
}

// Since implements rollout.Observer.
func (o observer) Since() time.Time { return o.byDay(o.fleet.Since()) }

// Changed implements rollout.Observer.
func (o observer) Changed() <-chan struct{} { return o.fleet.Changed() }
