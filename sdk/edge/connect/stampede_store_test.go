package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
)

// besieged is a real etcd member that clients reach over connections in memory, of which
// there can be more than a process may have files. All can be cut at once.
type besieged struct {
	t      *testing.T
	clock  clockwork.Clock
	member *embed.Etcd
	admin  *clientv3.Client
	line   *bufconn.Listener

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]struct{}
	seen
}

// seen is what came since it was last asked for.
type seen struct {
	// attempts to connect.
	attempts []time.Time
	// watches are the revisions from which watches were asked for.
	watches []int64
	// reads are the times of calls that are no watches; together is how many ran at once.
	reads             []time.Time
	running, together int
}

func besiege(t *testing.T, clock clockwork.Clock) *besieged {
	t.Helper()
	sockets, err := os.MkdirTemp("", "bw") //nolint:usetesting // a test's own directory is too deep for a socket
	if err != nil {
		t.Fatal(err)
	}
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	client := url.URL{Scheme: "unix", Path: filepath.Join(sockets, "c.sock")}
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(sockets, "p.sock")}}
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "unix", Host: "peer:0"}}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.InitialCluster = cfg.Name + "=unix://peer:0"
	cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = 100, 1000, true
	member, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-member.Server.ReadyNotify()
	b := &besieged{
		t: t, clock: clock, member: member, admin: v3client.New(member.Server),
		line: bufconn.Listen(4 << 10), conns: map[net.Conn]struct{}{},
	}
	server := v3rpc.Server(member.Server, nil, nil,
		grpc.ChainStreamInterceptor(b.watching), grpc.ChainUnaryInterceptor(b.reading),
		grpc.ReadBufferSize(1<<10), grpc.WriteBufferSize(1<<10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: embed.DefaultGRPCKeepAliveMinTime}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(b.line) }()
	t.Cleanup(func() {
		b.cut()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = b.admin.Close()
		member.Close()
		_ = os.RemoveAll(sockets)
	})
	return b
}

var errAway = errors.New("the line is cut")

// dial makes a connection, unless the line is cut.
func (b *besieged) dial(ctx context.Context, _ string) (net.Conn, error) {
	b.mu.Lock()
	b.attempts = append(b.attempts, b.clock.Now())
	away := b.away
	b.mu.Unlock()
	if away {
		return nil, errAway
	}
	conn, err := b.line.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[conn] = struct{}{}
	return cuttable{conn, b}, nil
}

type cuttable struct {
	net.Conn
	of *besieged
}

func (c cuttable) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c.Conn)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// cut ends all connections, and lets no new one through.
func (b *besieged) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = true
	for c := range b.conns {
		_ = c.Close()
	}
	clear(b.conns)
}

func (b *besieged) restore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = false
}

// take returns what came since it was called last.
func (b *besieged) take() seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.seen
	b.seen = seen{running: out.running}
	return out
}

// so says whether what came is as wanted.
func (b *besieged) so(wanted func(seen) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return wanted(b.seen)
}

// connected is how many connections there are.
func (b *besieged) connected() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

func (b *besieged) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%d attempts, %d connections, %d watches, %d reads", len(b.attempts), len(b.conns), len(b.watches), len(b.reads))
}

func (b *besieged) reading(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	b.mu.Lock()
	b.reads = append(b.reads, b.clock.Now())
	b.running++
	b.together = max(b.together, b.running)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running--
		b.mu.Unlock()
	}()
	return handler(ctx, req)
}

func (b *besieged) watching(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, overheard{ss, b})
}

// overheard is a stream of watches whose requests are noted.
type overheard struct {
	grpc.ServerStream
	by *besieged
}

func (o overheard) RecvMsg(m any) error {
	err := o.ServerStream.RecvMsg(m)
	if req, ok := m.(*pb.WatchRequest); ok && err == nil {
		if create := req.GetCreateRequest(); create != nil {
			o.by.mu.Lock()
			o.by.watches = append(o.by.watches, create.GetStartRevision())
			o.by.mu.Unlock()
		}
	}
	return err
}
