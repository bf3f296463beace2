package edge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// disk is one that may be full.
type disk struct{ full atomic.Bool }

func (d *disk) fault() error {
	if d.full.Load() {
		return &os.PathError{Op: "write", Path: "edge.db", Err: syscall.ENOSPC}
	}
	return nil
}

func newDiskWorld(t *testing.T) (*world, *disk) {
	t.Helper()
	d := &disk{}
	return newWorld(t, func(c *edge.Config) { c.SetFault(d.fault) }), d
}

func (w *world) tells(what string) {
	w.t.Helper()
	w.reports.Await(server, what, func(m *edgev1.ReportRequest) bool { return strings.Contains(m.GetDetail(), what) })
}

func TestDiskFull(t *testing.T) {
	w, d := newDiskWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	d.full.Store(true)
	w.pub.Release(wire.Routine, site("a", "2"))
	w.pub.Target(dc, wire.Routine, 2, 0)
	w.tells("the disk is full")
	w.serves(wire.Routine, 1)
	m := w.reports.Await(server, "health", func(m *edgev1.ReportRequest) bool { return m.GetHealthy() })
	if len(channelOf(m).GetRejections()) != 0 {
		t.Errorf("no release did that: %v", channelOf(m).GetRejections())
	}
	w.pub.Target(dc, wire.Routine, 1, 0) // needs no write
	w.reports.Await(server, "the target", func(m *edgev1.ReportRequest) bool {
		return channelOf(m).GetTargetSequence() == 3 && m.GetDetail() == ""
	})
	w.pub.Target(dc, wire.Routine, 2, 0)
	w.tells("the disk is full")
	d.full.Store(false)
	w.serves(wire.Routine, 2)
	w.reports.Await(server, "no complaint", func(m *edgev1.ReportRequest) bool { return m.GetDetail() == "" })
}

// TestStartOnFullDisk starts on a disk that takes no write, where the process before ended
// while it applied a release.
func TestStartOnFullDisk(t *testing.T) {
	for name, cause := range map[string]error{"crashed": edge.ErrCrash, "stopped": nil} {
		t.Run(name, func(t *testing.T) {
			w, d := newDiskWorld(t)
			w.start()
			w.release(wire.Routine, site("a", "1"))
			w.hold(2, func() { w.pub.Release(wire.Routine, site("a", "2")) })
			w.stop(cause)
			d.full.Store(true)
			w.restart(nil)
			w.tells("the disk is full")
			w.serves(wire.Routine, 1)
			if applies, _ := w.plane.Counts(); applies != 1 {
				t.Errorf("%d applies", applies)
			}
			d.full.Store(false)
			if cause == nil {
				w.serves(wire.Routine, 2)
				return
			}
			w.reports.AwaitRejection(server, wire.Routine, 2)
			w.target(wire.Routine, w.pub.ReleaseOn(wire.Routine, 1, site("b", "1")))
			w.restart(edge.ErrCrash)
			w.serves(wire.Routine, 3)
		})
	}
}

// TestFullWhileRefusing has the disk fill up while the data plane refuses a release: the
// rejection is reported although it cannot be kept, and what comes later is whole.
func TestFullWhileRefusing(t *testing.T) {
	w, d := newDiskWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.plane.Before(func(context.Context, edge.Generation, []edge.Change) error {
		d.full.Store(true)
		return errors.New("no")
	})
	w.pub.Release(wire.Routine, site("a", "2"))
	w.pub.Target(dc, wire.Routine, 2, 0)
	w.reports.AwaitRejection(server, wire.Routine, 2)
	w.plane.Before(nil)
	side := w.pub.ReleaseOn(wire.Routine, 1, site("b", "1"))
	w.pub.Target(dc, wire.Routine, side, 0)
	w.tells("the disk is full")
	d.full.Store(false)
	w.serves(wire.Routine, side)
	w.release(wire.Routine, site("c", "1"))
	w.restart(nil)
	w.serves(wire.Routine, side+1)
}

// TestDataPlanesDiskFull has a data plane that cannot write: no release did that.
func TestDataPlanesDiskFull(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.plane.Before(func(context.Context, edge.Generation, []edge.Change) error {
		return fmt.Errorf("writing: %w", syscall.ENOSPC)
	})
	w.pub.Release(wire.Routine, site("a", "2"))
	w.pub.Target(dc, wire.Routine, 2, 0)
	w.tells("no space left")
	w.serves(wire.Routine, 1)
	w.plane.Before(nil)
	w.serves(wire.Routine, 2)
	if r := w.agent.Status().Channels[wire.Routine].Rejections; len(r) != 0 {
		t.Errorf("rejected: %v", r)
	}
}

// TestNothingLeft damages everything that the agent had, and takes etcd away too.
func TestNothingLeft(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.release(wire.Routine, site("a", "1"))
	w.pub.Base(wire.Routine, 1, 10)
	w.pub.Delete(wire.ReleaseKey(wire.Routine, 1))
	w.stop(nil)
	w.etcd.Stop()
	if err := os.WriteFile(w.cfg.StorePath, []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds a whole file, with nothing in it
		w.restart(nil)
		w.reports.Await(server, "bad health", func(m *edgev1.ReportRequest) bool {
			return !m.GetHealthy() && strings.Contains(m.GetDetail(), "damage left nothing of routine")
		})
		if docs, _ := w.plane.Serving(); len(docs) != 0 {
			t.Errorf("serves %v", docs)
		}
	}
	w.etcd.Start(t)
	w.serves(wire.Urgent, 1)
	w.serves(wire.Routine, 1)
	w.reports.Await(server, "health", func(m *edgev1.ReportRequest) bool { return m.GetHealthy() && m.GetDetail() == "" })
}

func TestStoreCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(w.cfg.StorePath+"-file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.cfg.StorePath += "-file/edge.db"
	w.cfg.Applier = w.plane
	a, err := edge.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil {
		t.Error("no error")
	}
	if err := a.Run(t.Context()); err == nil {
		t.Error("an agent runs twice")
	}
}

// TestListDamagedWhileItServes damages, under a running agent, the record of what it serves:
// it finds that, and fetches what it needs to be whole again.
func TestListDamagedWhileItServes(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.ScrubInterval = 50 * time.Millisecond })
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.release(wire.Routine, site("unmistakable", "2"))
	b, err := os.ReadFile(w.cfg.StorePath)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(w.cfg.StorePath, os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for at, name := 0, []byte("unmistakable"); ; at++ {
		next := bytes.Index(b[at:], name)
		if next < 0 {
			break
		}
		at += next
		if _, err := f.WriteAt([]byte{'U'}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.reports.Await(server, "the store opened again", func(m *edgev1.ReportRequest) bool {
		return m.GetIncarnation() != "start-1.1" && channelOf(m).GetRelease() == 2
	})
	w.serves(wire.Routine, 2)
	if _, err := os.Stat(w.cfg.StorePath + ".damaged"); err != nil {
		t.Error(err)
	}
	w.release(wire.Routine, site("b", "3"))
	w.restart(nil)
	w.serves(wire.Routine, 3)
}
