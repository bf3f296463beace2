package fleet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
	"github.com/breakwater-cdn/breakwater/sdk/edge/connect"
)

// Past its rate a leader refuses streams, and says when to come again.
func TestRefusesPastTheRate(t *testing.T) {
	w := newLimitedWorld(t, fleet.Limits{PerSecond: 1, Burst: 2}) // one is for the probe of the world
	w.dial(w.certificate("SJC", "sjc-1")).say(report("SJC", "sjc-1", "i"))
	refused := w.dial(w.certificate("SJC", "sjc-2"))
	refused.send(report("SJC", "sjc-2", "i"))
	_, err := refused.stream.Recv()
	if s := status.Convert(err); s.Code() != codes.ResourceExhausted || hint(s) != time.Second {
		t.Errorf("the second is refused with %v, to come again after %v", err, hint(s))
	}
	w.clock.Advance(time.Second)
	w.dial(w.certificate("SJC", "sjc-2")).say(report("SJC", "sjc-2", "i"))
}

func hint(s *status.Status) time.Duration {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// Who opens a stream and says nothing does not keep others out.
func TestSilentBeginningEnds(t *testing.T) {
	w := newLimitedWorld(t, fleet.Limits{Beginning: 1})
	silent := w.dial(w.certificate("SJC", "sjc-1"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.clock.BlockUntilContext(ctx, 1); err != nil {
		t.Fatal(err)
	}
	other := w.dial(w.certificate("SJC", "sjc-2"))
	other.send(report("SJC", "sjc-2", "i"))
	other.ended(codes.ResourceExhausted)
	w.clock.Advance(time.Minute)
	silent.ended(codes.DeadlineExceeded)
	w.dial(w.certificate("SJC", "sjc-2")).say(report("SJC", "sjc-2", "i"))
}

// A fleet that finds a new leader is let in at its rate, over the connections of real
// agents, which heed when they are told to come.
func TestFleetIsLetInAtTheRate(t *testing.T) {
	servers, rate := 60, 10
	if os.Getenv("BREAKWATER_SOAK") != "" {
		servers, rate = 1000, 100
	}
	w := newLimitedWorld(t, fleet.Limits{PerSecond: rate, Burst: rate})
	ctx, cancel := context.WithCancel(t.Context())
	var agents sync.WaitGroup
	defer agents.Wait()
	defer cancel()
	counts := &counts{perSecond: map[int64]int{}}
	began := w.clock.Now()
	for i := range servers {
		name := fmt.Sprintf("sjc-%d", i)
		conn, err := connect.OpenReports(connect.ReportsConfig{Addresses: []string{w.addr}, TLS: w.files("SJC", name), Clock: w.clock})
		if err != nil {
			t.Fatal(err)
		}
		agents.Go(func() {
			defer func() { _ = conn.Close() }()
			for ctx.Err() == nil {
				w.reportOnce(ctx, conn, name, func(err error) {
					counts.add(int64(w.clock.Since(began)/time.Second), err)
				})
			}
		})
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for give := time.Now().Add(patience); counts.admitted() < servers; <-tick.C {
		w.clock.Advance(100 * time.Millisecond)
		if time.Now().After(give) {
			t.Fatalf("%d of %d servers were let in", counts.admitted(), servers)
		}
	}
	counts.mu.Lock()
	defer counts.mu.Unlock()
	t.Logf("%d servers were let in after %d refusals: %v a second", servers, counts.refused, counts.perSecond)
	for second, n := range counts.perSecond {
		// A second of the test's may see the end of what began in the one before.
		if n > 3*rate {
			t.Errorf("%d were let in in second %d", n, second)
		}
	}
	if counts.refused > 3*servers || counts.other != nil {
		t.Errorf("%d refusals; %v", counts.refused, counts.other)
	}
}

// counts is how it went.
type counts struct {
	mu        sync.Mutex
	perSecond map[int64]int
	refused   int
	other     error
}

func (c *counts) add(second int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch status.Code(err) {
	case codes.OK:
		c.perSecond[second]++
	case codes.ResourceExhausted:
		c.refused++
	default:
		c.other = err
	}
}

func (c *counts) admitted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, n := range c.perSecond {
		sum += n
	}
	return sum
}

// reportOnce opens a stream and says how it went; one that is taken lasts until ctx ends.
func (w *world) reportOnce(ctx context.Context, conn grpc.ClientConnInterface, name string, went func(error)) {
	stream, err := edgev1.NewEdgeServiceClient(conn).Report(ctx)
	if err == nil {
		_ = stream.Send(report("SJC", name, "i"))
		_, err = stream.Recv()
	}
	if ctx.Err() != nil {
		return
	}
	if went(err); err == nil {
		<-ctx.Done()
	}
}

// files writes the certificate of a server.
func (w *world) files(dc, server string) connect.Files {
	w.t.Helper()
	cert := w.certificate(dc, server)
	dir := w.t.TempDir()
	if err := pki.WriteCertificate(dir, server, *cert); err != nil {
		w.t.Fatal(err)
	}
	return connect.Files{CA: w.ca, Cert: filepath.Join(dir, server+".pem"), Key: filepath.Join(dir, server+".key")}
}
