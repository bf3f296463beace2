package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
)

// Config says how to run the member.
type Config struct {
	// Dir holds the data. It is made where it does not exist.
	Dir string
	// Listen is a TCP address to listen on too, such as 127.0.0.1:2379; empty means none.
	// It is without TLS and credentials, so it should be a loopback one.
	Listen string
	// QuotaBytes is the size at which writes are refused; zero means 8 GiB, the most that
	// etcd advises.
	QuotaBytes int64
	// MaxTxnOps and MaxRequestBytes bound a transaction; zero means what the registry
	// needs. Only tests lower them.
	MaxTxnOps       int
	MaxRequestBytes int
	// Retention is how long history is kept before it is compacted; zero means 5 minutes,
	// negative means for ever.
	Retention time.Duration
	// Fast is for tests: short elections, and no write is synced to disk.
	Fast bool
	// Logger gets etcd's warnings. Nil discards them.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("embedded etcd: no directory")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("embedded etcd: %w", err)
	}
	c.Dir = dir
	if c.QuotaBytes == 0 {
		c.QuotaBytes = 8 << 30
	}
	if c.MaxTxnOps == 0 {
		c.MaxTxnOps = registry.MaxTxnOps
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = etcd.RequiredRequestBytes
	}
	if c.Retention == 0 {
		c.Retention = 5 * time.Minute
	}
	return c, nil
}

const (
	// memberName and peerURL never change, because a member is recorded with them. Nobody
	// dials the peer URL of a member that is alone.
	memberName = "breakwater"
	peerURL    = "unix://breakwater-peer:0"

	// progressInterval is how often the member tells an idle watcher that it lives.
	progressInterval = 2 * time.Second
	// catchUpEntries is what the member keeps in memory for followers, which it has none
	// of.
	catchUpEntries = 100
)

// etcdConfig translates the configuration. token tells this cluster from any other, also
// from one that is made later in the same directory.
func (c Config) etcdConfig(sockets, token string, interceptor grpc.StreamServerInterceptor) *embed.Config {
	e := embed.NewConfig()
	e.Name = memberName
	e.Dir = c.Dir
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(etcd.ZapLogger(c.Logger))

	peer := url.URL{Scheme: "unix", Host: "breakwater-peer:0"}
	e.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(sockets, "peer.sock")}}
	e.AdvertisePeerUrls = []url.URL{peer}
	e.InitialCluster = memberName + "=" + peerURL
	e.InitialClusterToken = token
	e.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(sockets, clientSocket)}}
	if c.Listen != "" {
		e.ListenClientUrls = append(e.ListenClientUrls, url.URL{Scheme: "http", Host: c.Listen})
	}
	e.AdvertiseClientUrls = e.ListenClientUrls
	e.EnableGRPCGateway = false

	e.QuotaBackendBytes = c.QuotaBytes
	e.MaxTxnOps = uint(max(c.MaxTxnOps, 0))
	e.MaxRequestBytes = uint(max(c.MaxRequestBytes, 0))
	e.SnapshotCatchUpEntries = catchUpEntries
	e.WatchProgressNotifyInterval = progressInterval
	if c.Retention > 0 {
		e.AutoCompactionMode = embed.CompactorModePeriodic
		e.AutoCompactionRetention = c.Retention.String()
	}
	if c.Fast {
		e.TickMs = 10
		e.ElectionMs = 50
		e.UnsafeNoFsync = true
	}
	e.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainStreamInterceptor(interceptor)}
	return e
}

const (
	clientSocket = "etcd.sock"
	// maxSocketPath is what a unix socket's address holds on the strictest of systems.
	maxSocketPath = 100
)

// socketDir returns the directory for the sockets, and a function that removes it where it
// is temporary: a data directory can be too deep for a socket's address.
func socketDir(dir string) (path string, remove func(), err error) {
	if len(filepath.Join(dir, clientSocket)) <= maxSocketPath {
		return dir, func() {}, nil
	}
	path, err = os.MkdirTemp("", "breakwater-")
	if err == nil && len(filepath.Join(path, clientSocket)) > maxSocketPath {
		_ = os.Remove(path)
		path, err = os.MkdirTemp("/tmp", "breakwater-")
	}
	if err != nil {
		return "", nil, fmt.Errorf("embedded etcd: directory for sockets: %w", err)
	}
	return path, func() { _ = os.RemoveAll(path) }, nil
}
