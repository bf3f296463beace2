package edgetest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Reports is a control plane that only takes reports.
type Reports struct {
	edgev1.UnimplementedEdgeServiceServer
	tb       testing.TB
	interval time.Duration
	conn     *grpc.ClientConn

	mu       sync.Mutex
	newest   map[string]*edgev1.ReportRequest // by data center and server
	expected map[string]string                // beginnings of incarnations
	changed  chan struct{}
	streams  int
	taken    int
	cut      context.CancelFunc
	cutting  context.Context //nolint:containedctx // it ends the streams of now
}

// StartReports starts one that asks for a report every interval.
func StartReports(tb testing.TB, interval time.Duration) *Reports {
	tb.Helper()
	r := &Reports{
		tb: tb, interval: interval, newest: map[string]*edgev1.ReportRequest{}, changed: make(chan struct{}),
		expected: map[string]string{},
	}
	r.cutting, r.cut = context.WithCancel(context.Background())
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	edgev1.RegisterEdgeServiceServer(server, r)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Stop
	}()
	conn, err := grpc.NewClient("passthrough:///reports",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	r.conn = conn
	tb.Cleanup(func() {
		_ = conn.Close()
		r.Cut()
		server.Stop()
		<-served
	})
	return r
}

// Conn is what agents report to.
func (r *Reports) Conn() *grpc.ClientConn { return r.conn }

// Report takes one server's reports.
func (r *Reports) Report(stream grpc.BidiStreamingServer[edgev1.ReportRequest, edgev1.ReportResponse]) error {
	r.mu.Lock()
	r.streams++
	cutting := r.cutting
	r.mu.Unlock()
	reports := make(chan *edgev1.ReportRequest)
	go func() {
		defer close(reports)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case reports <- m:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case <-cutting.Done():
			return cutting.Err()
		case m, ok := <-reports:
			if !ok {
				return nil
			}
			r.mu.Lock()
			server := m.GetDataCenter() + "/" + m.GetServer()
			if strings.HasPrefix(m.GetIncarnation(), r.expected[server]) {
				r.newest[server] = m
			}
			r.taken++
			close(r.changed)
			r.changed = make(chan struct{})
			r.mu.Unlock()
			err := stream.Send(&edgev1.ReportResponse{Sequence: m.GetSequence(), Interval: durationpb.New(r.interval)})
			if err != nil {
				return err
			}
		}
	}
}

// Expect forgets what a server reported and takes only reports whose incarnation begins
// with a text from now on: the stream of one that stopped may still bring something.
func (r *Reports) Expect(server, incarnation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.newest, server)
	r.expected[server] = incarnation
}

// Cut ends the streams of now.
func (r *Reports) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut()
	r.cutting, r.cut = context.WithCancel(context.Background())
}

// Counts returns how many streams there were, and how many reports.
func (r *Reports) Counts() (streams, reports int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.streams, r.taken
}

// Await waits for a report of a server that satisfies the condition, the newest one
// included, and returns it.
func (r *Reports) Await(server, what string, condition func(*edgev1.ReportRequest) bool) *edgev1.ReportRequest {
	r.tb.Helper()
	limit := time.After(patience)
	for {
		r.mu.Lock()
		m, changed := r.newest[server], r.changed
		r.mu.Unlock()
		if m != nil && condition(m) {
			return m
		}
		select {
		case <-changed:
		case <-limit:
			r.tb.Fatalf("%s: no report with %s; the newest:\n%s", server, what, prototext.Format(m))
		}
	}
}

// AwaitRelease waits until a server serves a release.
func (r *Reports) AwaitRelease(server string, c wire.Channel, n int64) *edgev1.ChannelReport {
	r.tb.Helper()
	return Channel(r.Await(server, "release served", func(m *edgev1.ReportRequest) bool {
		return Channel(m, c).GetRelease() == n
	}), c)
}

// AwaitRejection waits until a server rejects a release.
func (r *Reports) AwaitRejection(server string, c wire.Channel, n int64) *edgev1.Rejection {
	r.tb.Helper()
	return Rejection(r.Await(server, "rejection", func(m *edgev1.ReportRequest) bool {
		return Rejection(m, c, n) != nil
	}), c, n)
}

// Channel returns what a report says of a channel.
func Channel(m *edgev1.ReportRequest, c wire.Channel) *edgev1.ChannelReport {
	for _, r := range m.GetChannels() {
		if r.GetChannel() == string(c) {
			return r
		}
	}
	return nil
}

// Rejection returns what a report says of a release's rejection, or nil.
func Rejection(m *edgev1.ReportRequest, c wire.Channel, n int64) *edgev1.Rejection {
	for _, r := range Channel(m, c).GetRejections() {
		if r.GetRelease() == n {
			return r
		}
	}
	return nil
}
