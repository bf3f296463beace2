package edgetest

import (
	"context"
	"maps"
	"sync"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Plane is a data plane that keeps what it is given.
type Plane struct {
	mu       sync.Mutex
	docs     Documents
	releases map[wire.Channel]int64
	applies  int
	changes  int
	unwell   error
	before   func(ctx context.Context, g edge.Generation, changes []edge.Change) error
}

// NewPlane returns one that serves nothing yet.
func NewPlane() *Plane { return &Plane{docs: Documents{}, releases: map[wire.Channel]int64{}} }

var _ edge.Applier = (*Plane)(nil)

// Before sets what is called in every Apply, before anything is taken over; its error
// fails the Apply.
func (p *Plane) Before(f func(ctx context.Context, g edge.Generation, changes []edge.Change) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

// Unwell sets what health checks answer.
func (p *Plane) Unwell(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unwell = err
}

// Apply takes all changes over at once.
func (p *Plane) Apply(ctx context.Context, g edge.Generation) error {
	var changes []edge.Change
	for c, err := range g.Changes() {
		if err != nil {
			return err
		}
		changes = append(changes, c)
	}
	p.mu.Lock()
	before := p.before
	p.mu.Unlock()
	if before != nil {
		if err := before(ctx, g, changes); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applies++
	p.changes += len(changes)
	if g.Full() {
		p.docs = Documents{}
	}
	for _, c := range changes {
		if c.Removed {
			delete(p.docs, c.ID)
		} else {
			p.docs[c.ID] = c.Body
		}
	}
	p.releases = maps.Clone(g.Releases())
	return nil
}

// Healthy answers what it was told to.
func (p *Plane) Healthy(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unwell
}

// Serving returns what it serves.
func (p *Plane) Serving() (docs Documents, releases map[wire.Channel]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.docs), maps.Clone(p.releases)
}

// Counts returns how often Apply succeeded, and with how many changes.
func (p *Plane) Counts() (applies, changes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applies, p.changes
}
