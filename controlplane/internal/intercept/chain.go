package intercept

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"buf.build/go/protovalidate"
	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Authenticator finds out who calls.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string, peer netip.Addr, onBehalfOf string) (authn.Principal, error)
}

// Limiter counts calls.
type Limiter interface {
	Allow(tenant string) ratelimit.Decision
}

// Gate bounds how many calls run at once.
type Gate interface {
	Enter(ctx context.Context, tenant string) (leave func(), err error)
}

// Checker is a service that knows rules of its requests that the protos can't say and that
// need nothing stored. It is asked where rules of the protos are broken, so that the caller
// learns of all at once; what breaks no rule of the protos its handlers check.
type Checker interface {
	Check(request proto.Message) error
}

// Config is what a Chain needs.
type Config struct {
	Table         *authz.Table
	Authenticator Authenticator
	// Limiter and Gate may be nil, for none. They know a tenant as an account's ID, or, for
	// whoever belongs to no account, as `user:{email}`, `address:{address or /64}` or
	// `operator:{name}`, with an empty name for the only operator: what is no account's ID has
	// a colon. Streams pass the Limiter when they begin, and Streams in place of Gate.
	// Large is passed before it by what the gateway decodes from a large body, which keeps a
	// processor busy and does not wait for the store.
	Limiter Limiter
	Gate    Gate
	Streams Gate
	Large   Gate
	// LimitOperators makes operators count as a tenant of their own; they are not limited
	// otherwise.
	LimitOperators bool
	Validator      protovalidate.Validator
	Clock          clockwork.Clock
	Logger         *slog.Logger
	// TrustedProxies are the networks whose x-forwarded-for counts.
	TrustedProxies []netip.Prefix
	// Edge finds out which edge server calls; nil means [EdgeByCertificate].
	Edge func(ctx context.Context) (authn.Principal, error)
	// NewRequestID makes a request's ID.
	NewRequestID func() string
	// Exempt are services of other projects, such as health: only steps 1, 2 and 9 apply.
	Exempt []string
}

// Chain makes the interceptors of a server. It is safe for concurrent use.
type Chain struct{ cfg Config }

// New returns a Chain.
func New(cfg Config) *Chain {
	if cfg.Edge == nil {
		cfg.Edge = EdgeByCertificate
	}
	return &Chain{cfg: cfg}
}

// Unary returns the interceptor of unary calls.
func (c *Chain) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		r := c.begin(ctx, info.FullMethod)
		defer func() { resp, err = r.end(ctx, resp, recover(), err) }()
		r.announce()
		if c.exempt(info.FullMethod) {
			return handler(call.With(ctx, r.info), req)
		}
		if err := r.identify(ctx); err != nil {
			return nil, err
		}
		leave, err := r.admit(ctx, c.cfg.Gate, req)
		if err != nil {
			return nil, err
		}
		defer leave()
		if err := r.open(req, info.Server); err != nil {
			return nil, err
		}
		return handler(call.With(ctx, r.info), req)
	}
}

// Stream returns the interceptor of streaming calls.
func (c *Chain) Stream() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		ctx := ss.Context()
		r := c.begin(ctx, info.FullMethod)
		defer func() { _, err = r.end(ctx, nil, recover(), err) }()
		r.announce()
		if c.exempt(info.FullMethod) {
			r.flush(ctx)
			return handler(srv, ss)
		}
		if err := r.identify(ctx); err != nil {
			return err
		}
		leave, err := r.admit(ctx, c.cfg.Streams, nil)
		if err != nil {
			return err
		}
		defer leave()
		// Headers go out with the first message, so they must be set before.
		r.flush(ctx)
		s := &stream{ServerStream: ss, run: r}
		s.life, s.end = context.WithCancelCause(ctx)
		s.ctx = call.With(s.life, r.info)
		defer s.guards.Wait()
		defer s.end(nil)
		if r.rule.Resource == nil {
			// Nothing of the decision is in a message: refuse before the handler starts.
			if err := c.cfg.Table.Check(r.info.Principal, r.info.FullMethod, nil); err != nil {
				return err
			}
		}
		return s.ended(handler(srv, s))
	}
}

func errNoCredential() error {
	return rpcerr.Unauthenticated("a credential is needed: send `Authorization: Bearer …`")
}

func (c *Chain) exempt(fullMethod string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	return slices.Contains(c.cfg.Exempt, service)
}

// stream runs what needs the request when the first message arrives, and ends when its
// caller may no longer have it.
type stream struct {
	grpc.ServerStream
	run     *run
	ctx     context.Context
	started bool
	// life ends with the handler, or by end, which says why.
	life   context.Context
	end    context.CancelCauseFunc
	guards sync.WaitGroup
}

// Context implements [grpc.ServerStream].
func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg implements [grpc.ServerStream].
func (s *stream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if s.started {
		return s.run.validate(m)
	}
	s.started = true
	if err := s.run.open(m, nil); err != nil {
		return err
	}
	s.ctx = call.With(s.ctx, s.run.info)
	if request, ok := m.(proto.Message); ok {
		s.guard(request)
	}
	return nil
}
