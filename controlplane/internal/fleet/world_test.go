package fleet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

type nobody struct{}

func (nobody) Authenticate(context.Context, string, netip.Addr, string) (authn.Principal, error) {
	return authn.Principal{}, nil
}

// world is a report listener with mutual TLS on loopback, behind the interceptors.
type world struct {
	t         *testing.T
	authority *pki.Authority
	ca        string // its certificate's file
	clock     *clockwork.FakeClock
	fleet     *fleet.Fleet
	reports   *fleet.Reports
	addr      string
	// depose ends the leadership and waits until its goroutine is done.
	depose func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newLimitedWorld(t, fleet.Limits{})
}

func newLimitedWorld(t *testing.T, limits fleet.Limits) *world {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.OpenAuthority(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, authority: authority, ca: filepath.Join(dir, "ca.pem"), clock: clockwork.NewFakeClock()}
	w.fleet = fleet.New(w.clock, time.Second, func(dc string) bool { return dc == "SJC" || dc == "LHR" })
	w.reports = fleet.NewLimitedReports(w.fleet, limits)

	table, err := authz.NewTable(edgev1.File_breakwater_edge_v1_reports_proto.Services().Get(0))
	if err != nil {
		t.Fatal(err)
	}
	chain := intercept.New(intercept.Config{
		Table: table, Authenticator: nobody{}, Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
		NewRequestID: func() string { return "r" },
	})
	cert, err := authority.IssueServer()
	if err != nil {
		t.Fatal(err)
	}
	// As the server has it, but that a call without a certificate reaches the interceptors.
	server := grpc.NewServer(grpc.StreamInterceptor(chain.Stream()), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool(),
		ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13,
	})))
	edgev1.RegisterEdgeServiceServer(server, w.reports)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own listener
	if err != nil {
		t.Fatal(err)
	}
	w.addr = listener.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-served })
	w.lead()
	t.Cleanup(func() { w.depose() })
	return w
}

// lead begins a term, and returns when streams are taken.
func (w *world) lead() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.reports.Lead(ctx) }()
	w.depose = func() { cancel(); <-done }
	// Lead has no sign of its own; agents try again until it leads.
	w.eventually("a stream is taken", func() bool {
		s := w.dial(w.certificate("LHR", "probe"))
		s.send(&edgev1.ReportRequest{DataCenter: "LHR", Server: "probe", Incarnation: "p"})
		_, err := s.stream.Recv()
		s.close()
		return err == nil
	})
	// Its stream has a timer, which must not pass for that of somebody who is waited for.
	w.server("LHR", "probe", "gone", lost)
}

// eventually looks again until done says so. Every look is a call over the network.
func (w *world) eventually(what string, done func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !done() {
		if ctx.Err() != nil {
			w.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// server waits until a server is known as wanted.
func (w *world) server(dc, name, what string, wanted func(fleet.Server) bool) fleet.Server {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		for _, s := range w.fleet.Snapshot() {
			if s.DataCenter == dc && s.Server == name && wanted(s) {
				return s
			}
		}
		select {
		case <-w.fleet.Changed():
		case <-ctx.Done():
			w.t.Fatalf("%s/%s is not %s: %+v", dc, name, what, w.fleet.Snapshot())
		}
	}
}

func connected(s fleet.Server) bool { return s.Connected }
func lost(s fleet.Server) bool      { return !s.Connected }

func (w *world) certificate(dc, server string) *tls.Certificate {
	w.t.Helper()
	return w.certificateOf(w.authority, authn.EdgeURI(dc, server))
}

func (w *world) certificateOf(a *pki.Authority, identity *url.URL) *tls.Certificate {
	w.t.Helper()
	cert, err := a.IssueClient(identity)
	if err != nil {
		w.t.Fatal(err)
	}
	return &cert
}

// edge is one stream of one server.
type edge struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[edgev1.ReportRequest, edgev1.ReportResponse]
	close  func()
}

func (w *world) dial(cert *tls.Certificate) *edge {
	w.t.Helper()
	cfg := &tls.Config{RootCAs: w.authority.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS13}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	closed := false
	e := &edge{t: w.t, close: func() {
		if !closed {
			closed = true
			cancel()
			_ = conn.Close()
		}
	}}
	w.t.Cleanup(e.close)
	if e.stream, err = edgev1.NewEdgeServiceClient(conn).Report(ctx); err != nil {
		e.stream = failed{err: err}
	}
	return e
}

// failed is a stream that could not be opened.
type failed struct {
	grpc.BidiStreamingClient[edgev1.ReportRequest, edgev1.ReportResponse]
	err error
}

func (f failed) Send(*edgev1.ReportRequest) error      { return f.err }
func (f failed) Recv() (*edgev1.ReportResponse, error) { return nil, f.err }
func report(dc, server, incarnation string) *edgev1.ReportRequest {
	return &edgev1.ReportRequest{
		DataCenter: dc, Server: server, Incarnation: incarnation, Healthy: true, Sequence: 1,
		Channels: []*edgev1.ChannelReport{{Channel: "routine", Release: 3, StateHash: make([]byte, 32)}},
	}
}

// send sends; why a stream ended is what Recv says.
func (e *edge) send(r *edgev1.ReportRequest) { _ = e.stream.Send(r) }

// say reports and waits for the answer.
func (e *edge) say(r *edgev1.ReportRequest) {
	e.t.Helper()
	e.send(r)
	resp, err := e.stream.Recv()
	if err != nil {
		e.t.Fatalf("report: %v", err)
	}
	if resp.GetSequence() != r.GetSequence() || resp.GetInterval().AsDuration() != time.Second {
		e.t.Errorf("answer = %v", resp)
	}
}

// ended waits for the stream's end.
func (e *edge) ended(want codes.Code) {
	e.t.Helper()
	for {
		_, err := e.stream.Recv()
		if err == nil {
			continue
		}
		if code := status.Code(err); code != want || errors.Is(err, context.DeadlineExceeded) {
			e.t.Errorf("the stream ended with %v, want %v", err, want)
		}
		return
	}
}
