package connect

import (
	"context"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// longestHint bounds how long an agent stays away because it was told to.
const longestHint = time.Minute

// heed makes new streams wait for as long as a replica asked that refused one because too
// many came at once. A little more, at random, keeps those apart that were told the same.
type heed struct {
	clock  clockwork.Clock
	random func() float64

	mu    sync.Mutex
	until time.Time
}

// intercept is a stream interceptor.
func (h *heed) intercept(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if err := h.wait(ctx); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		h.note(err)
		return nil, err
	}
	return heeded{stream, h}, nil
}

func (h *heed) wait(ctx context.Context) error {
	h.mu.Lock()
	wait := h.until.Sub(h.clock.Now())
	h.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := h.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.Chan():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note looks for a hint in the end of a stream.
func (h *heed) note(err error) {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.ResourceExhausted {
		return
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			hint := min(max(info.GetRetryDelay().AsDuration(), 0), longestHint)
			hint += time.Duration(h.random() * float64(hint) / 8)
			h.mu.Lock()
			h.until = h.clock.Now().Add(hint)
			h.mu.Unlock()
		}
	}
}

// heeded is a stream whose end is noted.
type heeded struct {
	grpc.ClientStream
	heed *heed
}

// RecvMsg implements grpc.ClientStream.
func (s heeded) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.heed.note(err)
	}
	return err
}
