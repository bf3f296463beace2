package connect

import (
	"context"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
)

// silence is how long a report may go unanswered. A replica answers at once, or does not
// lead any more; one that is frozen says neither, and would hold its agents for as long as
// pings take to find out.
const silence = 4 * time.Second

// endSilent ends streams on which nothing answers what was sent.
func endSilent(clock clockwork.Clock) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
		open grpc.Streamer, opts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		ctx, end := context.WithCancel(ctx)
		stream, err := open(ctx, desc, conn, method, opts...)
		if err != nil {
			end()
			return nil, err
		}
		return &attentive{ClientStream: stream, clock: clock, end: end}, nil
	}
}

// attentive is a stream that ends when it is silent.
type attentive struct {
	grpc.ClientStream
	clock clockwork.Clock
	end   context.CancelFunc

	mu      sync.Mutex
	waiting clockwork.Timer // since the first message that is not answered; nil for none
}

// SendMsg implements grpc.ClientStream.
func (a *attentive) SendMsg(m any) error {
	a.mu.Lock()
	if a.waiting == nil {
		a.waiting = a.clock.AfterFunc(silence, a.end)
	}
	a.mu.Unlock()
	return a.ClientStream.SendMsg(m)
}

// RecvMsg implements grpc.ClientStream.
func (a *attentive) RecvMsg(m any) error {
	err := a.ClientStream.RecvMsg(m)
	a.mu.Lock()
	if a.waiting != nil {
		a.waiting.Stop()
		a.waiting = nil
	}
	a.mu.Unlock()
	if err != nil {
		a.end()
	}
	return err
}
