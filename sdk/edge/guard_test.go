package edge_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// crash ends the process as a crash does, some times, each time once it serves a release.
func (w *world) crash(times int, c wire.Channel, n int64) {
	w.t.Helper()
	for range times {
		w.serves(c, n)
		w.restart(edge.ErrCrash)
	}
}

func TestCrashLoop(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.AskTimeout = 50 * time.Millisecond })
	w.start()
	shield := w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "off"))
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	w.etcd.Stop() // what crashes it is known without any help
	w.crash(3, wire.Routine, 2)
	w.serves(wire.Routine, 1)
	r := w.reports.AwaitRejection(server, wire.Routine, 2)
	if r.GetCause() != edgev1.Rejection_CRASHED || r.GetTargetSequence() != 2 || r.GetAfter().AsDuration() <= 0 {
		t.Errorf("rejected as %v", r)
	}

	// It was not that: the next crash is blamed on the next newest.
	w.crash(1, wire.Urgent, shield+1)
	w.serves(wire.Urgent, shield)
	w.reports.AwaitRejection(server, wire.Urgent, shield+1)
	w.etcd.Start(t)
	w.release(wire.Platform, edgetest.Doc(wire.KindApp, "x", "1")) // it follows etcd again
	w.serves(wire.Routine, 1)
	w.target(wire.Routine, 2) // another target is a new order
}

// TestNewestHasItsOwnCrashes has something new come after crashes: what was there before is
// not blamed for one more, until there are many.
func TestNewestHasItsOwnCrashes(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	shield := w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "0"))
	for _, body := range []string{"1", "2", "3", "4", "5", "6"} {
		w.serves(wire.Routine, 2)
		shield = w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", body))
		w.crash(1, wire.Urgent, shield)
	}
	w.serves(wire.Routine, 1)
	w.serves(wire.Urgent, shield)
	if r := w.reports.AwaitRejection(server, wire.Routine, 2); r.GetCause() != edgev1.Rejection_CRASHED {
		t.Errorf("rejected as %v", r)
	}
}

// TestTrialsEndTheRow has the control plane try releases that crash the server, one after the
// other, and take each back: nothing else is to blame.
func TestTrialsEndTheRow(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "0"))
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "1"))
	base := w.release(wire.Routine, site("a", "1"))
	for i := range 7 {
		trial := w.pub.ReleaseOn(wire.Routine, base, site(fmt.Sprint("t", i), "1"))
		w.target(wire.Routine, trial)
		w.crash(1, wire.Routine, trial)
		w.pub.Abandon(wire.Routine, trial)
		w.target(wire.Routine, base)
	}
	w.serves(wire.Urgent, 2)
}

// TestHearsBeforeItServes has a server that lives too short to hear an order, and hears it
// before it serves.
func TestHearsBeforeItServes(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.AskTimeout = time.Minute })
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	w.release(wire.Routine, site("a", "3"))
	w.stop(edge.ErrCrash)
	w.pub.Target(dc, wire.Routine, 1, 0)
	w.plane = edgetest.NewPlane()
	var served atomic.Int64
	w.plane.Before(func(_ context.Context, g edge.Generation, _ []edge.Change) error {
		served.CompareAndSwap(0, g.Releases()[wire.Routine])
		return nil
	})
	w.start()
	w.serves(wire.Routine, 1)
	if n := served.Load(); n != 1 {
		t.Errorf("release %d was served first", n)
	}
	w.reports.Await(server, "the target", func(m *edgev1.ReportRequest) bool { return channelOf(m).GetTargetSequence() == 4 })
	w.target(wire.Routine, 3) // forward again
}

// TestCrashLoopEnds has a server that crashes whatever it serves.
func TestCrashLoopEnds(t *testing.T) {
	w := newWorld(t)
	w.start()
	for _, body := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		w.release(wire.Routine, site("a", body))
	}
	for n := int64(7); n > 3; n-- {
		w.crash(3, wire.Routine, n)
	}
	w.crash(5, wire.Routine, 3)
	w.serves(wire.Routine, 3)
	if n := len(w.agent.Status().Channels[wire.Routine].Rejections); n != 4 {
		t.Errorf("%d rejections", n)
	}
	if _, releases := w.plane.Serving(); releases[wire.Routine] != 3 {
		t.Errorf("serves %v", releases)
	}
}

// TestFirstReleaseIsKept has a crash loop with nothing to go back to.
func TestFirstReleaseIsKept(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.crash(4, wire.Routine, 1)
	w.serves(wire.Routine, 1)
}

// TestLastingEndsTheRow has crashes that are far apart.
func TestLastingEndsTheRow(t *testing.T) {
	seen := &lines{found: make(chan struct{}, 10), what: "no longer count"}
	w := newWorld(t, func(c *edge.Config) {
		c.CrashWindow = 50 * time.Millisecond
		c.Logger = slog.New(slog.NewTextHandler(seen, nil))
	})
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	for range 4 {
		w.crash(1, wire.Routine, 2)
		select {
		case <-seen.found:
		case <-time.After(time.Minute):
			t.Fatal("no process lasts")
		}
	}
	w.serves(wire.Routine, 2)
}

// lines tells when a line is written that has a text.
type lines struct {
	mu    sync.Mutex
	what  string
	found chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(p, []byte(l.what)) {
		l.found <- struct{}{}
	}
	return len(p), nil
}

// TestCrashLoopIsNotTheReleaseInHand has a server that crashes again while it happens to
// apply something: that is tried once more before it is blamed.
func TestCrashLoopIsNotTheReleaseInHand(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	w.crash(1, wire.Routine, 2)
	w.serves(wire.Routine, 2)
	w.interrupt(3, edge.ErrCrash, func() { w.pub.Release(wire.Routine, site("a", "3")) })
	w.serves(wire.Routine, 3)
	if r := w.agent.Status().Channels[wire.Routine].Rejections; len(r) != 0 {
		t.Errorf("rejected: %v", r)
	}
}

// TestPowerCuts does not take starts of the machine for crashes of the process.
func TestPowerCuts(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	for i := range 4 {
		w.cfg.Boot = "boot-" + strings.Repeat("x", i+1)
		w.crash(1, wire.Routine, 2)
	}
	w.serves(wire.Routine, 2)
}
