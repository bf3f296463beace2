package edge

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// maxWayBack bounds how often a move back that was cut short by a crash is tried again.
	maxWayBack = 5
	// maxCrashes is how many crashes in a row make what serves to blame.
	maxCrashes = 3
	// maxGivenUp is how many generations in a row are left for crashes: a server that
	// crashes with all of them crashes for another reason.
	maxGivenUp = 4
)

// lastProcess is what was done about the end of the process before.
type lastProcess struct {
	// done says that nothing is left to do.
	done bool
	// blamed says that a release was refused for the crash, excused that one might have been.
	blamed, excused bool
	// times are the crashes in a row of what serves, once they are counted.
	times map[wire.Channel]int
}

// recall takes over what the store knows, without a write.
func (a *Agent) recall() error {
	a.last = lastProcess{}
	for _, c := range wire.Channels() {
		rejections, err := a.store.Rejections(c)
		if err != nil {
			return fmt.Errorf("edge: start: %w", err)
		}
		a.state.update(func() {
			a.state.channels[c].rejections, a.state.channels[c].lost = rejections, a.store.Lost(c)
		})
	}
	inOrder := a.store.LastStop().Clean && !a.reopened
	a.state.update(func() {
		a.state.incarnation, a.state.inOrder, a.state.serving = a.cfg.NewIncarnation(), inOrder, false
	})
	return nil
}

// takeOver judges how the last process ended. Where the disk takes no write, it is tried
// again: what serves is served meanwhile, but nothing else is begun.
func (a *Agent) takeOver() error {
	if a.last.done {
		return nil
	}
	last := a.store.LastStop()
	crashed := !last.Fresh && !last.Clean && !a.reopened && last.Boot == a.cfg.Boot
	for _, c := range wire.Channels() {
		pending, ok := a.store.Pending(c)
		if !ok {
			continue
		}
		why, back, err := a.judge(c, pending)
		if err != nil {
			return err
		}
		if err := a.store.Undo(c, why); err != nil {
			return fmt.Errorf("edge: start: %w", err)
		}
		if err := a.store.FallBack(c); err != nil {
			return fmt.Errorf("edge: start: %w", err)
		}
		a.last.blamed = a.last.blamed || why != nil
		a.last.excused = a.last.excused || why == nil && !back
		if why != nil {
			a.state.update(func() { a.state.channels[c].reject(why) })
		}
	}
	if crashed && !a.last.blamed {
		if err := a.breakLoop(last); err != nil {
			return fmt.Errorf("edge: start: %w", err)
		}
	}
	if err := a.store.Sweep(); err != nil {
		return fmt.Errorf("edge: start: %w", err)
	}
	if err := a.store.Started(a.cfg.Boot, a.cfg.Clock.Now()); err != nil {
		return fmt.Errorf("edge: start: %w", err)
	}
	a.last.done = true
	return nil
}

// judge says why a generation was found applying: no rejection means for another reason than
// itself. back says that it was a move back.
func (a *Agent) judge(c wire.Channel, pending store.Generation) (why *edgev1.Rejection, back bool, err error) {
	head, some := a.store.Head(c)
	back = some && pending.Release < head.Release
	last := a.store.LastStop()
	if last.Clean || a.reopened {
		return nil, back, nil
	}
	allowed := 0
	switch {
	case back:
		// What is being left is the likelier cause, and to refuse would be to keep it.
		allowed = maxWayBack
	case last.Boot != a.cfg.Boot:
		// The machine started anew: perhaps a power cut, perhaps the release took it down.
		allowed = 1
	case a.store.Crashes() > 0:
		// The process before crashed too, without this release.
		allowed = 1
	}
	if allowed > 0 {
		times, err := a.store.Interrupted(c, pending.Release)
		if err != nil {
			return nil, back, fmt.Errorf("edge: start: %w", err)
		}
		if times <= allowed {
			return nil, back, nil
		}
	}
	why = &edgev1.Rejection{
		Release: pending.Release, TargetSequence: pending.TargetSequence, Cause: edgev1.Rejection_CRASHED,
		Reason: "the server crashed while it applied the release",
	}
	if left, ok := a.crumb.Read(); ok && left.Channel == c && left.Release == pending.Release {
		why.Document, why.Sha256 = left.Document.String(), sumBytes(left.Sum)
		why.Reason = "the server crashed while it had " + why.GetDocument() + " in hand"
	}
	a.cfg.Logger.Error("edge: a release crashed this server", "channel", string(c),
		"release", pending.Release, "document", why.GetDocument())
	return why, back, nil
}

// breakLoop counts a crash against what served, and leaves the newest generation that was
// there at too many of them in a row for the one of the release before it.
func (a *Agent) breakLoop(last store.Stop) error {
	if a.last.times == nil {
		times, err := a.store.Crashed()
		if err != nil {
			return err
		}
		a.last.times = times
	}
	if a.last.excused {
		return nil
	}
	worst, found := a.suspect()
	if !found {
		return nil
	}
	if times, err := a.store.GivenUp(maxCrashes - 1); err != nil || times > maxGivenUp {
		if err == nil {
			a.cfg.Logger.Error("edge: this server crashes whatever it serves, and keeps that now")
		}
		return err
	}
	c, times := worst.Channel, a.last.times[worst.Channel]
	why := &edgev1.Rejection{
		Release: worst.Release, TargetSequence: worst.TargetSequence, Cause: edgev1.Rejection_CRASHED,
		Reason: fmt.Sprintf("the server crashed %d times in a row while it served the release", times),
		After:  durationpb.New(max(a.cfg.Clock.Since(last.Since), time.Millisecond)),
	}
	if err := a.store.Undo(c, why); err != nil {
		return err
	}
	a.state.update(func() { a.state.channels[c].reject(why) })
	a.cfg.Logger.Error("edge: a release crashes this server again and again", "channel", string(c),
		"release", worst.Release, "times", times)
	for {
		if head, ok := a.store.Head(c); !ok || head.Release < worst.Release {
			return a.store.FallBack(c)
		}
		if err := a.store.Undo(c, nil); err != nil {
			return err
		}
	}
}

// suspect returns the newest generation of all, where enough crashes are counted against it:
// one that came after some of the crashes has its own to show first. Where something new
// comes with every start, it returns the newest one that was there for twice as many.
func (a *Agent) suspect() (worst store.Generation, found bool) {
	newest := uint64(0)
	for _, c := range wire.Channels() {
		if head, ok := a.store.Head(c); ok && a.replaceable(head) {
			newest = max(newest, head.Order)
		}
	}
	for c, times := range a.last.times {
		head, ok := a.store.Head(c)
		if !ok || !a.replaceable(head) || found && head.Order < worst.Order {
			continue
		}
		if times >= maxCrashes && head.Order == newest || times >= 2*maxCrashes {
			worst, found = head, true
		}
	}
	return worst, found
}

// replaceable says whether there is anything to go back to.
func (a *Agent) replaceable(head store.Generation) bool {
	_, ok := a.store.Before(head.Channel, head.Release)
	return ok
}

// ask gives a server that crashes in a row a moment to say so, and to hear what it is to
// serve, before it serves again what may end it too soon for either. What the control plane
// took back meanwhile is left at once.
func (a *Agent) ask(ctx context.Context) error {
	if a.store.Crashes() == 0 {
		return nil
	}
	f := a.feed.Load()
	limit := a.cfg.Clock.NewTimer(a.cfg.AskTimeout)
	defer limit.Stop()
	for waiting := true; waiting && (f.Epoch() == 0 || !a.told.Load()); {
		select {
		case <-ctx.Done():
			return nil
		case <-limit.Chan():
			waiting = false
		case <-f.Wake():
		}
	}
	for _, c := range wire.Channels() {
		t, ordered := f.Target(c)
		head, some := a.store.Head(c)
		if !ordered || !some || !a.last.done || t.Release >= head.Release {
			continue
		}
		to, held := a.store.Before(c, head.Release)
		for held && to.Release > t.Release {
			to, held = a.store.Before(c, to.Release)
		}
		if !held || to.Release != t.Release {
			continue // it is applied, as any other order
		}
		for head.Seq != to.Seq {
			if err := a.store.Undo(c, nil); err != nil {
				return err
			}
			if head, some = a.store.Head(c); !some {
				break
			}
		}
		if err := a.store.FallBack(c); err != nil {
			return err
		}
	}
	return nil
}

// lasts ends the row of crashes once this process has served well for long enough.
func (a *Agent) lasts(ctx context.Context) {
	for a.sleep(ctx, a.cfg.CrashWindow) {
		if !a.state.isWell() {
			continue
		}
		if a.endRow() {
			return
		}
	}
}

// endRow forgets crashes, and says whether that worked.
func (a *Agent) endRow() bool {
	some, err := a.store.Lasted()
	switch {
	case err != nil:
		a.cfg.Logger.Warn("edge: crashes stay counted", "error", err)
	case some:
		a.cfg.Logger.Info("edge: crashes until now no longer count")
	}
	return err == nil
}
