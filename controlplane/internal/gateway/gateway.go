package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Defaults of [Config].
const (
	DefaultMaxBody       = 4 << 20
	DefaultMaxDepth      = 32
	DefaultTimeout       = 30 * time.Second
	DefaultStreamTimeout = 15 * time.Minute
	DefaultWriteTimeout  = 30 * time.Second
)

// Config is what a gateway needs beside its connection. The zero value serves production's
// routes with the defaults, and leaves authentication to the API behind it.
type Config struct {
	// Authenticate refuses a request whose credential is bad, before it is read. It gets the
	// gRPC method, `/package.Service/Method`, because some need none. A nil function lets
	// the API answer, after decoding.
	Authenticate func(r *http.Request, fullMethod string) error
	// Dev adds the routes below /v1/dev.
	Dev bool
	// MaxBody bounds a request's body, in bytes.
	MaxBody int64
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

func (c Config) withDefaults() Config {
	if c.Authenticate == nil {
		c.Authenticate = func(*http.Request, string) error { return nil }
	}
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
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

// New returns the handler of everything below /v1. Any other path is answered as an unknown
// route. The caller keeps the connection open for as long as the handler is used.
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
	w = &deadlineWriter{ResponseWriter: w, clock: g.cfg.Clock, timeout: g.cfg.WriteTimeout}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Answers hold what only the caller may see, secrets among it.
	w.Header().Set("Cache-Control", "no-store")

	rt, vars, err := g.routes.find(w.Header(), r)
	if err != nil {
		g.writeError(w, r, err)
		return
	}
	if err := g.cfg.Authenticate(r, rt.fullMethod); err != nil {
		g.writeError(w, r, err)
		return
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
	req, err := g.prepare(ctx, w, r, rt, vars)
	if err != nil {
		g.writeError(w, r, err)
		return
	}
	g.mux.ServeHTTP(w, req)
}

// prepare checks a request and makes of it the one that the generated code reads: without
// headers but the credential, with the query and the body normalised.
func (g *gateway) prepare(ctx context.Context, w http.ResponseWriter, r *http.Request, rt *route, vars map[string]string) (*http.Request, error) {
	md, violations := metadataOf(r)
	q, err := rt.checkQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	violations = append(violations, q.violations...)
	raw, err := readBody(w, r, g.cfg.MaxBody)
	if err != nil {
		return nil, err
	}
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
	return rebuild(withCallState(ctx, &callState{metadata: md}), r, q.form, b.json), nil
}
