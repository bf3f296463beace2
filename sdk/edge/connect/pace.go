package connect

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// A connection that breaks is for many agents the same event: all of them lost it at the
// same moment, and gRPC would have all of them connect again at once. So every attempt but
// the first one of a process waits for a random part of a window, which doubles with each
// failure. What an agent has several connections for, it goes on with meanwhile.
const (
	// etcdWindow and etcdWindowMost are the first and the widest window for etcd, which
	// cannot say that it has too much to do: 10,000 agents are 5,000 attempts a second at
	// first, and 1,250 while it stays away.
	etcdWindow, etcdWindowMost = 2 * time.Second, 16 * time.Second
	// Those for replicas, which can.
	reportWindow, reportWindowMost = time.Second, 8 * time.Second
)

// Dial makes one connection to an address: host:port, or a path after `unix:`.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// dialNetwork is the Dial of real networks.
func dialNetwork(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectWithin}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return d.DialContext(ctx, "unix", strings.TrimPrefix(path, "//"))
	}
	return d.DialContext(ctx, "tcp", address)
}

// pace makes attempts to connect wait.
type pace struct {
	clock       clockwork.Clock
	random      func() float64
	dial        Dial
	first, most time.Duration

	mu        sync.Mutex
	addresses map[string]*attempts // as many as there are endpoints
}

// attempts are those of one address.
type attempts struct {
	// failed counts them since a connection lasted.
	failed int
	// due is when the next one may be made. It outlives an attempt that was given up while
	// it waited.
	due time.Time
	// connected is when the newest connection began; zero after a failure.
	connected time.Time
}

func newPace(clock clockwork.Clock, random func() float64, dial Dial, first, most time.Duration) *pace {
	if clock == nil {
		clock = clockwork.NewRealClock()
	}
	if random == nil {
		random = rand.Float64
	}
	if dial == nil {
		dial = dialNetwork
	}
	return &pace{clock: clock, random: random, dial: dial, first: first, most: most, addresses: map[string]*attempts{}}
}

// options are those of a connection whose attempts are paced.
func (p *pace) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(p.connect),
		grpc.WithConnectParams(grpc.ConnectParams{
			// gRPC's own pause is short, since the wait is made here.
			Backoff:           backoff.Config{BaseDelay: retryAfter, Multiplier: 1, Jitter: 0.2, MaxDelay: retryAfter},
			MinConnectTimeout: p.most + connectWithin,
		}),
	}
}

// connect waits for its time and makes one attempt.
func (p *pace) connect(ctx context.Context, address string) (net.Conn, error) {
	if err := p.wait(ctx, address); err != nil {
		return nil, err
	}
	conn, err := p.dial(ctx, address)
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.addresses[address]
	a.due = time.Time{}
	if err != nil {
		a.failed++
		a.connected = time.Time{}
		return nil, err
	}
	a.connected = p.clock.Now()
	return conn, nil
}

func (p *pace) wait(ctx context.Context, address string) error {
	wait := p.draw(address)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := p.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.Chan():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// draw returns how long to wait from now.
func (p *pace) draw(address string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	a, known := p.addresses[address]
	if !known {
		p.addresses[address] = &attempts{due: now}
		return 0
	}
	if a.due.IsZero() {
		if !a.connected.IsZero() {
			// A connection that did not last counts as a failure: whoever accepts and breaks
			// at once is not asked more often than one who does not accept.
			a.failed++
			if now.Sub(a.connected) >= p.most {
				a.failed = 0
			}
			a.connected = time.Time{}
		}
		a.due = now.Add(p.window(a.failed))
	}
	return a.due.Sub(now)
}

// window draws a wait.
func (p *pace) window(failed int) time.Duration {
	w := p.most
	if failed < 16 {
		w = min(p.first<<failed, p.most)
	}
	return time.Duration(p.random() * float64(w))
}
