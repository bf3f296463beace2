package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
)

// Server is a running member.
type Server struct {
	etcd      *embed.Etcd
	client    *clientv3.Client
	kv        *localKV
	endpoints []string

	stopping context.Context //nolint:containedctx // it ends the server's streams
	stop     context.CancelFunc
	release  []func() // what is given back after etcd stopped, last first
	close    sync.Once
}

// Start runs a member on a directory and waits until it serves, or until ctx ends.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{}
	s.stopping, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if cfg.Logger != nil {
		cfg.Logger = slog.New(quiet{cfg.Logger.Handler(), s.stopping})
	}
	if err := s.start(ctx, cfg); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, cfg Config) error {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("embedded etcd: %w", err)
	}
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return err
	}
	s.release = append(s.release, unlock)
	sockets, remove, err := socketDir(cfg.Dir)
	if err != nil {
		return err
	}
	s.release = append(s.release, remove)

	s.etcd, err = embed.StartEtcd(cfg.etcdConfig(sockets, rand.Text(), s.interceptStream))
	if err != nil {
		return fmt.Errorf("embedded etcd: %w", err)
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
	case err := <-s.etcd.Err():
		return fmt.Errorf("embedded etcd: %w", err)
	case <-s.etcd.Server.StopNotify():
		return errors.New("embedded etcd: stopped while it started")
	case <-ctx.Done():
		return fmt.Errorf("embedded etcd: start: %w", ctx.Err())
	}
	for _, l := range s.etcd.Clients {
		if addr := l.Addr(); addr.Network() == "unix" {
			s.endpoints = append([]string{"unix://" + addr.String()}, s.endpoints...)
		} else {
			s.endpoints = append(s.endpoints, "http://"+addr.String())
		}
	}
	s.client, err = etcd.Dial(ctx, etcd.ClientConfig{Endpoints: s.endpoints[:1], Logger: cfg.Logger})
	if err != nil {
		return err
	}
	s.kv = useLocalKV(s.client, s.etcd.Server)
	return nil
}

// Client returns a client that the server owns: it ends with [Server.Close]. Its reads and
// transactions are function calls; a client of [Server.Endpoints] sends them.
func (s *Server) Client() *clientv3.Client { return s.client }

// Endpoints returns the URLs for other clients on this machine, the unix socket first.
func (s *Server) Endpoints() []string { return s.endpoints }

// Done is closed when the member stopped, by Close or because it could not go on.
func (s *Server) Done() <-chan struct{} { return s.etcd.Server.StopNotify() }

// Close stops the member and waits for it. It may be called more than once and by several
// at a time; all wait for the end.
func (s *Server) Close() {
	s.close.Do(func() {
		s.stop()
		if s.kv != nil {
			s.kv.close()
		}
		if s.client != nil {
			_ = s.client.Close()
		}
		if s.etcd != nil {
			s.etcd.Close()
		}
		for _, v := range slices.Backward(s.release) {
			v()
		}
	})
}
