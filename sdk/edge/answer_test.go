package edge_test

import (
	"context"
	"testing"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// crashAt makes a world that serves the first of two releases, and crashed while it applied
// the second: by chance, for nothing is wrong with that.
func crashAt(t *testing.T, to int64) *world {
	t.Helper()
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.interrupt(to, edge.ErrCrash, func() { w.pub.Release(wire.Routine, site("a", "2")) })
	return w
}

// interrupt ends the process while it applies a release, and starts the next one.
func (w *world) interrupt(to int64, cause error, before func()) {
	w.t.Helper()
	w.hold(to, before)
	w.restart(cause)
}

// hold returns while a release is being applied, which goes on until the process ends.
func (w *world) hold(to int64, before func()) {
	w.t.Helper()
	applying := make(chan struct{})
	w.plane.Before(func(ctx context.Context, g edge.Generation, _ []edge.Change) error {
		if g.Full() {
			return nil
		}
		close(applying)
		<-ctx.Done()
		return ctx.Err()
	})
	before()
	w.pub.Target(dc, wire.Routine, to, 0)
	<-applying
}

// TestAnsweredRejection has a server refuse a release that everybody else serves. Taken
// back by the control plane, it follows later releases that stand on the one it refused.
func TestAnsweredRejection(t *testing.T) {
	w := crashAt(t, 2)
	if r := w.reports.AwaitRejection(server, wire.Routine, 2); r.GetCause() != edgev1.Rejection_CRASHED {
		t.Errorf("rejected as %v", r)
	}
	w.target(wire.Routine, 1) // the answer; nothing needs to be applied for it
	w.reports.Await(server, "the answer", func(m *edgev1.ReportRequest) bool {
		return channelOf(m).GetTargetSequence() == 3
	})
	w.release(wire.Routine, site("b", "1"))
	w.reports.Await(server, "no rejection", func(m *edgev1.ReportRequest) bool {
		return len(channelOf(m).GetRejections()) == 0
	})
	w.restart(nil)
	w.serves(wire.Routine, 3)
	if m := w.reports.Await(server, "a report", func(*edgev1.ReportRequest) bool { return true }); len(channelOf(m).GetRejections()) != 0 {
		t.Errorf("what was forgiven comes back: %v", channelOf(m).GetRejections())
	}
}

// TestDescendantOrderedAgain has no answer but the same order again.
func TestDescendantOrderedAgain(t *testing.T) {
	w := crashAt(t, 2)
	w.reports.AwaitRejection(server, wire.Routine, 2)
	child := w.pub.Release(wire.Routine, site("b", "1"))
	w.pub.Target(dc, wire.Routine, child, 0)
	if r := w.reports.AwaitRejection(server, wire.Routine, child); r.GetCause() != edgev1.Rejection_ANCESTOR {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, 1)
	w.restart(nil)
	w.reports.AwaitRejection(server, wire.Routine, child) // it is kept
	w.target(wire.Routine, child)
}

// TestCrashOnTheWayBack has a server crash while it goes back: it must not refuse to, or it
// would keep what is being undone.
func TestCrashOnTheWayBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	for range 2 {
		w.interrupt(1, edge.ErrCrash, func() {})
		w.serves(wire.Routine, 1)
		w.target(wire.Routine, 2)
	}
	if m := w.agent.Status().Channels[wire.Routine]; len(m.Rejections) != 0 {
		t.Errorf("rejected: %v", m.Rejections)
	}
}
