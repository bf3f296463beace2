package etcd

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var _ registry.Store = (*Store)(nil)

// Config says how a store treats its cluster. The zero value works.
type Config struct {
	// Logger gets what an operator should know. Nil discards it.
	Logger *slog.Logger
	// Clock drives the heartbeat of watches. Nil means the real one.
	Clock clockwork.Clock
	// RequestTimeout bounds a call, also where its context has a later deadline: etcd's
	// client would wait that long for a connection. Zero means 5 s.
	RequestTimeout time.Duration
	// ProgressInterval is the time between a watch's progress notices; zero means 1 s.
	ProgressInterval time.Duration
	// Silence is how long a watch may fail to show that it is current before it ends; zero
	// means 5 s. It should be several times ProgressInterval.
	Silence time.Duration
	// MaxBuffered is the number of events that a watch holds for a slow consumer before it
	// ends; zero means 100,000.
	MaxBuffered int
	// MaxBufferedBytes bounds the keys and values of those events; zero means 256 MiB. It
	// should be several times registry.MaxRequestBytes.
	MaxBufferedBytes int
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = 5 * time.Second
	}
	if c.ProgressInterval <= 0 {
		c.ProgressInterval = time.Second
	}
	if c.Silence <= 0 {
		c.Silence = 5 * time.Second
	}
	if c.MaxBuffered <= 0 {
		c.MaxBuffered = 100_000
	}
	if c.MaxBufferedBytes <= 0 {
		c.MaxBufferedBytes = 256 << 20
	}
	return c
}

// Store is the contract over etcd. Its methods may be called concurrently.
type Store struct {
	client *clientv3.Client
	cfg    Config

	// cluster is the ID that the newest answer carried, or zero before the first.
	cluster atomic.Uint64
}

// New returns a store over a client that the caller owns and closes after the store's last
// use.
func New(client *clientv3.Client, cfg Config) *Store {
	return &Store{client: client, cfg: cfg.withDefaults()}
}

// bound gives a call its deadline.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.RequestTimeout)
}

// observe remembers the cluster that answered.
func (s *Store) observe(h *pb.ResponseHeader) {
	if id := h.GetClusterId(); id != 0 && s.cluster.Load() != id {
		s.cluster.Store(id)
	}
}
