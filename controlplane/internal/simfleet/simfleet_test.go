package simfleet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/simfleet"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// etcd's own, after its member stopped.
		goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// world is a fleet with all that is around it.
type world struct {
	t       *testing.T
	etcd    *edgetest.Etcd
	pub     *edgetest.Publisher
	reports *edgetest.Reports
	bugs    *simfleet.Bugs
	fleet   *simfleet.Fleet
	cfg     simfleet.Config
}

func newWorld(t *testing.T, dataCenters int, change ...func(*simfleet.Config)) *world {
	t.Helper()
	all, err := fleetdata.Load()
	if err != nil {
		t.Fatal(err)
	}
	e := edgetest.StartEtcd(t)
	w := &world{
		t: t, etcd: e, pub: edgetest.NewPublisher(t, e.Client()),
		reports: edgetest.StartReports(t, 100*time.Millisecond), bugs: simfleet.NewBugs(),
	}
	w.cfg = simfleet.Config{
		DataCenters: all[:dataCenters], Dir: t.TempDir(), Trust: w.pub.Trust(), Bugs: w.bugs,
		DialEtcd: func(context.Context, string, string) (simfleet.Etcd, func(), error) { return e.Client(), nil, nil },
		DialReport: func(context.Context, string, string) (grpc.ClientConnInterface, func(), error) {
			return w.reports.Conn(), nil, nil
		},
		RestartDelay: 10 * time.Millisecond, ApplyTimeout: time.Minute, HealthInterval: 100 * time.Millisecond,
	}
	for _, f := range change {
		f(&w.cfg)
	}
	w.start()
	t.Cleanup(func() { w.fleet.Close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	fleet, err := simfleet.Start(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.fleet = fleet
}

// document makes a document of a site; n tells versions apart.
func document(id string, n int) edgetest.Documents {
	body, err := proto.Marshal(&edgev1.SiteDocument{Domain: id, BrowserTtlSeconds: int32(n)})
	if err != nil {
		return nil
	}
	return edgetest.Documents{{Kind: wire.KindSite, ID: id}: body}
}

func (w *world) target(n int64) {
	w.t.Helper()
	for _, dc := range w.cfg.DataCenters {
		w.pub.Target(dc.Code, wire.Routine, n, 0)
	}
}

// everywhere waits until every server serves a release.
func (w *world) everywhere(n int64) {
	w.t.Helper()
	for _, s := range w.fleet.Servers() {
		w.reports.AwaitRelease(s.DataCenter+"/"+s.Name, wire.Routine, n)
	}
}

// version is which version of a document the first data center's first server serves.
func (w *world) version(id string) int32 {
	w.t.Helper()
	doc, ok := w.fleet.Serving("AMS", "ams-1", wire.DocumentID{Kind: wire.KindSite, ID: id})
	if !ok {
		return -1
	}
	site, ok := doc.Message.(*edgev1.SiteDocument)
	if !ok {
		w.t.Fatalf("%T", doc.Message)
	}
	return site.GetBrowserTtlSeconds()
}

func (w *world) bug(effect simfleet.Effect) {
	w.t.Helper()
	if err := w.bugs.Set(simfleet.Bug{ID: "b", Match: "bad.test", Effect: effect, After: 20 * time.Millisecond}); err != nil {
		w.t.Fatal(err)
	}
}

func TestWholeFleet(t *testing.T) {
	w := newWorld(t, 23)
	w.target(w.pub.Release(wire.Routine, document("shop.test", 1)))
	w.everywhere(1)
	for _, s := range w.fleet.Servers() {
		id := wire.DocumentID{Kind: wire.KindSite, ID: "shop.test"}
		if doc, ok := w.fleet.Serving(s.DataCenter, s.Name, id); !ok || doc.ID != id {
			t.Errorf("%s serves %v", s.Name, doc)
		}
		if !s.Up || s.Restarts != 0 {
			t.Errorf("%+v", s)
		}
	}
	w.fleet.Close()
	w.fleet.Close()
	w.start()
	w.target(w.pub.Release(wire.Routine, document("shop.test", 2)))
	w.everywhere(2)
	if v := w.version("shop.test"); v != 2 {
		t.Errorf("version %d", v)
	}
}

// TestBadDocuments are refused by name without any bug.
func TestBadDocuments(t *testing.T) {
	w := newWorld(t, 1)
	n := w.pub.Release(wire.Routine, edgetest.Documents{{Kind: wire.KindSite, ID: "a.test"}: document("b.test", 1)[wire.DocumentID{Kind: wire.KindSite, ID: "b.test"}]})
	w.target(n)
	r := w.reports.AwaitRejection("AMS/ams-1", wire.Routine, n)
	if r.GetCause() != edgev1.Rejection_REFUSED || r.GetDocument() != "site/a.test" {
		t.Errorf("rejected as %v", r)
	}
}

func TestBugs(t *testing.T) {
	const first = "AMS/ams-1"
	for _, test := range []struct {
		effect   simfleet.Effect
		cause    edgev1.Rejection_Cause
		document string
		restarts bool
	}{
		{simfleet.Reject, edgev1.Rejection_REFUSED, "site/bad.test", false},
		{simfleet.Crash, edgev1.Rejection_CRASHED, "", true},
		{simfleet.Hang, edgev1.Rejection_TIMEOUT, "", true},
	} {
		t.Run(test.effect.String(), func(t *testing.T) {
			w := newWorld(t, 1, func(c *simfleet.Config) {
				if test.effect == simfleet.Hang {
					c.ApplyTimeout = 2 * time.Second
				}
			})
			w.target(w.pub.Release(wire.Routine, document("bad.test", 1)))
			w.everywhere(1)
			was := w.reports.Await(first, "a report", func(*edgev1.ReportRequest) bool { return true }).GetIncarnation()
			w.bug(test.effect)
			bad := w.pub.Release(wire.Routine, document("bad.test", 2))
			w.target(bad)
			for _, s := range w.fleet.Servers() {
				r := w.reports.AwaitRejection(s.DataCenter+"/"+s.Name, wire.Routine, bad)
				if r.GetCause() != test.cause || r.GetDocument() != test.document {
					t.Errorf("rejected as %v", r)
				}
				w.reports.AwaitRelease(s.DataCenter+"/"+s.Name, wire.Routine, 1)
			}
			// The old version, which matches too, serves again after a restart.
			w.reports.Await(first, "health", func(m *edgev1.ReportRequest) bool {
				return m.GetHealthy() && edgetest.Channel(m, wire.Routine).GetRelease() == 1 &&
					(m.GetIncarnation() != was) == test.restarts
			})
			if v := w.version("bad.test"); v != 1 {
				t.Errorf("version %d serves", v)
			}
			if s := w.fleet.Servers()[0]; (s.Restarts > 0) != test.restarts {
				t.Errorf("%d restarts", s.Restarts)
			}
			w.target(1)
			w.pub.Abandon(wire.Routine, bad)
			good := w.pub.ReleaseOn(wire.Routine, 1, document("good.test", 1))
			w.target(good)
			w.everywhere(good)

			w.bugs.Delete("b")
			fixed := w.pub.Release(wire.Routine, document("bad.test", 2))
			w.target(fixed)
			w.everywhere(fixed)
		})
	}
}

func TestUnhealthy(t *testing.T) {
	w := newWorld(t, 1)
	w.target(w.pub.Release(wire.Routine, document("bad.test", 1)))
	w.everywhere(1)
	w.bug(simfleet.Unhealthy)
	w.target(w.pub.Release(wire.Routine, document("bad.test", 2)))
	ill := func(m *edgev1.ReportRequest) bool {
		return !m.GetHealthy() && strings.Contains(m.GetDetail(), "bug b") && edgetest.Channel(m, wire.Routine).GetRelease() == 2
	}
	well := func(n int64) func(m *edgev1.ReportRequest) bool {
		return func(m *edgev1.ReportRequest) bool {
			return m.GetHealthy() && edgetest.Channel(m, wire.Routine).GetRelease() == n
		}
	}
	w.reports.Await("AMS/ams-2", "bad health", ill)
	w.target(1)
	w.reports.Await("AMS/ams-2", "health", well(1))
	w.target(2) // forward again: it is applied again
	w.reports.Await("AMS/ams-2", "bad health", ill)
	w.bugs.Delete("b")
	w.reports.Await("AMS/ams-2", "health", well(2))
}

// TestCrashLater has a document that crashes servers soon after they serve it, again after
// every start: they live too short to be told anything, and go back by themselves.
func TestCrashLater(t *testing.T) {
	w := newWorld(t, 1)
	w.target(w.pub.Release(wire.Routine, document("bad.test", 1)))
	w.everywhere(1)
	w.bug(simfleet.CrashLater)
	w.target(w.pub.Release(wire.Routine, document("bad.test", 2)))
	for _, name := range []string{"AMS/ams-1", "AMS/ams-2"} {
		if r := w.reports.AwaitRejection(name, wire.Routine, 2); r.GetCause() != edgev1.Rejection_CRASHED {
			t.Errorf("%s rejects as %v", name, r)
		}
	}
	w.everywhere(1)
	if s := w.fleet.Servers()[0]; s.Restarts < 1 {
		t.Errorf("%+v", s)
	}
	// What it went back to does not hurt.
	w.reports.Await("AMS/ams-1", "health for a while", func(m *edgev1.ReportRequest) bool {
		return edgetest.Channel(m, wire.Routine).GetHealthyFor().AsDuration() > 200*time.Millisecond
	})
	if w.version("bad.test") != 1 {
		t.Errorf("%+v", w.fleet.Servers()[0])
	}
	w.bugs.Delete("b")
	w.target(2) // another target is a new order
	w.everywhere(2)
}

func TestKillRevive(t *testing.T) {
	w := newWorld(t, 2)
	w.target(w.pub.Release(wire.Routine, document("shop.test", 1)))
	w.everywhere(1)
	if err := w.fleet.Kill("AMS"); err != nil {
		t.Fatal(err)
	}
	if err := w.fleet.Kill("AMS"); err != nil {
		t.Fatal(err)
	}
	if w.version("shop.test") != -1 || w.fleet.Servers()[0].Up || !w.fleet.Servers()[2].Up {
		t.Errorf("%+v", w.fleet.Servers())
	}
	w.target(w.pub.Release(wire.Routine, document("shop.test", 2)))
	w.reports.AwaitRelease("ARN/arn-1", wire.Routine, 2)
	if err := w.fleet.Revive("AMS"); err != nil {
		t.Fatal(err)
	}
	w.everywhere(2)
	if err := w.fleet.Revive("XXX"); !errors.Is(err, simfleet.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

func TestCloseWhileItHangs(t *testing.T) {
	w := newWorld(t, 1)
	w.bug(simfleet.Hang)
	w.target(w.pub.Release(wire.Routine, document("bad.test", 1)))
	w.reports.Await("AMS/ams-1", "applying", func(m *edgev1.ReportRequest) bool {
		return edgetest.Channel(m, wire.Routine).GetApplying() == 1
	})
	w.fleet.Close()
}

func TestBugRegistry(t *testing.T) {
	b := simfleet.NewBugs()
	for i := range simfleet.MaxBugs {
		if err := b.Set(simfleet.Bug{ID: fmt.Sprint(i), Match: "x", Effect: simfleet.Crash}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Set(simfleet.Bug{ID: "0", Match: "y", Effect: simfleet.Hang}); err != nil {
		t.Error(err)
	}
	if err := b.Set(simfleet.Bug{ID: "more", Match: "x", Effect: simfleet.Crash}); !errors.Is(err, simfleet.ErrTooManyBugs) {
		t.Errorf("%v", err)
	}
	for _, bug := range []simfleet.Bug{{ID: "0", Effect: simfleet.Hang}, {Match: "x", Effect: simfleet.Hang}, {ID: "0", Match: "x"}} {
		if err := b.Set(bug); !errors.Is(err, simfleet.ErrInvalidBug) {
			t.Errorf("%+v: %v", bug, err)
		}
	}
	if bug, ok := b.Get("0"); !ok || bug.Match != "y" || len(b.List()) != simfleet.MaxBugs {
		t.Errorf("%+v", bug)
	}
	if !b.Delete("0") || b.Delete("0") {
		t.Error("deleted twice, or not once")
	}
}

func TestConfig(t *testing.T) {
	if _, err := simfleet.Start(t.Context(), simfleet.Config{}); err == nil {
		t.Error("no error")
	}
}
