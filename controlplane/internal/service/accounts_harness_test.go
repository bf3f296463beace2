package service

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/jonboulle/clockwork"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/audit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/secret"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// accountWorld is a server of accounts, members, tokens and audit, with everything that a
// call passes, over a store in memory.
type accountWorld struct {
	*testing.T
	store    *memory.Store
	cache    *watchcache.Cache
	clock    *clockwork.FakeClock
	table    *authz.Table
	conn     *grpc.ClientConn
	logins   *DevLogins
	sealer   *audit.Sealer
	operator string

	accounts breakwaterv1.AccountServiceClient
	members  breakwaterv1.MemberServiceClient
	tokens   breakwaterv1.TokenServiceClient
	audit    breakwaterv1.AuditServiceClient
}

func newAccountWorld(t *testing.T) *accountWorld {
	t.Helper()
	w := &accountWorld{T: t, clock: clockwork.NewFakeClockAt(time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC))}
	w.store = memory.New(memory.Config{})
	t.Cleanup(w.store.Close)
	ctx, cancel := context.WithCancel(context.Background())
	w.cache = watchcache.New(w.store, watchcache.Config{Prefix: resource.StatePrefix})
	cached := make(chan struct{})
	go func() { defer close(cached); _ = w.cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-cached })

	id, err := authn.NewID(rand.Reader)
	must(t, err)
	var digest []byte
	w.operator, digest, err = authn.Mint(authn.OperatorCredential, id, rand.Reader)
	must(t, err)
	keyring, err := secret.Load(filepath.Join(t.TempDir(), "keys"), rand.Reader)
	must(t, err)
	var ids atomic.Int64
	newID := func(time.Time) string { return fmt.Sprintf("id%09d", ids.Add(1)) }
	source := change.FromCache(w.cache)
	writer := change.New(w.store, source, change.Config{
		Clock: w.clock, Logger: slog.New(slog.DiscardHandler), Sealer: keyring, NewID: newID,
	})
	w.logins = NewDevLogins(DevLoginsConfig{Store: w.store, Source: source, Clock: w.clock, Random: rand.Reader})
	w.sealer = audit.NewSealer(audit.SealerConfig{
		Store: w.store, Clock: w.clock, Logger: slog.New(slog.DiscardHandler), View: func() audit.View { return source.Cached() },
	})
	authenticator := authn.New(authn.Config{
		View:  func() authn.View { return source.Cached() },
		Fresh: func(ctx context.Context) (authn.View, error) { return source.Read(ctx) },
		Clock: w.clock, DevLogins: true, Operators: []authn.OperatorKey{{Digest: [32]byte(digest)}},
	})
	validator, err := protovalidate.New()
	must(t, err)

	var chain *intercept.Chain
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			return chain.Unary()(ctx, req, info, h)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return chain.Stream()(srv, ss, info, h)
		}))
	breakwaterv1.RegisterAccountServiceServer(server, NewAccounts(AccountsConfig{Writer: writer, Source: source, NewID: newID, Random: rand.Reader}))
	breakwaterv1.RegisterMemberServiceServer(server, NewMembers(MembersConfig{Writer: writer, Source: source, Random: rand.Reader}))
	breakwaterv1.RegisterTokenServiceServer(server, NewTokens(TokensConfig{Writer: writer, Source: source, Clock: w.clock, Random: rand.Reader}))
	breakwaterv1.RegisterAuditServiceServer(server, NewAudit(AuditConfig{Store: w.store, Source: source}))
	services, err := authz.Services(server)
	must(t, err)
	w.table, err = authz.NewTable(services...)
	must(t, err)
	chain = intercept.New(intercept.Config{
		Table: w.table, Authenticator: authenticator, Validator: validator, Clock: w.clock,
		Logger: slog.New(slog.DiscardHandler), NewRequestID: func() string { return "r" },
	})
	listener := bufconn.Listen(1 << 16)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	w.conn, err = grpc.NewClient("passthrough:///in-memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	must(t, err)
	t.Cleanup(func() { _ = w.conn.Close(); server.Stop(); <-served })

	w.accounts = breakwaterv1.NewAccountServiceClient(w.conn)
	w.members = breakwaterv1.NewMemberServiceClient(w.conn)
	w.tokens = breakwaterv1.NewTokenServiceClient(w.conn)
	w.audit = breakwaterv1.NewAuditServiceClient(w.conn)
	_, err = source.Read(t.Context())
	must(t, err)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// as returns a context with a credential and more metadata.
func (w *accountWorld) as(bearer string, pairs ...string) context.Context {
	w.Helper()
	return metadata.AppendToOutgoingContext(w.Context(), append(pairs, call.MetadataAuthorization, "Bearer "+bearer)...)
}

func (w *accountWorld) op() context.Context {
	w.Helper()
	return w.as(w.operator)
}

// login makes a login and returns its credential.
func (w *accountWorld) login(email string) string {
	w.Helper()
	credential, _, err := w.logins.CreateLogin(w.Context(), email)
	must(w.T, err)
	return credential
}

// account makes an account whose owner accepted, and returns the owner's login.
func (w *accountWorld) account(id string) (owner string) {
	w.Helper()
	owner = w.login("owner@" + id + ".test")
	_, err := w.accounts.CreateAccount(w.as(owner), &breakwaterv1.CreateAccountRequest{AccountId: id, OwnerEmail: "owner@" + id + ".test"})
	must(w.T, err)
	return owner
}

// member invites a person, who accepts, and returns their name and login.
func (w *accountWorld) member(account, email string, role breakwaterv1.Member_Role, sites ...string) (name, login string) {
	w.Helper()
	m, err := w.members.CreateMember(w.op(), &breakwaterv1.CreateMemberRequest{
		Parent: "accounts/" + account, Member: &breakwaterv1.Member{Email: email, Role: role, Sites: sites},
	})
	must(w.T, err)
	login = w.login(email)
	_, err = w.members.AcceptMember(w.as(login), &breakwaterv1.AcceptMemberRequest{Name: m.GetName()})
	must(w.T, err)
	return m.GetName(), login
}

// token makes a token and returns it with its secret.
func (w *accountWorld) token(as string, t *breakwaterv1.Token) (*breakwaterv1.Token, string) {
	w.Helper()
	made, err := w.tokens.CreateToken(w.as(as), &breakwaterv1.CreateTokenRequest{Parent: "accounts/acme", Token: t})
	must(w.T, err)
	return made.GetToken(), made.GetSecret()
}

// refused checks that a call failed for a reason.
func (w *accountWorld) refused(err error, reason string) {
	w.Helper()
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetReason() == reason {
			return
		}
	}
	w.Errorf("%v, want %s", err, reason)
}

// violations are the fields that a refusal names, in its order.
func violations(err error) []*errdetails.BadRequest_FieldViolation {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			return bad.GetFieldViolations()
		}
	}
	return nil
}
