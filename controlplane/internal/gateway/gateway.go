package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Defaults of [Config].
const (
	DefaultMaxBody       = 512 << 10
	DefaultMaxLargeBody  = 4 << 20
	DefaultMaxDepth      = 32
	DefaultTimeout       = 30 * time.Second
	DefaultStreamTimeout = 15 * time.Minute
	DefaultWriteTimeout  = 30 * time.Second
)

// Config is what a gateway needs beside its connection. The zero value serves production's
// routes with the defaults, and leaves it to the API behind it whom to let in.
type Config struct {
	// Admit refuses a request before it is read: who sends it, how often, and what for. It
	// gets the gRPC method, `/package.Service/Method`, and the name of the resource as the
	// path has it, which may be empty. The calls that follow say that they were admitted. A
	// nil function lets the API answer, after decoding.
	Admit func(r *http.Request, fullMethod, name string) (Ticket, error)
	// Fixed are the handlers of paths that are no routes of the API, by the whole path.
	Fixed map[string]Fixed
	// Dev adds the routes below /v1/dev.
	Dev bool
	// MaxBody bounds a request's body, in bytes, and MaxLargeBody that of the few routes that
	// take whole files and lists.
	MaxBody, MaxLargeBody int64
	// MaxDepth bounds the nesting of a request's body.
	MaxDepth int
	// Timeout bounds a call, and StreamTimeout a stream.
	Timeout, StreamTimeout time.Duration
	// WriteTimeout bounds each write of a response, so that a client that does not read
	// does not hold a stream.
	WriteTimeout time.Duration
	// Drain ends all streams when it ends, with UNAVAILABLE, so that a server that stops need
	// not wait for them; other calls go on. Nil means never.
	Drain context.Context
	// Clock drives the time-outs; the real one when nil.
	Clock clockwork.Clock
	// Logger gets what the client is not told: the causes of internal errors. Nothing is
	// logged when nil.
	Logger *slog.Logger
}

// Ticket is a request that was let in, or, beside an error, was not.
type Ticket struct {
	// Header is what the answer tells of the caller's limits, by the keys of package call.
	Header metadata.MD
	// Enter waits for a place to run and returns what gives it back; nil where none is
	// needed. It is asked once the body was read, with its size, so that a client who sends
	// slowly holds no place, and before anything is done with it.
	Enter func(ctx context.Context, size int) (leave func(), err error)
}

// Fixed answers a path for the methods that it lists.
type Fixed struct {
	Methods []string
	Handler http.Handler
}

func (c Config) withDefaults() Config {
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxLargeBody <= 0 {
		c.MaxLargeBody = max(c.MaxBody, DefaultMaxLargeBody)
	}
	if c.MaxDepth <= 0 {
		c.MaxDepth = DefaultMaxDepth
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.StreamTimeout <= 0 {
		c.StreamTimeout = DefaultStreamTimeout
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.Drain == nil {
		c.Drain = context.Background()
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

type gateway struct {
	cfg    Config
	routes *table
	mux    *runtime.ServeMux
}

// New returns the handler of everything below /v1 and of the fixed paths. Any other path is
// answered as an unknown route. The caller keeps the connection open for as long as the
// handler is used.
func New(conn grpc.ClientConnInterface, cfg Config) (http.Handler, error) {
	g := &gateway{cfg: cfg.withDefaults()}
	var err error
	if g.routes, err = newTable(services(g.cfg.Dev)); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.HTTPBodyMarshaler{Marshaler: newMarshaler()}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(outgoingHeader),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithMetadata(annotate),
		runtime.WithErrorHandler(g.handleError),
		runtime.WithStreamErrorHandler(g.streamError),
		runtime.WithForwardResponseOption(setETag),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithWriteContentLength(),
	)
	if err := register(g.mux, &peekingConn{conn}, g.cfg.Dev); err != nil {
		return nil, fmt.Errorf("gateway: register: %w", err)
	}
	return WithRequestID(g), nil
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fixed, isFixed := g.cfg.Fixed[r.URL.Path]
	if isFixed && slices.Contains(fixed.Methods, r.Method) {
		fixed.Handler.ServeHTTP(w, r)
		return
	}
	w = &deadlineWriter{ResponseWriter: w, clock: g.cfg.Clock, timeout: g.cfg.WriteTimeout}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Answers hold what only the caller may see, secrets among it.
	w.Header().Set("Cache-Control", "no-store")
	if isFixed {
		g.writeError(w, r, methodNotAllowed(w.Header(), r, fixed.Methods))
		return
	}
	if err := g.serve(w, r); err != nil {
		g.writeError(w, r, err)
	}
}

// serve makes the call that a request asks for. An error is one of the gateway's own, and
// nothing was written; what the API answers is written by the generated code.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) error {
	rt, vars, err := g.routes.find(w.Header(), r)
	if err != nil {
		return err
	}
	var ticket Ticket
	if g.cfg.Admit != nil {
		ticket, err = g.cfg.Admit(r, rt.fullMethod, rt.resource(vars))
		copyHeader(w.Header(), ticket.Header)
		if err != nil {
			return err
		}
	}
	timeout := g.cfg.Timeout
	if rt.streams {
		timeout = g.cfg.StreamTimeout
	}
	ctx, cancel := clockwork.WithTimeout(r.Context(), g.cfg.Clock, timeout)
	defer cancel()
	if rt.streams {
		//nolint:contextcheck // The other context only ends this one earlier.
		defer context.AfterFunc(g.cfg.Drain, cancel)()
	}
	raw, err := readBody(w, r, g.bodyLimit(rt))
	if err != nil {
		return err
	}
	state := &callState{leave: func() {}}
	if ticket.Enter != nil {
		leave, err := ticket.Enter(ctx, len(raw))
		if err != nil {
			return err
		}
		state.leave = sync.OnceFunc(leave)
		defer state.leave()
	}
	req, err := g.prepare(withCallState(ctx, state), r, rt, vars, raw)
	if err != nil {
		return err
	}
	g.mux.ServeHTTP(w, req)
	return nil
}

func (g *gateway) bodyLimit(rt *route) int64 {
	if rt.large {
		return g.cfg.MaxLargeBody
	}
	return g.cfg.MaxBody
}

// prepare checks a request and makes of it the one that the generated code reads: without
// headers but the credential, with the query and the body normalised.
func (g *gateway) prepare(ctx context.Context, r *http.Request, rt *route, vars map[string]string, raw []byte) (*http.Request, error) {
	md, violations := metadataOf(r)
	q, err := rt.checkQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	violations = append(violations, q.violations...)
	b, err := rt.checkBody(raw, vars, g.cfg.MaxDepth)
	if err != nil {
		return nil, err
	}
	violations = append(violations, b.violations...)
	if len(violations) > 0 {
		return nil, rpcerr.Invalid(violations...)
	}
	rt.setMask(q.form, b.present)
	if q.validateOnly {
		md.Set(validateOnlyKey, "true")
	}
	if g.cfg.Admit != nil {
		md.Set(call.MetadataAdmitted, "true")
	}
	callStateOf(ctx).metadata = md
	return rebuild(ctx, r, q.form, b.json), nil
}
