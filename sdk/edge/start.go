package edge

import (
	"context"
	"errors"
	"fmt"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxFallBacks bounds how many generations a start tries, before it serves nothing and
// waits for a target.
const maxFallBacks = 16

// maxWayBack bounds how often a move back that was cut short by a crash is tried again.
const maxWayBack = 5

// takeOver judges how the last process ended, and takes over what the store holds.
func (a *Agent) takeOver() error {
	for _, c := range wire.Channels() {
		if pending, ok := a.store.Pending(c); ok {
			why, err := a.judge(c, pending)
			if err != nil {
				return err
			}
			if err := a.store.Undo(c, why); err != nil {
				return fmt.Errorf("edge: start: %w", err)
			}
			if err := a.store.FallBack(c); err != nil {
				return fmt.Errorf("edge: start: %w", err)
			}
		}
		rejections, err := a.store.Rejections(c)
		if err != nil {
			return fmt.Errorf("edge: start: %w", err)
		}
		a.state.update(func() { a.state.channels[c].rejections = rejections })
	}
	if err := a.store.Sweep(); err != nil {
		return fmt.Errorf("edge: start: %w", err)
	}
	a.state.update(func() { a.state.incarnation, a.state.serving = a.cfg.NewIncarnation(), false })
	return a.store.Started(a.cfg.Boot)
}

// judge says why a generation was found applying: nil means for another reason than
// itself. It is the place of the crash guard.
func (a *Agent) judge(c wire.Channel, pending store.Generation) (*edgev1.Rejection, error) {
	last := a.store.LastStop()
	if last.Clean || a.reopened {
		return nil, nil //nolint:nilnil // no rejection, and no error
	}
	// Where the machine started anew, it was perhaps a power cut, perhaps the release. On
	// the way back it was most likely what is being left, and refusing would keep that.
	allowed := 0
	if last.Boot != a.cfg.Boot {
		allowed = 1
	}
	if head, ok := a.store.Head(c); ok && pending.Release < head.Release {
		allowed = maxWayBack
	}
	if allowed > 0 {
		times, err := a.store.Interrupted(c, pending.Release)
		if err != nil {
			return nil, fmt.Errorf("edge: start: %w", err)
		}
		if times <= allowed {
			return nil, nil //nolint:nilnil // no rejection, and no error
		}
	}
	r := &edgev1.Rejection{
		Release: pending.Release, TargetSequence: pending.TargetSequence, Cause: edgev1.Rejection_CRASHED,
		Reason: "the server crashed while it applied the release",
	}
	if left, ok := a.crumb.Read(); ok && left.Channel == c && left.Release == pending.Release {
		r.Document, r.Sha256 = left.Document.String(), sumBytes(left.Sum)
		r.Reason = "the server crashed while it had " + r.GetDocument() + " in hand"
	}
	a.cfg.Logger.Error("edge: a release crashed this server", "channel", string(c),
		"release", pending.Release, "document", r.GetDocument())
	return r, nil
}

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
	if why != nil {
		a.state.update(func() { a.state.channels[c].reject(why) })
	}
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
