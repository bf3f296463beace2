package edge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// cutShort makes a world whose second release is being applied when the process ends with
// the cause, with a document in hand.
func cutShort(t *testing.T, cause error) *world {
	t.Helper()
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	applying := make(chan struct{})
	w.plane.Before(func(ctx context.Context, g edge.Generation, changes []edge.Change) error {
		g.InHand(changes[1].ID)
		close(applying)
		<-ctx.Done()
		return ctx.Err()
	})
	w.pub.Release(wire.Routine, site("a", "2", "b", "1"))
	w.pub.Target(dc, wire.Routine, 2, 0)
	<-applying
	w.stop(cause)
	return w
}

func TestCrashWhileApplying(t *testing.T) {
	w := cutShort(t, edge.ErrCrash)
	w.etcd.Stop() // what crashed is known without any help
	w.restart(nil)
	r := w.reports.AwaitRejection(server, wire.Routine, 2)
	if r.GetCause() != edgev1.Rejection_CRASHED || r.GetDocument() != "site/b" || r.GetTargetSequence() != 2 ||
		string(r.GetSha256()) != sumOf("1") {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, 1)
	w.etcd.Start(t)
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on")) // it follows etcd again
	if applies, _ := w.plane.Counts(); applies != 2 {
		t.Errorf("%d applies: the release is tried again under the same target", applies)
	}
	w.target(wire.Routine, 2) // another target is a new order
}

func TestStopWhileApplying(t *testing.T) {
	w := cutShort(t, nil)
	w.restart(nil)
	w.serves(wire.Routine, 2) // nobody is to blame
}

func TestRebootWhileApplying(t *testing.T) {
	w := cutShort(t, edge.ErrCrash)
	w.cfg.Boot = "boot-2"
	applying := make(chan struct{})
	w.plane = edgetest.NewPlane()
	w.plane.Before(func(ctx context.Context, g edge.Generation, _ []edge.Change) error {
		if g.Full() {
			return nil
		}
		close(applying)
		<-ctx.Done()
		return ctx.Err()
	})
	w.start()
	<-applying // it is tried once more
	w.stop(edge.ErrCrash)
	w.cfg.Boot = "boot-3"
	w.restart(nil)
	if r := w.reports.AwaitRejection(server, wire.Routine, 2); r.GetCause() != edgev1.Rejection_CRASHED {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, 1)
}

func TestWatchdog(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.ApplyTimeout = time.Second })
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.plane.Before(func(ctx context.Context, g edge.Generation, changes []edge.Change) error {
		g.InHand(changes[0].ID)
		<-ctx.Done()
		return ctx.Err()
	})
	w.pub.Release(wire.Routine, site("b", "1"))
	w.pub.Target(dc, wire.Routine, 2, 0)
	r := w.reports.AwaitRejection(server, wire.Routine, 2)
	if r.GetCause() != edgev1.Rejection_TIMEOUT || r.GetDocument() != "site/b" {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, 1)
	w.plane.Before(nil)
	w.target(wire.Routine, w.pub.ReleaseOn(wire.Routine, 1, site("c", "1")))
}

func TestStuck(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.ApplyTimeout, c.ApplyGrace = time.Second, 50*time.Millisecond })
	w.start()
	w.release(wire.Routine, site("a", "1"))
	leave, left := make(chan struct{}), make(chan struct{})
	w.plane.Before(func(context.Context, edge.Generation, []edge.Change) error {
		<-leave
		close(left)
		return errors.New("too late")
	})
	w.pub.Release(wire.Routine, site("a", "2"))
	w.pub.Target(dc, wire.Routine, 2, 0)
	w.wait(edge.ErrStuck)
	close(leave)
	<-left
	w.restart(nil)
	if r := w.reports.AwaitRejection(server, wire.Routine, 2); r.GetCause() != edgev1.Rejection_TIMEOUT {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, 1)
}

// TestRefusedAtStart has a data plane that no longer takes what it once took.
func TestRefusedAtStart(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("b", "2"))
	w.release(wire.Platform, edgetest.Doc(wire.KindApp, "x", "1"))
	w.stop(nil)
	w.plane = edgetest.NewPlane()
	w.plane.Before(func(_ context.Context, _ edge.Generation, changes []edge.Change) error {
		for _, c := range changes {
			if c.ID.ID == "b" {
				return &edge.RejectError{Document: c.ID, Sum: c.Sum, Reason: "no longer"}
			}
		}
		return nil
	})
	w.start()
	w.serves(wire.Routine, 1)
	w.serves(wire.Urgent, 1)
	w.serves(wire.Platform, 1)
	if r := w.reports.AwaitRejection(server, wire.Routine, 2); r.GetDocument() != "site/b" {
		t.Errorf("rejected as %v", r)
	}
}

func TestNothingIsTakenAtStart(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.release(wire.Routine, site("a", "1"))
	w.stop(nil)
	w.plane = edgetest.NewPlane()
	w.plane.Before(func(_ context.Context, g edge.Generation, _ []edge.Change) error {
		if g.Full() {
			return errors.New("no")
		}
		return nil
	})
	w.start()
	w.reports.AwaitRejection(server, wire.Routine, 1)
	w.reports.AwaitRejection(server, wire.Urgent, 1)
	w.target(wire.Routine, 1) // another target is a new order
}

func TestEtcdComesBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	for i := range 3 {
		w.etcd.Stop()
		w.serves(wire.Routine, int64(i+1))
		w.etcd.Start(t)
		w.release(wire.Routine, site("a", fmt.Sprint("again", i)))
	}
	if applies, changes := w.plane.Counts(); applies != 4 || changes != 4 {
		t.Errorf("%d applies with %d changes", applies, changes)
	}
}

// TestCompactionWhileAway compacts the revision that a watch would go on from.
func TestCompactionWhileAway(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.stop(nil)
	for i := range 5 {
		w.pub.Target(dc, wire.Routine, w.pub.Release(wire.Routine, site("a", fmt.Sprint("b", i))), 0)
	}
	compact(w)
	w.restart(nil)
	w.serves(wire.Routine, 6)

	// While it watches, over a stop of etcd: the watch resumes below the compaction.
	w.etcd.Stop()
	w.etcd.Start(t)
	w.pub.Target(dc, wire.Routine, w.pub.Release(wire.Routine, site("a", "c")), 0)
	compact(w)
	w.serves(wire.Routine, 7)
	w.release(wire.Routine, site("a", "d"))
}

func compact(w *world) {
	w.t.Helper()
	resp, err := w.etcd.Client().Get(w.t.Context(), "x")
	if err == nil {
		_, err = w.etcd.Client().Compact(w.t.Context(), resp.Header.GetRevision(), clientv3.WithCompactPhysical())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRestoredBackup puts an older state of etcd in place, whose numbers are then given
// again to other releases.
func TestRestoredBackup(t *testing.T) {
	for name, running := range map[string]bool{"running": true, "stopped": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			w.release(wire.Routine, site("a", "1"))
			w.release(wire.Routine, site("a", "2", "b", "1"))
			backup := w.etcd.Snapshot(t)
			w.release(wire.Routine, site("a", "3"))
			w.release(wire.Routine, site("a", "4", "c", "lost"))
			if !running {
				w.stop(nil)
			}
			w.etcd.Restore(t, backup)
			w.pub.Rewind(wire.Routine, 2)
			if !running {
				w.restart(nil)
			}
			w.serves(wire.Routine, 2) // the restored target says so
			w.release(wire.Routine, site("b", "other"))
			n := w.release(wire.Routine, site("b", "-", "d", "new"))
			if n != 4 {
				t.Fatalf("release %d", n)
			}
		})
	}
}

// TestSameNumberOfAnotherRelease has the restored cluster name the number that serves,
// for another release.
func TestSameNumberOfAnotherRelease(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	backup := w.etcd.Snapshot(t)
	w.release(wire.Routine, site("a", "2"))
	w.stop(nil)
	w.etcd.Restore(t, backup)
	w.pub.Rewind(wire.Routine, 1)
	other := w.pub.Release(wire.Routine, site("a", "other", "b", "x"))
	w.pub.Target(dc, wire.Routine, other, 0)
	w.restart(nil)
	w.reports.Await(server, "the other release", func(m *edgev1.ReportRequest) bool {
		want := w.pub.StateHash(wire.Routine, other)
		return string(edgetest.Channel(m, wire.Routine).GetStateHash()) == string(want[:])
	})
	w.serves(wire.Routine, other)
}

// TestLostCluster has another, empty cluster in place: what serves goes on serving, until
// the new one says something.
func TestLostCluster(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("a", "2"))
	w.etcd.Reset(t)
	w.pub.Rewind(wire.Routine, 0)
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.serves(wire.Routine, 2)
	w.release(wire.Routine, site("z", "new"))
	w.release(wire.Routine, site("y", "new"))
}

// TestDamagedStore damages the file of an agent that is down.
func TestDamagedStore(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"cut in half":  func(b []byte) []byte { return b[:len(b)/2] },
		"cut to a bit": func(b []byte) []byte { return b[:100] },
		"empty":        func([]byte) []byte { return nil },
		"no database":  func([]byte) []byte { return []byte("this is not a database") },
		"zeros":        func(b []byte) []byte { return make([]byte, len(b)) },
		"a page": func(b []byte) []byte {
			for i := 4 * os.Getpagesize(); i < 5*os.Getpagesize() && i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			w.release(wire.Routine, site("a", "1"))
			w.release(wire.Routine, site("a", "2"))
			w.stop(nil)
			b, err := os.ReadFile(w.cfg.StorePath)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(w.cfg.StorePath, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			w.restart(nil)
			w.serves(wire.Routine, 2)
			w.release(wire.Routine, site("a", "3"))
		})
	}
}
