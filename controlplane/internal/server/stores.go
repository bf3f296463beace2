package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// stores are the clusters and the caches over them.
type stores struct {
	registry, edge registry.Store
	// state caches registry/state/, control caches control/.
	state, control *watchcache.Cache
	// edgeEndpoints are where agents of a development server watch.
	edgeEndpoints []string
	close         []func()
}

// openStores starts or reaches etcd. On failure nothing stays open.
func openStores(ctx context.Context, c *Config, log *slog.Logger) (_ *stores, err error) {
	s := &stores{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if c.Etcd.External() {
		if s.registry, err = s.dial(ctx, c.Etcd, log); err != nil {
			return nil, fmt.Errorf("etcd-endpoints: %w", err)
		}
		s.edgeEndpoints = c.Etcd.Endpoints
	} else {
		server, err := embedded.Start(ctx, embedded.Config{Dir: c.path("etcd"), Fast: c.EtcdFast, Logger: log})
		if err != nil {
			return nil, err
		}
		s.close = append(s.close, server.Close)
		s.registry, s.edgeEndpoints = etcd.New(server.Client(), etcd.Config{Logger: log}), server.Endpoints()
	}
	s.edge = s.registry
	if c.EdgeEtcd.External() {
		if s.edge, err = s.dial(ctx, c.EdgeEtcd, log); err != nil {
			return nil, fmt.Errorf("edge-etcd-endpoints: %w", err)
		}
	}
	if c.WrapStore != nil {
		together := s.edge == s.registry
		s.registry = c.WrapStore(s.registry)
		if together {
			s.edge = s.registry
		} else {
			s.edge = c.WrapStore(s.edge)
		}
	}
	s.state = watchcache.New(s.registry, watchcache.Config{Prefix: resource.StatePrefix, Logger: log})
	s.control = watchcache.New(s.edge, watchcache.Config{Prefix: ledger.ControlPrefix, Logger: log})
	return s, nil
}

func (s *stores) dial(ctx context.Context, c EtcdConfig, log *slog.Logger) (registry.Store, error) {
	client, err := etcd.Dial(ctx, etcd.ClientConfig{
		Endpoints: c.Endpoints, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
		Username: c.Username, PasswordFile: c.PasswordFile, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, func() { _ = client.Close() })
	if err := etcd.CheckLimits(ctx, client); err != nil {
		return nil, err
	}
	return etcd.New(client, etcd.Config{Logger: log}), nil
}

// Close ends what was opened, last first.
func (s *stores) Close() {
	for _, end := range slices.Backward(s.close) {
		end()
	}
	s.close = nil
}
