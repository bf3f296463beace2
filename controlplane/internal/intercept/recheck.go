package intercept

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// recheckEvery is how often an open stream asks whether its caller may still have it. With
// the cache's delay it is how long a revocation takes to end it.
const recheckEvery = time.Second

// guard has a goroutine of the stream's own ask, until the stream ends, whether its caller
// may still have it. The number of streams is bounded, and asking costs look-ups in the
// cache.
func (s *stream) guard(m proto.Message) {
	if scope := s.run.rule.Scope; scope == breakwaterv1.Access_PUBLIC || scope == breakwaterv1.Access_EDGE {
		return // Nobody's, or bound to the certificate of its connection.
	}
	// The handler may do with its request what it likes.
	request := proto.Clone(m)
	s.guards.Go(func() {
		ticker := s.run.chain.cfg.Clock.NewTicker(recheckEvery)
		defer ticker.Stop()
		for {
			select {
			case <-s.life.Done():
				return
			case <-ticker.Chan():
			}
			if err := s.run.recheck(s.life, request); err != nil {
				s.end(err)
				return
			}
		}
	})
}

// recheck says why the caller may no longer have the stream, or may no longer have it as it
// was begun.
func (r *run) recheck(ctx context.Context, request proto.Message) error {
	p, err := r.chain.cfg.Authenticator.Authenticate(ctx, r.bearer(), r.info.Peer, r.first(call.MetadataOnBehalfOf))
	if err != nil {
		if rpcerr.Status(err).Code() == codes.Unavailable {
			return nil // Without the store nothing is revoked, and nothing new is told either.
		}
		return err
	}
	if err := r.chain.cfg.Table.Check(p, r.info.FullMethod, request); err != nil {
		return err
	}
	account := r.rule.Account(request)
	before, _ := r.info.Principal.GrantIn(account)
	now, _ := p.GrantIn(account)
	if !slices.Equal(before.Sites, now.Sites) {
		return rpcerr.Unavailable(0, "which sites the credential reaches has changed: begin again where you are")
	}
	return nil
}

// ended is what a stream's handler failed with: the reason where the guard ended it.
func (s *stream) ended(err error) error {
	if err != nil && s.life.Err() != nil && s.ServerStream.Context().Err() == nil {
		return context.Cause(s.life)
	}
	return err
}

// SendMsg implements [grpc.ServerStream]. Nothing is sent to one who may no longer have it.
func (s *stream) SendMsg(m any) error {
	if s.life.Err() != nil {
		return context.Cause(s.life)
	}
	return s.ServerStream.SendMsg(m)
}
