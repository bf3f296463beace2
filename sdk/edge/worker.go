package edge

import (
	"context"
	"errors"
	"slices"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/feed"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// worker is what only the goroutine of [Agent.work] touches.
type worker struct {
	// epoch is the feed's of the last round. strict are the channels whose release must be
	// compared by more than its number, see [feed.Feed.Epoch].
	epoch  int
	strict map[wire.Channel]bool
	// attempts counts failures in a row.
	attempts int
	// waiting is since when a target cannot be acted on, because something is missing.
	waiting map[wire.Channel]wait
}

type wait struct {
	target feed.Target
	since  time.Time
}

func newWorker() worker {
	return worker{strict: map[wire.Channel]bool{}, waiting: map[wire.Channel]wait{}}
}

// work serves what the store holds and then acts on targets, one channel at a time.
func (a *Agent) work(ctx context.Context) error {
	if err := a.ask(ctx); err != nil {
		a.cfg.Logger.Error("edge: an order back waits", "error", err)
	}
	for attempt := 0; ; attempt++ {
		err := a.serveAll(ctx)
		if errors.Is(err, ErrStuck) || ctx.Err() != nil {
			return err
		}
		if a.store.Damaged() {
			return errors.Join(errReopen, err)
		}
		if err == nil {
			break
		}
		a.cfg.Logger.Error("edge: nothing serves yet; trying again", "error", err)
		a.setProblem(err)
		if !a.sleep(ctx, a.cfg.pause(attempt)) {
			return ctx.Err()
		}
	}
	f := a.feed.Load()
	for {
		err := a.round(ctx)
		if errors.Is(err, ErrStuck) || ctx.Err() != nil {
			return err
		}
		if a.store.Damaged() {
			return errors.Join(errReopen, err)
		}
		a.setProblem(err)
		if err == nil {
			a.attempts = 0
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-f.Wake():
			}
			continue
		}
		a.cfg.Logger.Warn("edge: trying again", "error", err)
		timer := a.cfg.Clock.NewTimer(a.cfg.pause(a.attempts))
		a.attempts++
		select {
		case <-ctx.Done():
		case <-f.Wake():
		case <-timer.Chan():
		}
		timer.Stop()
	}
}

func (a *Agent) setProblem(err error) {
	text := ""
	if err != nil {
		text = clip(err.Error())
	}
	s := a.state
	s.mu.Lock()
	same := s.problem == text
	s.problem = text
	s.mu.Unlock()
	if !same {
		s.notify()
	}
}

// round acts on every channel's target. Its error is that of what has to be tried again.
func (a *Agent) round(ctx context.Context) error {
	if err := a.takeOver(); err != nil {
		return err
	}
	if a.lost.Swap(false) {
		a.state.update(func() {
			a.state.incarnation, a.state.inOrder = a.cfg.NewIncarnation(), false
			a.state.serving, a.state.healthy = false, false
		})
		if err := a.serveAll(ctx); err != nil {
			return err
		}
	}
	if err := a.forgetEnded(); err != nil {
		return err
	}
	if epoch := a.feed.Load().Epoch(); epoch != a.epoch {
		a.epoch = epoch
		for _, c := range wire.Channels() {
			a.strict[c] = true
		}
	}
	var failed error
	for _, c := range wire.Channels() {
		if err := a.act(ctx, c); err != nil {
			if errors.Is(err, ErrStuck) || ctx.Err() != nil {
				return err
			}
			failed = errors.Join(failed, err)
		}
	}
	if failed == nil && a.epoch > 0 {
		return a.findNothing()
	}
	return failed
}

// findNothing ends the search for what was lost of channels that etcd knows no target of.
func (a *Agent) findNothing() error {
	for _, c := range wire.Channels() {
		if _, ok := a.feed.Load().Target(c); ok || !a.state.read(c).lost {
			continue
		}
		if err := a.store.SetLost(c, false); err != nil {
			return err
		}
		a.state.update(func() { a.state.channels[c].lost = false })
	}
	return nil
}

// forgetEnded drops the rejections of releases that were abandoned, but for one that the
// target still names: it would be tried again.
func (a *Agent) forgetEnded() error {
	named := map[ending]bool{}
	for _, c := range wire.Channels() {
		t, _ := a.feed.Load().Target(c)
		named[ending{c, t.Release}] = true
	}
	a.mu.Lock()
	var ended []ending
	a.ended = slices.DeleteFunc(a.ended, func(e ending) bool {
		if !named[e] {
			ended = append(ended, e)
		}
		return !named[e]
	})
	a.mu.Unlock()
	for i, e := range ended {
		if err := a.store.DropRejection(e.channel, e.release); err != nil {
			a.mu.Lock()
			a.ended = append(a.ended, ended[i:]...)
			a.mu.Unlock()
			return err
		}
		a.state.update(func() { a.state.channels[e.channel].forget(e.release) })
	}
	return nil
}

// act brings a channel to its newest target.
func (a *Agent) act(ctx context.Context, c wire.Channel) error {
	f := a.feed.Load()
	t, ok := f.Target(c)
	if !ok {
		return nil
	}
	now := a.state.read(c)
	if a.settled(c, now, t) {
		return nil
	}
	if !t.Current {
		if err := f.Confirm(ctx); err != nil {
			return err
		}
		if t, _ = f.Target(c); a.settled(c, now, t) {
			return nil
		}
	}
	if now.serving.Seq > 0 && t.Release == now.serving.Release {
		if same, err := a.compare(ctx, c, now); err != nil || same {
			if err == nil {
				a.acted(c, t)
			}
			return a.conclude(c, t, err)
		}
	}
	p, err := a.prepare(ctx, c, now, t)
	if err == nil {
		err = a.apply(ctx, c, t, p)
	}
	return a.conclude(c, t, err)
}

// compare says whether the release that etcd has is the one that serves under its number.
// Where it has none, nothing says otherwise, and the question stays open.
func (a *Agent) compare(ctx context.Context, c wire.Channel, now channel) (bool, error) {
	m, err := newSources(a, c, now.serving.Release, true).offered(ctx, now.serving.Release)
	switch {
	case errors.Is(err, chain.ErrMissing):
		return true, nil
	case err != nil:
		return false, err
	case m.Digest != now.serving.Digest:
		return false, nil
	}
	delete(a.strict, c)
	return true, nil
}

// settled says whether there is nothing to do for a target: it serves, or was refused.
func (a *Agent) settled(c wire.Channel, now channel, t feed.Target) bool {
	serves := now.serving.Seq > 0 && now.serving.Release == t.Release && !a.strict[c]
	r := now.rejected(t.Release)
	if !serves && (r == nil || r.GetTargetSequence() < t.Sequence) {
		return false
	}
	a.acted(c, t)
	return true
}

// acted notes the target, where it is not noted yet.
func (a *Agent) acted(c wire.Channel, t feed.Target) {
	delete(a.waiting, c)
	s := a.state
	s.mu.Lock()
	ch := s.channels[c]
	same := ch.acted == t.Sequence && ch.bake == t.Bake
	if !same {
		if ch.bake != t.Bake {
			ch.attested = false
		}
		ch.acted, ch.bake = t.Sequence, t.Bake
		ch.answer(t.Release, t.Sequence)
	}
	s.mu.Unlock()
	if !same {
		s.notify()
		a.kickHealth()
	}
}

// conclude turns what went wrong into a rejection, or into an error that is tried again.
func (a *Agent) conclude(c wire.Channel, t feed.Target, err error) error {
	var (
		bad     *chain.CorruptError
		missing *unavailable
		already *rejectedError
	)
	switch {
	case err == nil:
		delete(a.waiting, c)
		return nil
	case errors.As(err, &already):
		// The store has it.
		delete(a.waiting, c)
		return nil
	case errors.As(err, &bad):
		r := &edgev1.Rejection{Cause: edgev1.Rejection_CORRUPT, Reason: clip(bad.Error())}
		if bad.Document != (wire.DocumentID{}) {
			r.Document, r.Sha256 = bad.Document.String(), sumBytes(bad.Sum)
		}
		return a.refuse(c, t, r)
	case errors.As(err, &missing):
		w, ok := a.waiting[c]
		if !ok || w.target.Release != t.Release || w.target.Sequence != t.Sequence {
			w = wait{target: t, since: a.cfg.Clock.Now()}
			a.waiting[c] = w
		}
		if a.cfg.Clock.Since(w.since) < a.cfg.ApplyTimeout {
			return err
		}
		r := &edgev1.Rejection{Cause: edgev1.Rejection_CORRUPT, Reason: clip(missing.Error())}
		if missing.document != (wire.DocumentID{}) {
			r.Document, r.Sha256 = missing.document.String(), sumBytes(missing.sum)
		}
		return a.refuse(c, t, r)
	}
	return err
}

// refuse keeps a rejection of a release that was not begun.
func (a *Agent) refuse(c wire.Channel, t feed.Target, r *edgev1.Rejection) error {
	r.Release, r.TargetSequence = t.Release, t.Sequence
	err := a.store.PutRejection(c, r)
	a.refused(c, t, r)
	return err
}

// refused notes a rejection. The store has it, unless the disk is full.
func (a *Agent) refused(c wire.Channel, t feed.Target, r *edgev1.Rejection) {
	a.cfg.Logger.Warn("edge: a release is refused", "channel", string(c), "release", r.GetRelease(),
		"cause", r.GetCause().String(), "document", r.GetDocument(), "reason", r.GetReason())
	delete(a.waiting, c)
	a.state.update(func() {
		ch := a.state.channels[c]
		ch.reject(r)
		ch.answer(t.Release, t.Sequence)
		ch.acted, ch.applying = t.Sequence, 0
	})
}
