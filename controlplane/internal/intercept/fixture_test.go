package intercept_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people is who the credentials of these tests are.
type people map[string]authn.Principal

func (p people) Authenticate(_ context.Context, bearer string, _ netip.Addr, onBehalfOf string) (authn.Principal, error) {
	if bearer == "" {
		return authn.Principal{}, nil
	}
	who, ok := p[bearer]
	if !ok {
		return authn.Principal{}, rpcerr.Unauthenticated("the credential is not valid")
	}
	who.OnBehalfOf = onBehalfOf
	return who, nil
}

var known = people{
	"op": {Kind: authn.Operator, ID: "operator"},
	"acme": {Kind: authn.Token, ID: "accounts/acme/tokens/t", Grants: []authn.Grant{
		{Account: "acme", Permissions: []string{"*"}},
	}},
	"reader": {Kind: authn.Token, ID: "accounts/acme/tokens/r", Grants: []authn.Grant{
		{Account: "acme", Permissions: []string{"accounts.get"}},
	}},
	"person": {Kind: authn.Login, ID: "user:p@x.test", Grants: []authn.Grant{
		{Account: "acme", Permissions: []string{"*"}}, {Account: "beta", Permissions: []string{"*"}},
	}},
}

// fixture is a server of some services whose handlers tell what reached them.
type fixture struct {
	breakwaterv1.UnimplementedAccountServiceServer
	breakwaterv1.UnimplementedAuditServiceServer
	breakwaterv1.UnimplementedPlanServiceServer
	breakwaterv1.UnimplementedSiteServiceServer
	edgev1.UnimplementedEdgeServiceServer

	mu      sync.Mutex
	info    call.Info
	request string
	answer  error
	panics  bool
	// waits has streams go on until their context ends.
	waits bool

	conn *grpc.ClientConn
	log  *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (f *fixture) saw(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.info, f.request = call.From(ctx), name
	if f.panics {
		panic("a bug")
	}
	return f.answer
}

func (f *fixture) GetAccount(ctx context.Context, req *breakwaterv1.GetAccountRequest) (*breakwaterv1.Account, error) {
	return &breakwaterv1.Account{}, f.saw(ctx, req.GetName())
}

func (f *fixture) CreateAccount(ctx context.Context, req *breakwaterv1.CreateAccountRequest) (*breakwaterv1.Account, error) {
	return &breakwaterv1.Account{}, f.saw(ctx, req.GetAccountId())
}

func (f *fixture) ListPlans(ctx context.Context, _ *breakwaterv1.ListPlansRequest) (*breakwaterv1.ListPlansResponse, error) {
	return &breakwaterv1.ListPlansResponse{}, f.saw(ctx, "plans")
}

func (f *fixture) ExportAuditEvents(req *breakwaterv1.ExportAuditEventsRequest, s grpc.ServerStreamingServer[breakwaterv1.AuditEvent]) error {
	if err := f.saw(s.Context(), req.GetParent()); err != nil {
		return err
	}
	return streamed(f, s, &breakwaterv1.AuditEvent{})
}

func (f *fixture) WatchSites(_ *breakwaterv1.WatchSitesRequest, s grpc.ServerStreamingServer[breakwaterv1.SiteEvent]) error {
	return streamed(f, s, &breakwaterv1.SiteEvent{})
}

// streamed sends one message, and where the fixture waits, tries another after the end.
func streamed[M any](f *fixture, s grpc.ServerStreamingServer[M], m *M) error {
	if err := s.Send(m); err != nil || !f.waits {
		return err
	}
	<-s.Context().Done()
	if err := s.Send(m); err == nil {
		return errors.New("sent after the end")
	}
	return s.Context().Err()
}

func (f *fixture) Report(s grpc.BidiStreamingServer[edgev1.ReportRequest, edgev1.ReportResponse]) error {
	return f.saw(s.Context(), "report")
}

// newChain returns a chain over the fixture's services, for the known people.
func newChain(t *testing.T, change func(*intercept.Config)) *intercept.Chain {
	t.Helper()
	table, err := authz.NewTable(
		breakwaterv1.File_breakwater_v1_accounts_proto.Services().Get(0), breakwaterv1.File_breakwater_v1_audit_proto.Services().Get(0),
		breakwaterv1.File_breakwater_v1_plans_proto.Services().Get(0), breakwaterv1.File_breakwater_v1_sites_proto.Services().Get(0), edgev1.File_breakwater_edge_v1_reports_proto.Services().Get(0),
	)
	if err != nil {
		t.Fatal(err)
	}
	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg := intercept.Config{
		Table: table, Authenticator: known, Validator: validator, Clock: clockwork.NewFakeClock(),
		Logger:       slog.New(slog.DiscardHandler),
		NewRequestID: func() string { return "made" },
	}
	if change != nil {
		change(&cfg)
	}
	return intercept.New(cfg)
}

func serve(t *testing.T, change func(*intercept.Config)) *fixture {
	t.Helper()
	f := &fixture{log: &safeBuffer{}}
	chain := newChain(t, func(c *intercept.Config) {
		c.Logger = slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		if change != nil {
			change(c)
		}
	})
	server := grpc.NewServer(grpc.UnaryInterceptor(chain.Unary()), grpc.StreamInterceptor(chain.Stream()))
	breakwaterv1.RegisterAccountServiceServer(server, f)
	breakwaterv1.RegisterAuditServiceServer(server, f)
	breakwaterv1.RegisterPlanServiceServer(server, f)
	breakwaterv1.RegisterSiteServiceServer(server, f)
	edgev1.RegisterEdgeServiceServer(server, f)
	listener := bufconn.Listen(1 << 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	var err error
	f.conn, err = grpc.NewClient("passthrough:///in-memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.conn.Close()
		server.Stop()
		<-done
	})
	return f
}

func (f *fixture) accounts() breakwaterv1.AccountServiceClient {
	return breakwaterv1.NewAccountServiceClient(f.conn)
}

// as returns a context with a credential and more metadata.
func as(t *testing.T, bearer string, pairs ...string) context.Context {
	t.Helper()
	if bearer != "" {
		pairs = append(pairs, "authorization", "Bearer "+bearer)
	}
	return metadata.AppendToOutgoingContext(t.Context(), pairs...)
}

func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
