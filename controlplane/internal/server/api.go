package server

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Bounds of one gRPC message and of one connection's streams.
const (
	maxMessageBytes = 8 << 20
	maxStreams      = 1000
	idleConnection  = 15 * time.Minute
	pingInterval    = 30 * time.Second
	// inProcessBuffer is how much the in-process connection holds in flight.
	inProcessBuffer = 1 << 20
)

// api is the gRPC server with its interceptors, and the gateway's way in.
type api struct {
	server *grpc.Server
	chain  *intercept.Chain
	// inProcess is the listener that the gateway's connection reaches. methods and unary
	// are what its unary calls need, which pass it by.
	inProcess *bufconn.Listener
	methods   map[string]unaryMethod
	unary     grpc.UnaryServerInterceptor
	traced    bool
}

// newAPI builds the gRPC server and registers every service. It fails when an RPC does not
// declare who may call it.
func newAPI(ctx context.Context, r *rooms, s *services, o *observation) (*api, error) {
	a := &api{
		inProcess: bufconn.Listen(inProcessBuffer), methods: map[string]unaryMethod{}, traced: o.tracing.Enabled(),
	}
	measure := o.metrics.Unary()
	a.unary = func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		return measure(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return a.chain.Unary()(ctx, req, info, h)
		})
	}
	tls, err := r.cfg.apiTLS()
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if tls != nil {
		creds = credentials.NewTLS(tls)
	}
	// The chain needs the table of what is registered, and the server needs the chain: the
	// indirection closes that circle before the first call.
	options := []grpc.ServerOption{
		grpc.Creds(inProcessPlain{creds}),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleConnection, Time: pingInterval}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingInterval / 3, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(a.unary),
		grpc.ChainStreamInterceptor(o.metrics.Stream(),
			func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
				return a.chain.Stream()(srv, ss, info, h)
			}),
	}
	if o.tracing.Enabled() {
		options = append(options, grpc.StatsHandler(o.tracing.ServerHandler()))
	}
	a.server = grpc.NewServer(options...)
	s.register(registrar{a.server, a.methods})
	if r.cfg.Dev {
		reflection.Register(a.server)
	}
	a.chain, err = newChain(ctx, r, a.server)
	return a, err
}

// newReportServer builds the gRPC server that edge servers report to.
func newReportServer(ctx context.Context, r *rooms, s *services) (*grpc.Server, error) {
	tls, err := r.cfg.reportTLS(r.keys)
	if err != nil {
		return nil, err
	}
	var chain *intercept.Chain
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(tls)),
		grpc.MaxRecvMsgSize(1<<20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingInterval}),
		// Agents ping more often than others, to find out soon that a leader is gone.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingInterval / 6, PermitWithoutStream: true}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return chain.Stream()(srv, ss, info, h)
		}),
	)
	edgev1.RegisterEdgeServiceServer(server, s.reports)
	chain, err = newChain(ctx, r, server)
	return server, err
}

func newChain(ctx context.Context, r *rooms, server *grpc.Server) (*intercept.Chain, error) {
	descriptors, err := authz.Services(server, reflectionServices...)
	if err != nil {
		return nil, err
	}
	table, err := authz.NewTable(descriptors...)
	if err != nil {
		return nil, err
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("validation rules: %w", err)
	}
	identities, err := newAuthenticator(ctx, r)
	if err != nil {
		return nil, err
	}
	return intercept.New(intercept.Config{
		Table:         table,
		Authenticator: identities,
		Limiter: ratelimit.NewLimiter(ratelimit.Config{
			Clock: r.machine, Limit: r.callLimit,
		}),
		Gate:           ratelimit.NewGate(ratelimit.GateConfig{Clock: r.machine}),
		Streams:        ratelimit.NewGate(ratelimit.GateConfig{Clock: r.machine, Total: 20_000, PerTenant: 500}),
		Large:          ratelimit.NewGate(largeGate(r.machine)),
		LimitOperators: !r.cfg.Dev,
		Validator:      validator,
		Clock:          r.machine,
		Logger:         r.log,
		TrustedProxies: r.proxies(),
		NewRequestID:   func() string { return newID(r.machine.Now()) },
		Exempt:         reflectionServices,
	}), nil
}

// largeGate leaves half of the processors to other calls, and lets a tenant's large ones run
// one after the other.
func largeGate(machine clockwork.Clock) ratelimit.GateConfig {
	return ratelimit.GateConfig{
		Clock: machine, Total: max(1, runtime.GOMAXPROCS(0)/2), PerTenant: 1, Queue: 32, MaxWait: 10 * time.Second,
	}
}

func newAuthenticator(ctx context.Context, r *rooms) (*authn.Authenticator, error) {
	cfg := authn.Config{
		View:      func() authn.View { return r.state.Cached() },
		Fresh:     func(ctx context.Context) (authn.View, error) { return r.source.Read(ctx) },
		Staleness: r.state.Staleness,
		Clock:     r.day,
		Operators: r.keys.operators,
		DevLogins: r.cfg.Dev,
	}
	if r.cfg.OIDCIssuer != "" {
		logins, err := authn.NewOIDC(ctx, authn.OIDCConfig{Issuer: r.cfg.OIDCIssuer, ClientID: r.cfg.OIDCClientID})
		if err != nil {
			return nil, fmt.Errorf("oidc-issuer: %w", err)
		}
		cfg.Logins = logins
	}
	return authn.New(cfg), nil
}

// reflectionServices are gRPC's own, which declare no access: what they tell is public.
var reflectionServices = []string{
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
}

// proxies are the networks whose X-Forwarded-For is believed; they were checked at start.
func (r *rooms) proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range r.cfg.TrustedProxies {
		if prefix, err := netip.ParsePrefix(p); err == nil {
			out = append(out, prefix)
		}
	}
	return out
}

// outsiderCalls is how many calls in five minutes one may make who is no account: a person
// across accounts, or an address without a credential.
const outsiderCalls = 6000

// operatorCalls is the same for an operator: enough for scripts over the whole fleet, and a
// bound for one that runs wild. No tenant's load is part of it.
const operatorCalls = 60_000

// callLimit is how many calls in five minutes a tenant may make. For an account it is what
// the best plan of its sites allows.
func (r *rooms) callLimit(tenant string) int {
	switch {
	case strings.HasPrefix(tenant, "operator:"):
		return operatorCalls
	case !resource.ValidAccountID(tenant):
		return outsiderCalls
	}
	best := r.plans.Entitlements(r.plans.Cheapest()).GetApiCallsPerFiveMinutes()
	kvs, _ := r.state.Cached().List(resource.ForAccount(tenant).Sites(), "", 1000)
	for _, kv := range kvs {
		if plan := planOf(kv.Value); plan != "" {
			best = max(best, r.plans.Entitlements(plan).GetApiCallsPerFiveMinutes())
		}
	}
	if best <= 0 {
		return math.MaxInt32
	}
	return int(best)
}

// dialInProcess connects to the API without a network.
func (a *api) dialInProcess() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///in-process",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return a.inProcess.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	)
}

// gatewayConn is what the gateway calls through: functions where it can, and the connection
// for streams, and for all where traces are kept, which are made of what connections see.
func (a *api) gatewayConn(conn *grpc.ClientConn) grpc.ClientConnInterface {
	if a.traced {
		return conn
	}
	return &inProcess{ClientConnInterface: conn, methods: a.methods, intercept: a.unary, from: a.inProcess.Addr()}
}

// inProcessPlain is transport credentials that leave the in-process connection plain,
// whatever the network's connections have.
type inProcessPlain struct {
	credentials.TransportCredentials
}

func (c inProcessPlain) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if conn.LocalAddr().Network() == "bufconn" {
		return insecure.NewCredentials().ServerHandshake(conn)
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

func (c inProcessPlain) Clone() credentials.TransportCredentials {
	return inProcessPlain{c.TransportCredentials.Clone()}
}
