package edge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

var site = func(pairs ...string) edgetest.Documents { return edgetest.Doc(wire.KindSite, pairs...) }

func TestConfig(t *testing.T) {
	_, err := edge.New(edge.Config{})
	for _, field := range []string{"DataCenter", "Server", "Etcd", "Trust", "StorePath", "Applier"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestForwardBackSideways(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.NoSync = false })
	w.start()
	one := w.release(wire.Routine, site("a", "1", "b", "1"))
	two := w.release(wire.Routine, site("a", "2", "c", "1"))
	w.pub.Release(wire.Routine, site("a", "3"))
	four := w.pub.Release(wire.Routine, site("b", "-", "d", "1"))
	w.target(wire.Routine, four) // two at once
	w.target(wire.Routine, two)  // back
	w.target(wire.Routine, four) // forward again, by what the store has
	side := w.pub.ReleaseOn(wire.Routine, two, site("c", "side", "e", "1"))
	w.target(wire.Routine, side) // by the common ancestor
	w.target(wire.Routine, one)
	shield := w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.serves(wire.Urgent, shield)
	w.serves(wire.Routine, one)
	if applies, changes := w.plane.Counts(); applies != 8 || changes > 24 {
		t.Errorf("%d applies with %d changes: an apply sees more than what changed", applies, changes)
	}
	w.restart(nil)
	w.serves(wire.Routine, one)
	w.serves(wire.Urgent, shield)
}

func TestEmptyRelease(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Platform, nil)
	w.release(wire.Platform, edgetest.Doc(wire.KindApp, "x", "1"))
	w.release(wire.Platform, nil)
}

func TestNothingIsDecodedBeforeItsTarget(t *testing.T) {
	w := newWorld(t)
	w.start()
	one := w.release(wire.Routine, site("a", "1"))
	w.pub.Put(wire.ReleaseKey(wire.Routine, one+1), []byte("no manifest at all"))
	w.pub.Put(wire.BlobKey(wire.SumOf([]byte("x"))), []byte("another document"))
	w.pub.Put(wire.EdgePrefix+"future/thing", []byte("of another version"))
	shield := w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on")) // comes after all that
	w.serves(wire.Urgent, shield)
	w.serves(wire.Routine, one)
	if len(w.agent.Status().Channels[wire.Routine].Rejections) != 0 {
		t.Error("a release without a target is rejected")
	}
	w.pub.Target(dc, wire.Routine, one+1, 0)
	if r := w.reports.AwaitRejection(server, wire.Routine, one+1); r.GetCause() != edgev1.Rejection_CORRUPT {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, one)
}

func TestBadTargetsAreIgnored(t *testing.T) {
	w := newWorld(t)
	w.start()
	one := w.release(wire.Routine, site("a", "1"))
	w.pub.Put(wire.TargetKey(dc, wire.Routine), []byte("\xff\xff"))
	w.pub.Put(wire.TargetKey(dc, wire.Urgent), nil)
	w.pub.Delete(wire.TargetKey(dc, wire.Routine))
	w.release(wire.Platform, edgetest.Doc(wire.KindApp, "x", "1"))
	w.serves(wire.Routine, one)
}

func TestBootstrapFromBase(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.pub.Release(wire.Routine, site("a", fmt.Sprint(i), fmt.Sprintf("doc-%d", i), "x"))
	}
	w.pub.Base(wire.Routine, 8, 3)
	w.pub.Delete(wire.ReleasePrefix(wire.Routine), clientv3.WithRange(wire.ReleaseKey(wire.Routine, 8)))
	w.start()
	w.target(wire.Routine, 10)

	// Another server was down for too long: its way is gone, and a base leads past it.
	w.stop(nil)
	for i := range 10 {
		w.pub.Release(wire.Routine, site("a", fmt.Sprint("again", i), fmt.Sprintf("doc-%d", i), "-"))
	}
	w.pub.Base(wire.Routine, 19, 1000)
	w.pub.Delete(wire.ReleasePrefix(wire.Routine), clientv3.WithRange(wire.ReleaseKey(wire.Routine, 19)))
	w.restart(nil)
	w.target(wire.Routine, 20)
	w.target(wire.Routine, 19)
}

func TestTampered(t *testing.T) {
	forge := func(w *world, n int64, change func(s *edgev1.Signed)) {
		s := w.pub.Manifest(wire.Routine, n)
		change(s)
		w.pub.Put(wire.ReleaseKey(wire.Routine, n), marshal(w.t, s))
	}
	for name, tamper := range map[string]func(w *world) (n int64, document string){
		"signature": func(w *world) (int64, string) {
			n := w.pub.Release(wire.Routine, site("a", "2"))
			forge(w, n, func(s *edgev1.Signed) { s.Signature[3] ^= 1 })
			return n, ""
		},
		"payload": func(w *world) (int64, string) {
			n := w.pub.Release(wire.Routine, site("a", "2"))
			forge(w, n, func(s *edgev1.Signed) { s.Payload[len(s.GetPayload())-1] ^= 1 })
			return n, ""
		},
		"unknown key": func(w *world) (int64, string) {
			n := w.pub.Release(wire.Routine, site("a", "2"))
			forge(w, n, func(s *edgev1.Signed) { s.KeyId = "0123456789abcdef" })
			return n, ""
		},
		"another release's manifest": func(w *world) (int64, string) {
			n := w.pub.Release(wire.Routine, site("a", "2"))
			w.pub.Put(wire.ReleaseKey(wire.Routine, n), marshal(w.t, w.pub.Manifest(wire.Routine, 1)))
			return n, ""
		},
		"state hash": func(w *world) (int64, string) {
			return w.pub.Release(wire.Routine, site("a", "2"), func(m *edgev1.Manifest) { m.StateHash[0] ^= 1 }), ""
		},
		"old digest": func(w *world) (int64, string) {
			return w.pub.Release(wire.Routine, site("a", "2"), func(m *edgev1.Manifest) { m.Changes[0].OldSha256[0] ^= 1 }), ""
		},
		"kind of another channel": func(w *world) (int64, string) {
			return w.pub.Release(wire.Routine, site("a", "2"), func(m *edgev1.Manifest) { m.Changes[0].Kind = wire.KindShield }), ""
		},
		"document": func(w *world) (int64, string) {
			sum := wire.SumOf([]byte("2"))
			w.pub.Put(wire.BlobKey(sum), []byte("no")) // is not overwritten, blobs are made once
			n := w.pub.Release(wire.Routine, site("a", "2"))
			w.pub.Put(wire.BlobKey(sum), []byte("no"))
			return n, "site/a"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if name == "document" {
				w.cfg.StagingQuota = 1 // so that the document is read by its key
			}
			w.start()
			one := w.release(wire.Routine, site("a", "1", "b", "1"))
			n, document := tamper(w)
			sequence := w.pub.Target(dc, wire.Routine, n, 0)
			r := w.reports.AwaitRejection(server, wire.Routine, n)
			if r.GetCause() != edgev1.Rejection_CORRUPT || r.GetDocument() != document || r.GetTargetSequence() != sequence {
				t.Errorf("rejected as %v", r)
			}
			w.serves(wire.Routine, one)
			if applies, _ := w.plane.Counts(); applies != 1 {
				t.Errorf("%d applies", applies)
			}
			w.restart(edge.ErrCrash)
			w.reports.AwaitRejection(server, wire.Routine, n) // it is kept
			w.serves(wire.Routine, one)
		})
	}
}

func TestTamperedBase(t *testing.T) {
	for name, tamper := range map[string]func(w *world){
		"chunk": func(w *world) { w.pub.Put(wire.BaseChunkKey(wire.Routine, 2, 0), nil) },
		"hash": func(w *world) {
			w.pub.Base(wire.Routine, 2, 10, func(b *edgev1.Base) { b.StateHash[5] ^= 1 })
		},
		"manifest": func(w *world) {
			w.pub.Base(wire.Routine, 2, 10, func(b *edgev1.Base) { b.Manifest = w.pub.Manifest(wire.Routine, 3) })
		},
		"signature": func(w *world) {
			w.pub.Put(wire.BaseKey(wire.Routine), marshal(w.t, w.pub.Manifest(wire.Routine, 2)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i := range 3 {
				w.pub.Release(wire.Routine, site("a", fmt.Sprint(i)))
			}
			w.pub.Base(wire.Routine, 2, 10)
			tamper(w)
			first := w.pub.Manifest(wire.Routine, 1)
			w.pub.Delete(wire.ReleaseKey(wire.Routine, 1))
			w.start()
			w.pub.Target(dc, wire.Routine, 3, 0)
			if r := w.reports.AwaitRejection(server, wire.Routine, 3); r.GetCause() != edgev1.Rejection_CORRUPT {
				t.Errorf("rejected as %v", r)
			}
			// With all manifests there is a way without the base.
			w.pub.Put(wire.ReleaseKey(wire.Routine, 1), marshal(t, first))
			w.target(wire.Routine, 3)
		})
	}
}

func TestStagingQuota(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.StagingQuota = 10_000 })
	w.start()
	w.release(wire.Routine, site("a", "1"))
	docs := edgetest.Documents{}
	for i := range 200 {
		docs[wire.DocumentID{Kind: wire.KindSite, ID: fmt.Sprint(i)}] = []byte(strings.Repeat(fmt.Sprint(i, "-"), 200))
	}
	n := w.pub.Release(wire.Routine, docs)
	w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on")) // the watch is past it
	if staged := w.agent.Status().StagedBytes; staged > 10_000 {
		t.Errorf("%d bytes are staged", staged)
	}
	w.target(wire.Routine, n)
}

func TestMissingDocument(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.ApplyTimeout, c.StagingQuota = time.Second, 1 })
	w.start()
	one := w.release(wire.Routine, site("a", "1"))
	sum := wire.SumOf([]byte("2"))
	n := w.pub.Release(wire.Routine, site("a", "2"))
	w.pub.Delete(wire.BlobKey(sum))
	w.pub.Target(dc, wire.Routine, n, 0)
	w.reports.Await(server, "what is missing", func(m *edgev1.ReportRequest) bool {
		return strings.Contains(m.GetDetail(), "site/a") || edgetest.Rejection(m, wire.Routine, n) != nil
	})
	r := w.reports.AwaitRejection(server, wire.Routine, n)
	if r.GetCause() != edgev1.Rejection_CORRUPT || r.GetDocument() != "site/a" {
		t.Errorf("rejected as %v", r)
	}
	w.serves(wire.Routine, one)
	w.pub.Put(wire.BlobKey(sum), []byte("2"))
	w.target(wire.Routine, n) // another target is a new order
}

func TestRefused(t *testing.T) {
	id := wire.DocumentID{Kind: wire.KindSite, ID: "bad"}
	for name, refuse := range map[string]struct {
		err      error
		document string
	}{
		"named":   {&edge.RejectError{Document: id, Sum: wire.SumOf([]byte("x")), Reason: "cannot be"}, "site/bad"},
		"unnamed": {errors.New("cannot be"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			one := w.release(wire.Routine, site("a", "1"))
			w.plane.Before(func(_ context.Context, _ edge.Generation, changes []edge.Change) error {
				for _, c := range changes {
					if c.ID == id {
						return refuse.err
					}
				}
				return nil
			})
			bad := w.pub.Release(wire.Routine, site("bad", "x"))
			w.pub.Target(dc, wire.Routine, bad, 0)
			r := w.reports.AwaitRejection(server, wire.Routine, bad)
			if r.GetCause() != edgev1.Rejection_REFUSED || r.GetDocument() != refuse.document || !strings.Contains(r.GetReason(), "cannot be") {
				t.Errorf("rejected as %v", r)
			}
			w.serves(wire.Routine, one)

			child := w.pub.Release(wire.Routine, site("c", "1"))
			w.pub.Target(dc, wire.Routine, child, 0)
			if r := w.reports.AwaitRejection(server, wire.Routine, child); r.GetCause() != edgev1.Rejection_ANCESTOR {
				t.Errorf("the descendant is rejected as %v", r)
			}
			if applies, _ := w.plane.Counts(); applies != 1 {
				t.Errorf("%d applies", applies)
			}
			// Abandoned, they are forgotten; a release on the parent is another matter.
			w.pub.Abandon(wire.Routine, bad)
			w.pub.Abandon(wire.Routine, child)
			w.target(wire.Routine, one)
			w.reports.Await(server, "no rejection", func(m *edgev1.ReportRequest) bool {
				return len(edgetest.Channel(m, wire.Routine).GetRejections()) == 0
			})
			w.target(wire.Routine, w.pub.ReleaseOn(wire.Routine, one, site("c", "1")))
		})
	}
}

func TestAbandonedWhileAway(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.plane.Before(func(context.Context, edge.Generation, []edge.Change) error { return errors.New("no") })
	bad := w.pub.Release(wire.Routine, site("bad", "x"))
	w.pub.Target(dc, wire.Routine, bad, 0)
	w.reports.AwaitRejection(server, wire.Routine, bad)
	w.pub.Target(dc, wire.Routine, 1, 0)
	w.stop(nil)
	w.pub.Abandon(wire.Routine, bad)
	w.restart(nil)
	w.reports.Await(server, "no rejection", func(m *edgev1.ReportRequest) bool {
		c := edgetest.Channel(m, wire.Routine)
		return c.GetRelease() == 1 && len(c.GetRejections()) == 0
	})
}

func TestOnlyTheLatestTarget(t *testing.T) {
	w := newWorld(t)
	applying := make(chan struct{})
	goOn := make(chan struct{})
	w.plane.Before(func(_ context.Context, g edge.Generation, _ []edge.Change) error {
		if g.Releases()[wire.Routine] == 1 {
			close(applying)
			<-goOn
		}
		return nil
	})
	w.start()
	for i := range 5 {
		w.pub.Release(wire.Routine, site("a", fmt.Sprint(i)))
	}
	w.pub.Target(dc, wire.Routine, 1, 0)
	<-applying
	w.reports.Await(server, "applying", func(m *edgev1.ReportRequest) bool {
		return edgetest.Channel(m, wire.Routine).GetApplying() == 1
	})
	for n := int64(2); n <= 5; n++ {
		w.pub.Target(dc, wire.Routine, n, 0)
	}
	w.plane.Before(nil)
	close(goOn)
	w.serves(wire.Routine, 5)
	if applies, _ := w.plane.Counts(); applies > 3 {
		t.Errorf("%d applies", applies)
	}
}

func TestUnhealthyAfterApply(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	healthy := func(m *edgev1.ReportRequest) bool { return m.GetHealthy() }
	w.reports.Await(server, "health", healthy)
	w.plane.Before(func(context.Context, edge.Generation, []edge.Change) error {
		w.plane.Unwell(errors.New("out of memory"))
		return nil
	})
	two := w.release(wire.Routine, site("a", "2"))
	m := w.reports.Await(server, "bad health", func(m *edgev1.ReportRequest) bool { return !m.GetHealthy() })
	if m.GetDetail() != "out of memory" || edgetest.Channel(m, wire.Routine).GetRelease() != two ||
		edgetest.Channel(m, wire.Routine).GetHealthyFor().AsDuration() != 0 {
		t.Errorf("reported as %v", m)
	}
	w.plane.Unwell(nil)
	w.reports.Await(server, "health", healthy)
}

func TestBakeIsReported(t *testing.T) {
	w := newWorld(t, func(c *edge.Config) { c.HealthInterval = time.Hour })
	w.reports = edgetest.StartReports(t, time.Hour) // so that only what is due is reported
	w.cfg.Report = w.reports.Conn()
	w.start()
	w.pub.Release(wire.Routine, site("a", "1"))
	w.pub.Target(dc, wire.Routine, 1, 250*time.Millisecond)
	began := time.Now()
	m := w.reports.Await(server, "the whole bake", func(m *edgev1.ReportRequest) bool {
		return edgetest.Channel(m, wire.Routine).GetHealthyFor().AsDuration() >= 250*time.Millisecond
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("reported after %v", took)
	}
	if _, reports := w.reports.Counts(); reports > 6 {
		t.Errorf("%d reports", reports)
	}
	// A shorter bake of the same release is attested at once.
	w.pub.Target(dc, wire.Routine, 1, 100*time.Millisecond)
	w.reports.Await(server, "the new target", func(n *edgev1.ReportRequest) bool {
		c := edgetest.Channel(n, wire.Routine)
		return c.GetTargetSequence() == 2 && c.GetHealthyFor().AsDuration() >= 250*time.Millisecond && n.GetSequence() > m.GetSequence()
	})
}

func TestReportsComeBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.release(wire.Routine, site("a", "1"))
	w.reports.Cut()
	w.release(wire.Routine, site("a", "2"))
	if streams, _ := w.reports.Counts(); streams < 2 {
		t.Errorf("%d streams", streams)
	}
}

func TestDataPlaneRestarted(t *testing.T) {
	w := newWorld(t)
	w.start()
	one := w.release(wire.Routine, site("a", "1", "b", "2"))
	was := w.agent.Status().Incarnation
	if err := w.plane.Apply(t.Context(), nothing{}); err != nil {
		t.Fatal(err)
	}
	w.agent.DataPlaneRestarted()
	w.reports.Await(server, "another incarnation", func(m *edgev1.ReportRequest) bool {
		return m.GetIncarnation() != was && edgetest.Channel(m, wire.Routine).GetRelease() == one
	})
	w.serves(wire.Routine, one)
}

// TestRestartedInOrder: a server says of its start whether somebody wanted it.
func TestRestartedInOrder(t *testing.T) {
	w := newWorld(t)
	w.start()
	one := w.release(wire.Routine, site("a", "1"))
	says := func(what string, inOrder bool) {
		t.Helper()
		w.reports.Await(server, what, func(m *edgev1.ReportRequest) bool {
			return m.GetRestartedInOrder() == inOrder && edgetest.Channel(m, wire.Routine).GetRelease() == one
		})
	}
	says("the first start is none in order", false)
	w.restart(nil)
	says("it was stopped in order", true)
	was := w.agent.Status().Incarnation
	w.agent.DataPlaneRestarted()
	w.reports.Await(server, "a data plane that restarts by itself is in no order", func(m *edgev1.ReportRequest) bool {
		return m.GetIncarnation() != was && !m.GetRestartedInOrder()
	})
	w.restart(edge.ErrCrash)
	says("it crashed", false)
}

func TestOfflineColdStart(t *testing.T) {
	w := newWorld(t)
	w.start()
	one := w.release(wire.Routine, site("a", "1"))
	shield := w.release(wire.Urgent, edgetest.Doc(wire.KindShield, "a", "on"))
	w.stop(nil)
	w.etcd.Stop()
	w.restart(nil)
	w.serves(wire.Routine, one)
	w.serves(wire.Urgent, shield)
	m := w.reports.Await(server, "health", func(m *edgev1.ReportRequest) bool { return m.GetHealthy() })
	if m.GetChannels() == nil || w.agent.Status().Connected {
		t.Errorf("status %+v", w.agent.Status())
	}
	w.etcd.Start(t)
	w.release(wire.Routine, site("a", "2"))
}
