package edge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// etcd's own, after its member stopped.
		goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

const (
	dc     = "SJC"
	server = "SJC/sjc-1"
)

// world is one server of a data center with all that is around it.
type world struct {
	t       *testing.T
	etcd    *edgetest.Etcd
	pub     *edgetest.Publisher
	reports *edgetest.Reports
	plane   *edgetest.Plane
	cfg     edge.Config
	agent   *edge.Agent

	kill    context.CancelCauseFunc
	stopped chan error

	incarnations int
}

// newWorld makes a world whose agent does not run yet.
func newWorld(t *testing.T, change ...func(*edge.Config)) *world {
	t.Helper()
	e := edgetest.StartEtcd(t)
	w := &world{
		t: t, etcd: e, pub: edgetest.NewPublisher(t, e.Client()),
		reports: edgetest.StartReports(t, 50*time.Millisecond), plane: edgetest.NewPlane(),
	}
	w.cfg = edge.Config{
		DataCenter: dc, Server: "sjc-1", Etcd: e.Client(), Report: w.reports.Conn(), Trust: w.pub.Trust(),
		StorePath: filepath.Join(t.TempDir(), "edge.db"), NoSync: true, Boot: "boot-1",
		ApplyTimeout: time.Minute, HealthInterval: 100 * time.Millisecond, RequestTimeout: 2 * time.Second,
		HeartbeatInterval: 200 * time.Millisecond, BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	}
	for _, f := range change {
		f(&w.cfg)
	}
	t.Cleanup(func() { w.stop(nil) })
	return w
}

// start runs a new agent on the world's store and data plane.
func (w *world) start() {
	w.t.Helper()
	w.cfg.Applier = w.plane
	started := w.incarnations + 1
	made := 0
	w.cfg.NewIncarnation = func() string {
		made++
		return fmt.Sprintf("start-%d.%d", started, made)
	}
	agent, err := edge.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent = agent
	w.incarnations = started
	w.reports.Expect(server, fmt.Sprintf("start-%d.", started))
	ctx, cancel := context.WithCancelCause(context.Background())
	w.kill, w.stopped = cancel, make(chan error, 1)
	go func() { w.stopped <- agent.Run(ctx) }()
}

// stop ends the agent, with a cause, and waits for it.
func (w *world) stop(cause error) {
	w.t.Helper()
	if w.kill == nil {
		return
	}
	w.kill(cause)
	w.wait(nil)
}

// wait waits for the agent's end.
func (w *world) wait(want error) {
	w.t.Helper()
	select {
	case err := <-w.stopped:
		if !errors.Is(err, want) {
			w.t.Errorf("the agent ends with %v, not %v", err, want)
		}
	case <-time.After(time.Minute):
		w.t.Fatal("the agent does not end")
	}
	w.kill = nil
}

// restart stops the agent with a cause and starts another one, with an empty data plane.
func (w *world) restart(cause error) {
	w.t.Helper()
	w.stop(cause)
	w.plane = edgetest.NewPlane()
	w.start()
}

// release seals a release, targets it and waits until it serves.
func (w *world) release(c wire.Channel, docs edgetest.Documents) int64 {
	w.t.Helper()
	n := w.pub.Release(c, docs)
	w.target(c, n)
	return n
}

// target targets a release and waits until it serves, and everything with it.
func (w *world) target(c wire.Channel, n int64) {
	w.t.Helper()
	w.pub.Target(dc, c, n, 0)
	w.serves(c, n)
}

// serves waits until a release serves and checks what the data plane has.
func (w *world) serves(c wire.Channel, n int64) {
	w.t.Helper()
	r := w.reports.AwaitRelease(server, c, n)
	if want := w.pub.StateHash(c, n); string(r.GetStateHash()) != string(want[:]) {
		w.t.Errorf("release %d of %s has state hash %x, not %s", n, c, r.GetStateHash(), want)
	}
	docs, releases := w.plane.Serving()
	maps.DeleteFunc(docs, func(id wire.DocumentID, _ []byte) bool {
		of, _ := wire.ChannelOf(id.Kind)
		return of != c
	})
	if want := w.pub.State(c, n); !maps.EqualFunc(docs, want, func(a, b []byte) bool { return string(a) == string(b) }) {
		w.t.Errorf("release %d of %s serves %q, not %q", n, c, docs, want)
	}
	if releases[c] != n {
		w.t.Errorf("the data plane was told release %d of %s, not %d", releases[c], c, n)
	}
}
