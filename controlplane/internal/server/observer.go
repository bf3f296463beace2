package server

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rollout"
)

// observer shows the fleet to the rollout. Reports are timed by the machine's clock, since
// silence is a matter of seconds; the rollout counts in the time of day, which a
// development server moves, and which an operator may set. What it sees is therefore as long
// ago as it really was.
type observer struct {
	fleet        *fleet.Fleet
	machine, day clockwork.Clock

	mu sync.Mutex
	// lastDay and lastMachine are the two clocks when they were compared last.
	lastDay, lastMachine time.Time
	steady               time.Time
}

var _ rollout.Observer = (*observer)(nil)

func newObserver(f *fleet.Fleet, machine, day clockwork.Clock) *observer {
	o := &observer{fleet: f, machine: machine, day: day}
	o.lastDay, o.lastMachine = o.now()
	return o
}

// now reads both clocks. Without a monotonic reading, the time of day is what people set.
func (o *observer) now() (day, machine time.Time) { return o.day.Now().Round(0), o.machine.Now() }

func (o *observer) byDay(t time.Time) time.Time { return o.day.Now().Add(-o.machine.Since(t)) }

// Servers implements rollout.Observer.
func (o *observer) Servers() []rollout.Server {
	known := o.fleet.Snapshot()
	out := make([]rollout.Server, len(known))
	for i, s := range known {
		out[i] = rollout.ServerFromReport(s.Report, s.Connected, o.byDay(s.LastSeen))
	}
	return out
}

// Since implements rollout.Observer.
func (o *observer) Since() time.Time { return o.byDay(o.fleet.Since()) }

// jump is by how much the time of day must differ from the machine's to have been set: slower
// corrections are a matter of course.
const jump = time.Second

// Steady implements rollout.Observer. It compares the clocks whenever it is asked.
func (o *observer) Steady() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	day, machine := o.now()
	if moved := day.Sub(o.lastDay) - machine.Sub(o.lastMachine); moved.Abs() > jump {
		o.steady = day
	}
	o.lastDay, o.lastMachine = day, machine
	return o.steady
}

// Changed implements rollout.Observer.
func (o *observer) Changed() <-chan struct{} { return o.fleet.Changed() }
