package edgetest

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// patience is how long a helper waits for anything.
const patience = time.Minute

// Etcd is one etcd member that can be stopped and started.
type Etcd struct {
	dir, sockets string
	member       *embed.Etcd
	hangUp       context.CancelFunc
	client       *clientv3.Client
}

// StartEtcd starts a member on an empty directory.
func StartEtcd(tb testing.TB) *Etcd {
	tb.Helper()
	sockets, err := os.MkdirTemp("", "bw") //nolint:usetesting // a test's own directory is too deep for a socket
	if err != nil {
		tb.Fatal(err)
	}
	e := &Etcd{dir: tb.TempDir(), sockets: sockets}
	e.Start(tb)
	e.client, err = clientv3.New(clientv3.Config{
		Endpoints: []string{"unix://" + e.socket()}, DialTimeout: patience, Logger: zap.NewNop(),
		BackoffWaitBetween: 10 * time.Millisecond,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.2, MaxDelay: 50 * time.Millisecond},
			MinConnectTimeout: time.Second,
		})},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = e.client.Close()
		e.Stop()
		_ = os.RemoveAll(sockets)
	})
	return e
}

func (e *Etcd) socket() string { return filepath.Join(e.sockets, "c.sock") }

// Client returns a client that ends with the test.
func (e *Etcd) Client() *clientv3.Client { return e.client }

// Start starts the member on its directory.
func (e *Etcd) Start(tb testing.TB) {
	tb.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = e.dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	peer := url.URL{Scheme: "unix", Path: filepath.Join(e.sockets, "p.sock")}
	client := url.URL{Scheme: "unix", Path: e.socket()}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{{Scheme: "unix", Host: "peer:0"}}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.InitialCluster = cfg.Name + "=unix://peer:0"
	cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = 10, 50, true
	cfg.MaxTxnOps = 10000
	cfg.MaxRequestBytes = 32 << 20
	stopping, hangUp := context.WithCancel(context.Background())
	e.hangUp = hangUp
	// Without this, a stop waits for every watcher to go by itself.
	cfg.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainStreamInterceptor(
		func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			ctx, cancel := context.WithCancel(ss.Context())
			defer cancel()
			defer context.AfterFunc(stopping, cancel)()
			err := handler(srv, stream{ss, ctx})
			if stopping.Err() != nil {
				return rpctypes.ErrGRPCStopped
			}
			return err
		})}
	member, err := embed.StartEtcd(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	select {
	case <-member.Server.ReadyNotify():
	case <-time.After(patience):
		tb.Fatal("etcd does not start")
	}
	e.member = member
}

// Stop stops the member.
func (e *Etcd) Stop() {
	if e.member != nil {
		e.hangUp()
		e.member.Close()
		e.member = nil
	}
}

// Reset stops the member and starts an empty one in its place, as an operator does who
// lost everything.
func (e *Etcd) Reset(tb testing.TB) {
	tb.Helper()
	e.Stop()
	e.dir = tb.TempDir()
	e.Start(tb)
}

// Snapshot returns a copy of the member's directory; the member is stopped meanwhile.
func (e *Etcd) Snapshot(tb testing.TB) string {
	tb.Helper()
	e.Stop()
	saved := filepath.Join(tb.TempDir(), "snapshot")
	if err := os.CopyFS(saved, os.DirFS(e.dir)); err != nil {
		tb.Fatal(err)
	}
	e.Start(tb)
	return saved
}

// Restore stops the member and starts it on a snapshot.
func (e *Etcd) Restore(tb testing.TB, snapshot string) {
	tb.Helper()
	e.Stop()
	e.dir = snapshot
	e.Start(tb)
}

type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream's context is part of gRPC's interface
}

func (s stream) Context() context.Context { return s.ctx }
