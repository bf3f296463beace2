package edge_test

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// run runs an agent without reports until the function returns.
func run(b *testing.B, cfg edge.Config, while func(a *edge.Agent)) {
	b.Helper()
	agent, err := edge.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- agent.Run(ctx) }()
	while(agent)
	stop()
	if err := <-stopped; err != nil {
		b.Fatal(err)
	}
}

// applied is a data plane that tells what release of the routine channel it serves.
type applied struct {
	*edgetest.Plane
	releases chan int64
}

func (a applied) Apply(ctx context.Context, g edge.Generation) error {
	err := a.Plane.Apply(ctx, g)
	if err == nil {
		a.releases <- g.Releases()[wire.Routine]
	}
	return err
}

// BenchmarkColdStart is a start from the disk alone, with 20,000 documents of 1 kB: to
// open, check everything, and hand it to the data plane.
func BenchmarkColdStart(b *testing.B) {
	e := edgetest.StartEtcd(b)
	pub := edgetest.NewPublisher(b, e.Client())
	plane := applied{edgetest.NewPlane(), make(chan int64, 100)}
	cfg := edge.Config{
		DataCenter: dc, Server: "sjc-1", Etcd: e.Client(), Trust: pub.Trust(),
		StorePath: filepath.Join(b.TempDir(), "edge.db"), NoSync: true, Applier: plane,
	}
	const releases, size = 4, 5000
	last := int64(0)
	for r := range releases {
		docs := edgetest.Documents{}
		for i := range size {
			id := fmt.Sprintf("site-%d-%d.example", r, i)
			docs[wire.DocumentID{Kind: wire.KindSite, ID: id}] = fmt.Appendf(nil, "%1000s", id)
		}
		last = pub.Release(wire.Routine, docs)
	}
	pub.Target(dc, wire.Routine, last, 0)
	run(b, cfg, func(*edge.Agent) { <-plane.releases })
	e.Stop()
	b.ResetTimer()
	for b.Loop() {
		run(b, cfg, func(*edge.Agent) { <-plane.releases })
	}
}

// BenchmarkRelease is a small release from its target to its end in the data plane, with
// the processor time that everything in this process takes for it, etcd included.
func BenchmarkRelease(b *testing.B) {
	e := edgetest.StartEtcd(b)
	pub := edgetest.NewPublisher(b, e.Client())
	for _, agents := range []int{1, 46} {
		b.Run(fmt.Sprint(agents, "agents"), func(b *testing.B) {
			var planes []applied
			ctx, stop := context.WithCancel(b.Context())
			stopped := make(chan error, agents)
			for i := range agents {
				plane := applied{edgetest.NewPlane(), make(chan int64, 100)}
				planes = append(planes, plane)
				agent, err := edge.New(edge.Config{
					DataCenter: dc, Server: fmt.Sprint("sjc-", i), Etcd: e.Client(), Trust: pub.Trust(),
					StorePath: filepath.Join(b.TempDir(), "edge.db"), NoSync: true, Applier: plane,
				})
				if err != nil {
					b.Fatal(err)
				}
				go func() { stopped <- agent.Run(ctx) }()
			}
			release := func(i int) {
				n := pub.Release(wire.Routine, site("a.example", fmt.Sprint(agents, "-", i)))
				pub.Target(dc, wire.Routine, n, time.Second)
				for _, p := range planes {
					for served := int64(0); served != n; {
						served = <-p.releases
					}
				}
			}
			release(-1)
			before := cpu()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				release(i)
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N*agents), "cpu-µs/agent")
			stop()
			for range agents {
				if err := <-stopped; err != nil {
					b.Error(err)
				}
			}
		})
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // zero on failure
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
