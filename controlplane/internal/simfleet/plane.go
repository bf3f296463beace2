package simfleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var errDown = errors.New("simfleet: the server is down")

// served is one document in a data plane's memory, and the bug that it triggered there.
type served struct {
	doc *Document
	bug string
}

// memory is what a data plane serves. A swap of it is what makes an apply atomic.
type memory struct {
	docs     map[wire.DocumentID]served
	releases map[wire.Channel]int64
}

// plane is the data plane of one start of a server.
type plane struct {
	bugs    *Bugs
	decoder *decoder
	clock   clockwork.Clock
	// down ends when the server goes down, for any reason.
	down context.Context //nolint:containedctx // the life of a server, not of a call
	// crash takes the server down as a crash does.
	crash func()

	running sync.WaitGroup

	mu     sync.RWMutex
	memory memory
	// before is what the server served when it went down; empty at the first start.
	before memory
	ill    map[wire.DocumentID]string // served versions with [Unhealthy], by bug
}

var _ edge.Applier = (*plane)(nil)

// bite is a document that triggered a bug.
type bite struct {
	id  wire.DocumentID
	bug Bug
}

// Apply decodes everything, then does what the bugs say, then serves.
func (p *plane) Apply(ctx context.Context, g edge.Generation) error {
	p.running.Add(1)
	defer p.running.Done()
	changed, bites, err := p.decode(g)
	if err != nil {
		return err
	}
	g.InHand(wire.DocumentID{})
	for _, b := range bites {
		switch b.bug.Effect {
		case Crash:
			p.crash()
			<-p.down.Done()
			return errDown
		case Hang:
			<-p.down.Done() // also past the end of ctx: that is the bug
			return errDown
		case Reject, Unhealthy, CrashLater:
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.serve(g, changed)
	for _, b := range bites {
		if b.bug.Effect == CrashLater {
			p.crashLater(b, changed[b.id].doc)
		}
	}
	return nil
}

// decode returns what is new, with nil documents for what is gone.
func (p *plane) decode(g edge.Generation) (map[wire.DocumentID]served, []bite, error) {
	changed := map[wire.DocumentID]served{}
	var bites []bite
	for c, err := range g.Changes() {
		if err != nil {
			return nil, nil, err
		}
		if c.Removed {
			changed[c.ID] = served{}
			continue
		}
		g.InHand(c.ID)
		doc, err := p.decoder.decode(c.ID, c.Sum, c.Body)
		if err != nil {
			return nil, nil, &edge.RejectError{Document: c.ID, Sum: c.Sum, Reason: err.Error()}
		}
		s := served{doc: doc}
		if bug, ok := p.bugs.match(c.ID); ok && p.bites(g, c) {
			if bug.Effect == Reject {
				reason := fmt.Sprintf("bug %s: refused", bug.ID)
				return nil, nil, &edge.RejectError{Document: c.ID, Sum: c.Sum, Reason: reason}
			}
			s.bug = bug.ID
			bites = append(bites, bite{c.ID, bug})
		}
		changed[c.ID] = s
	}
	return changed, bites, nil
}

// bites says whether a matching document triggers bugs, see the package's documentation.
func (p *plane) bites(g edge.Generation, c edge.Change) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	had := p.memory
	if g.Full() {
		if had = p.before; had.docs == nil {
			return false
		}
		if was, ok := had.docs[c.ID]; ok && was.doc.Sum == c.Sum {
			return was.bug != ""
		}
	}
	return g.Releases()[c.Channel] > had.releases[c.Channel]
}

func (p *plane) serve(g edge.Generation, changed map[wire.DocumentID]served) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.Full() || p.memory.docs == nil {
		p.memory.docs = make(map[wire.DocumentID]served, len(changed))
		p.ill = map[wire.DocumentID]string{}
	}
	for id, s := range changed {
		delete(p.ill, id)
		if s.doc == nil {
			delete(p.memory.docs, id)
			continue
		}
		p.memory.docs[id] = s
		if s.bug != "" {
			p.ill[id] = s.bug
		}
	}
	p.memory.releases = maps.Clone(g.Releases())
}

// crashLater takes the server down after a while, if it still serves the document.
func (p *plane) crashLater(b bite, doc *Document) {
	p.running.Go(func() {
		timer := p.clock.NewTimer(max(b.bug.After, time.Millisecond))
		defer timer.Stop()
		select {
		case <-p.down.Done():
			return
		case <-timer.Chan():
		}
		p.mu.RLock()
		still := p.memory.docs[b.id].doc == doc
		p.mu.RUnlock()
		if _, there := p.bugs.Get(b.bug.ID); still && there {
			p.crash()
		}
	})
}

// Healthy fails while a version that makes the server ill serves.
func (p *plane) Healthy(context.Context) error {
	if p.down.Err() != nil {
		return errDown
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for id, name := range p.ill {
		if bug, ok := p.bugs.Get(name); ok && bug.Effect == Unhealthy {
			return fmt.Errorf("bug %s: %s makes the server ill", name, id)
		}
	}
	return nil
}

// serving returns one document.
func (p *plane) serving(id wire.DocumentID) (Document, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s, ok := p.memory.docs[id]
	if !ok {
		return Document{}, false
	}
	return *s.doc, true
}

// leave returns what was served, for the next start of the server, once nothing runs here
// any more.
func (p *plane) leave() memory {
	p.running.Wait()
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.memory.docs == nil {
		return p.before // it went down before it served again
	}
	return p.memory
}
