package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
)

// EtcdConfig says where releases are read.
type EtcdConfig struct {
	// Endpoints are client URLs such as https://etcd-1:2379.
	Endpoints []string
	TLS       Files
	// Username turns on password authentication; the password is what PasswordFile holds.
	Username, PasswordFile string
	// Clock times pauses between connections; nil means the real one. Random returns
	// numbers in [0,1) that keep agents apart; nil means the runtime's. Dial makes
	// connections; nil means the network's, which asks no proxy.
	Clock  clockwork.Clock
	Random func() float64
	Dial   Dial
}

// Etcd is a client that connects when it is first used, and again when that failed: a
// client with a password cannot be made while the cluster is away.
type Etcd struct {
	cfg clientv3.Config

	mu     sync.Mutex
	client *clientv3.Client
	closed bool
}

var _ edge.Etcd = (*Etcd)(nil)

const (
	etcdPing        = 10 * time.Second
	etcdPingTimeout = 3 * time.Second
	etcdDial        = 3 * time.Second
)

var errClosed = errors.New("connect: etcd: closed")

// OpenEtcd checks the settings and returns a client that has not connected yet.
func OpenEtcd(cfg EtcdConfig) (*Etcd, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("connect: etcd: no endpoint")
	}
	attempts := newPace(cfg.Clock, cfg.Random, cfg.Dial, etcdWindow, etcdWindowMost)
	out := clientv3.Config{
		Endpoints: cfg.Endpoints, Username: cfg.Username, DialTimeout: etcdDial,
		DialKeepAliveTime: etcdPing, DialKeepAliveTimeout: etcdPingTimeout,
		Logger:      zap.NewNop(), // the agent logs what fails
		DialOptions: attempts.options(),
	}
	if cfg.PasswordFile != "" {
		b, err := os.ReadFile(cfg.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("connect: etcd: password: %w", err)
		}
		out.Password = strings.TrimRight(string(b), "\r\n")
	}
	if (out.Username == "") != (out.Password == "") {
		return nil, errors.New("connect: etcd: a user name goes with a password")
	}
	if !cfg.TLS.empty() || secure(cfg.Endpoints) {
		files, err := cfg.TLS.config(tls.VersionTLS12)
		if err != nil {
			return nil, fmt.Errorf("connect: etcd: %w", err)
		}
		out.TLS = files
	}
	return &Etcd{cfg: out}, nil
}

func secure(endpoints []string) bool {
	for _, e := range endpoints {
		if strings.HasPrefix(e, "https://") || strings.HasPrefix(e, "unixs://") {
			return true
		}
	}
	return false
}

// get returns the client, and connects where there is none. Making one blocks for as long
// as etcdDial where there is a password, and others then wait for the same attempt.
func (e *Etcd) get() (*clientv3.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	if e.client == nil {
		client, err := clientv3.New(e.cfg)
		if err != nil {
			return nil, fmt.Errorf("connect: etcd: %w", err)
		}
		e.client = client
	}
	return e.client, nil
}

// Get implements edge.Etcd.
func (e *Etcd) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	client, err := e.get()
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, key, opts...)
}

// Txn implements edge.Etcd.
func (e *Etcd) Txn(ctx context.Context) clientv3.Txn {
	client, err := e.get()
	if err != nil {
		return failed{err}
	}
	return client.Txn(ctx)
}

// Watch implements edge.Etcd. Where there is no connection the channel is closed, as it is
// when a watch ends.
func (e *Etcd) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	client, err := e.get()
	if err != nil {
		ended := make(chan clientv3.WatchResponse)
		close(ended)
		return ended
	}
	return client.Watch(ctx, key, opts...)
}

// Close ends the connection, and everything that runs over it.
func (e *Etcd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.client == nil {
		return nil
	}
	client := e.client
	e.client = nil
	if err := client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("connect: etcd: %w", err)
	}
	return nil
}

// failed is a transaction for which there is no connection.
type failed struct{ err error }

func (f failed) If(...clientv3.Cmp) clientv3.Txn        { return f }
func (f failed) Then(...clientv3.Op) clientv3.Txn       { return f }
func (f failed) Else(...clientv3.Op) clientv3.Txn       { return f }
func (f failed) Commit() (*clientv3.TxnResponse, error) { return nil, f.err }
