package intercept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// run is one call on its way through the chain.
type run struct {
	chain   *Chain
	rule    *authz.Rule
	md      metadata.MD
	info    call.Info
	started time.Time
	// inMemory says that the gateway of this process calls.
	inMemory bool
	// pending are pairs of header metadata that wait for [run.flush].
	pending []string
}

func (c *Chain) begin(ctx context.Context, fullMethod string) *run {
	md, _ := metadata.FromIncomingContext(ctx)
	r := &run{chain: c, md: md, started: c.cfg.Clock.Now()}
	r.info.FullMethod = fullMethod
	r.info.RequestID = r.requestID()
	r.info.Peer, r.inMemory = c.peer(ctx, md)
	return r
}

// announce sends the request's ID back.
func (r *run) announce() { r.header(call.MetadataRequestID, r.info.RequestID) }

func (r *run) header(pairs ...string) { r.pending = append(r.pending, pairs...) }

// flush sets the headers that wait, all at once.
func (r *run) flush(ctx context.Context) {
	if len(r.pending) == 0 {
		return
	}
	// It fails only when headers were sent already, or outside of a server: then there is
	// nobody to tell.
	_ = grpc.SetHeader(ctx, metadata.Pairs(r.pending...))
	r.pending = nil
}

// first is the only or first value of a metadata key.
func (r *run) first(key string) string {
	if v := r.md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (r *run) requestID() string {
	if given := r.first(call.MetadataRequestID); call.SaneRequestID(given) {
		return given
	}
	return r.chain.cfg.NewRequestID()
}

// identify finds out who calls.
func (r *run) identify(ctx context.Context) error {
	c := r.chain
	rule, ok := c.cfg.Table.Rule(r.info.FullMethod)
	if !ok {
		// The server checked at its start that every RPC has one.
		return rpcerr.Internal(fmt.Errorf("intercept: %s has no rule", r.info.FullMethod))
	}
	r.rule = rule
	var err error
	if rule.Scope == breakwaterv1.Access_EDGE {
		r.info.Principal, err = c.cfg.Edge(ctx)
		return err
	}
	r.info.Principal, err = c.cfg.Authenticator.Authenticate(ctx, r.bearer(), r.info.Peer, r.first(call.MetadataOnBehalfOf))
	if err != nil && rule.Scope == breakwaterv1.Access_PUBLIC {
		// Public means public, with a credential that ended as well.
		r.info.Principal = authn.Principal{}
		return nil
	}
	if err == nil && r.info.Principal.Kind == authn.Anonymous && rule.Scope != breakwaterv1.Access_PUBLIC {
		err = errNoCredential()
	}
	if err != nil {
		// Guessing is limited by where it comes from.
		if limited := r.count(r.addressTenant()); limited != nil {
			return limited
		}
	}
	return err
}

func (r *run) bearer() string { return Bearer(r.first(call.MetadataAuthorization)) }

// Bearer is the credential of an Authorization header, whose scheme has no case. What has
// another scheme becomes a credential that nobody has.
func Bearer(header string) string {
	scheme, credential, ok := strings.Cut(header, " ")
	if !ok {
		// Something was sent that is no bearer's credential: it must not pass as nothing.
		return scheme
	}
	if !strings.EqualFold(scheme, "bearer") {
		return "unsupported"
	}
	return strings.TrimSpace(credential)
}

// maxChecked bounds the requests that a [Checker] sees although they break rules of the
// protos, which are what bounds the work of checking.
const maxChecked = 16 << 10

// open runs the steps that need the request. service is who it is for; nil for a stream's.
func (r *run) open(req, service any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return rpcerr.Internal(fmt.Errorf("intercept: request of type %T", req))
	}
	if err := r.chain.cfg.Table.Check(r.info.Principal, r.info.FullMethod, m); err != nil {
		return err
	}
	// The gateway refused what is unknown in JSON. Agents may be newer than this server.
	if !r.admitted() && r.rule.Scope != breakwaterv1.Access_EDGE {
		if err := knows(m.ProtoReflect()); err != nil {
			return err
		}
	}
	if err := r.options(m); err != nil {
		return err
	}
	err := r.validate(m)
	if c, ok := service.(Checker); ok && err != nil && proto.Size(m) <= maxChecked {
		err = rpcerr.Together(rpcerr.Within(err, r.rule.Body), rpcerr.Within(c.Check(m), r.rule.Body))
	}
	return err
}

func (r *run) validate(req any) error {
	m, ok := req.(proto.Message)
	if !ok || r.chain.cfg.Validator == nil {
		return nil
	}
	return r.chain.cfg.Validator.Validate(m)
}

// end turns what the call came to into a status, and logs it.
func (r *run) end(ctx context.Context, resp any, panicked any, err error) (any, error) {
	r.flush(ctx)
	if panicked != nil {
		err = rpcerr.Internal(fmt.Errorf("intercept: panic: %v\n%s", panicked, debug.Stack()))
	}
	if err == nil {
		r.log(ctx, slog.LevelDebug, nil)
		return resp, nil
	}
	if r.rule != nil {
		err = rpcerr.Within(err, r.rule.Body)
	}
	status := rpcerr.Status(err)
	if rpcerr.Known(err) {
		r.log(ctx, slog.LevelInfo, func() []slog.Attr {
			return []slog.Attr{slog.String("code", status.Code().String()), slog.String("reason", status.Message())}
		})
	} else {
		r.log(ctx, slog.LevelError, func() []slog.Attr {
			return []slog.Attr{slog.String("code", status.Code().String()), slog.Any("cause", cause(err))}
		})
	}
	return nil, status.Err()
}

// log writes one entry about the call: its level says whether it was done, refused, or
// failed by a fault of the server. Attributes are made only where somebody reads them.
func (r *run) log(ctx context.Context, level slog.Level, more func() []slog.Attr) {
	logger := r.chain.cfg.Logger
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.info.FullMethod), slog.String("request_id", r.info.RequestID),
		slog.String("principal", r.info.Principal.ID), slog.String("peer", r.info.Peer.String()),
		slog.Duration("took", r.chain.cfg.Clock.Since(r.started)),
	}
	if more != nil {
		attrs = append(attrs, more()...)
	}
	logger.LogAttrs(ctx, level, "call ended", attrs...)
}

// cause is what the caller is not told.
func cause(err error) error {
	var e *rpcerr.Error
	if errors.As(err, &e) && e.Cause != nil {
		return e.Cause
	}
	return err
}
