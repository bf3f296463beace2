package edge

import (
	"context"
	"errors"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxFallBacks bounds how many generations a start tries, before it serves nothing and
// waits for a target.
const maxFallBacks = 16

// serveAll hands everything that the store holds to a data plane that has nothing. A
// generation that fails is left for the one before it.
func (a *Agent) serveAll(ctx context.Context) error {
	for range maxFallBacks {
		g := a.fullGeneration()
		if len(g.heads) == 0 {
			break
		}
		err := a.callApply(ctx, g)
		if err == nil {
			a.tookAll(g)
			a.checkHealth(ctx)
			a.state.notify()
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrStuck) {
			return err
		}
		head, why := g.blame(err)
		a.cfg.Logger.Error("edge: what was served cannot be served again", "channel", string(head.Channel),
			"release", head.Release, "error", err)
		if isDamage(err) {
			why = nil
		}
		if err := a.drop(head.Channel, why); err != nil {
			return err
		}
	}
	a.tookAll(&generation{})
	a.state.notify()
	return nil
}

func (a *Agent) fullGeneration() *generation {
	g := &generation{store: a.store, crumb: a.crumb, full: true, releases: map[wire.Channel]int64{}}
	for _, c := range wire.Channels() {
		if head, ok := a.store.Head(c); ok {
			g.heads = append(g.heads, head)
			g.releases[c] = head.Release
		}
	}
	return g
}

// blame says which generation to leave: that of the document which was named, else the
// newest of all.
func (g *generation) blame(err error) (store.Generation, *edgev1.Rejection) {
	head := g.heads[0]
	for _, h := range g.heads {
		if h.Order > head.Order {
			head = h
		}
	}
	r := rejectionOf(err)
	if refused := (*RejectError)(nil); errors.As(err, &refused) {
		c, _ := wire.ChannelOf(refused.Document.Kind)
		for _, h := range g.heads {
			if h.Channel == c {
				head = h
			}
		}
	}
	r.Release, r.TargetSequence = head.Release, head.TargetSequence
	return head, r
}

// drop leaves the newest generation of a channel for the newest whole one before it.
func (a *Agent) drop(c wire.Channel, why *edgev1.Rejection) error {
	if err := a.store.Undo(c, why); err != nil {
		return err
	}
	if err := a.store.FallBack(c); err != nil {
		return err
	}
	if _, left := a.store.Head(c); !left && why == nil {
		if err := a.store.SetLost(c, true); err != nil {
			return err
		}
	}
	a.state.update(func() {
		if why != nil {
			a.state.channels[c].reject(why)
		}
		a.state.channels[c].lost = a.store.Lost(c)
	})
	return nil
}

// tookAll notes that the data plane serves exactly this.
func (a *Agent) tookAll(g *generation) {
	now := a.cfg.Clock.Now()
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = true
	for _, c := range s.channels {
		c.serving, c.applied, c.attested, c.hash = store.Generation{}, now, false, nil
	}
	for _, h := range g.heads {
		s.channels[h.Channel].serving = h
		s.channels[h.Channel].acted = max(s.channels[h.Channel].acted, h.TargetSequence)
	}
}
