package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/feed"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// showApplying is how long an apply takes before it is reported as going on.
	showApplying = 50 * time.Millisecond
	// maxReason bounds texts in reports, in bytes.
	maxReason = 500
)

var errTimeout = errors.New("edge: applying did not end in time")

// apply writes the generation as applying, hands it to the data plane, and notes the end.
func (a *Agent) apply(ctx context.Context, c wire.Channel, t feed.Target, p prepared) error {
	f := a.feed.Load()
	cluster, revision, _ := f.Position()
	gen, err := a.store.Begin(store.Next{
		Channel: c, TargetSequence: t.Sequence, Changes: p.way.Changes, State: p.way.State,
		Bodies: p.bodies, Manifests: p.way.Forward, Seen: store.Seen{Cluster: cluster, Revision: revision},
	})
	if err != nil {
		return err
	}
	g := &generation{
		store: a.store, crumb: a.crumb, channel: c, changes: p.way.Changes, bodies: p.bodies,
		releases: map[wire.Channel]int64{c: gen.Release}, heads: []store.Generation{gen},
	}
	for _, other := range wire.Channels() {
		if head, ok := a.store.Head(other); ok && other != c {
			g.releases[other] = head.Release
			g.heads = append(g.heads, head)
		}
	}
	a.setApplying(c, gen.Release)
	err = a.callApply(ctx, g)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // the mark stays: the next start judges it
		}
		return a.undo(c, t, err)
	}
	if err := a.finish(ctx, c); err != nil {
		return err
	}
	delete(a.strict, c)
	f.Done(c, gen.Release, p.bodies)
	before := a.state.read(c).serving.Release
	a.took(c, t, gen)
	a.forgive(c, p.way)
	if gen.Release < before {
		a.endRow() // the control plane took away what it blames
	}
	a.checkHealth(ctx)
	a.state.notify()
	a.kickHealth()
	return nil
}

func (a *Agent) setApplying(c wire.Channel, n int64) {
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	a.state.channels[c].applying = n
}

// callApply calls the data plane under the watchdog.
func (a *Agent) callApply(ctx context.Context, g *generation) error {
	applying, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.cfg.Applier.Apply(applying, g) }()

	limit := a.cfg.Clock.NewTimer(a.cfg.ApplyTimeout)
	defer limit.Stop()
	show := a.cfg.Clock.NewTimer(showApplying)
	defer show.Stop()
	for {
		select {
		case err := <-done:
			if ctx.Err() == nil { // else it may have been cut short, which the next start judges
				a.crumb.Clear()
			}
			return err
		case <-show.Chan():
			a.state.notify()
			continue
		case <-ctx.Done():
		case <-limit.Chan():
		}
		break
	}
	cancel()
	grace := a.cfg.Clock.NewTimer(a.cfg.ApplyGrace)
	defer grace.Stop()
	select {
	case err := <-done:
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errTimeout, err)
		}
		return err
	case <-grace.Chan():
		return fmt.Errorf("%w: %w", errTimeout, ErrStuck)
	}
}

// undo leaves a generation that the data plane did not take.
func (a *Agent) undo(c wire.Channel, t feed.Target, cause error) error {
	if isDamage(cause) || store.NoSpace(cause) {
		// The disk is at fault, not the release.
		a.crumb.Clear()
		a.setApplying(c, 0)
		return errors.Join(cause, a.store.Undo(c, nil))
	}
	r := rejectionOf(cause)
	r.Release, r.TargetSequence = t.Release, t.Sequence
	if left, ok := a.crumb.Read(); ok && r.GetDocument() == "" && left.Channel == c && left.Release == t.Release {
		r.Document, r.Sha256 = left.Document.String(), sumBytes(left.Sum)
	}
	a.crumb.Clear()
	// Also where the disk is full, it is not tried again: the next generation takes the place
	// of this one in the store.
	err := a.store.Undo(c, r)
	a.refused(c, t, r)
	if errors.Is(cause, ErrStuck) {
		return errors.Join(cause, err)
	}
	return err
}

// rejectionOf says why an apply failed, without the release.
func rejectionOf(cause error) *edgev1.Rejection {
	r := &edgev1.Rejection{Cause: edgev1.Rejection_REFUSED, Reason: clip(cause.Error())}
	var refused *RejectError
	switch {
	case errors.As(cause, &refused):
		r.Document, r.Sha256 = refused.Document.String(), sumBytes(refused.Sum)
		r.Reason = clip(refused.Reason)
	case errors.Is(cause, errTimeout):
		r.Cause = edgev1.Rejection_TIMEOUT
	}
	return r
}

// finish notes that the data plane took the generation. It serves by now, so this is tried
// until it works.
func (a *Agent) finish(ctx context.Context, c wire.Channel) error {
	for attempt := 0; ; attempt++ {
		err := a.store.Finish(c)
		if err == nil || a.store.Damaged() {
			return err
		}
		a.cfg.Logger.Error("edge: the store does not take what serves", "channel", string(c), "error", err)
		a.setProblem(err)
		timer := a.cfg.Clock.NewTimer(a.cfg.pause(attempt))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.Chan():
		}
	}
}

// took notes what the data plane serves now.
func (a *Agent) took(c wire.Channel, t feed.Target, gen store.Generation) {
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channels[c]
	gen.Applied = true
	ch.serving, ch.acted, ch.bake = gen, t.Sequence, t.Bake
	ch.applied, ch.attested, ch.applying, ch.hash, ch.lost = a.cfg.Clock.Now(), false, 0, nil, false
	ch.answer(t.Release, t.Sequence)
}

// forgive drops the rejections of what serves now.
func (a *Agent) forgive(c wire.Channel, way *chain.Way) {
	now := a.state.read(c)
	for _, m := range append([]*chain.Manifest{way.Target}, way.Forward...) {
		if now.rejected(m.Number) == nil {
			continue
		}
		if err := a.store.DropRejection(c, m.Number); err != nil {
			a.cfg.Logger.Warn("edge: a rejection that no longer holds stays", "channel", string(c), "release", m.Number, "error", err)
		}
		a.state.update(func() { a.state.channels[c].forget(m.Number) })
	}
}

func sumBytes(s wire.Sum) []byte {
	if s.IsZero() {
		return nil
	}
	return s[:]
}

// clip bounds a text, in whole characters.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxReason {
		return s
	}
	end := 0
	for i := range s {
		if i > maxReason-3 {
			break
		}
		end = i
	}
	return s[:end] + "…"
}
