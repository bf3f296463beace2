package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Grant implements [registry.Store]. etcd counts leases in seconds and has a shortest one,
// which depends on its election time-out (2 s by default).
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (registry.LeaseID, error) {
	if ttl <= 0 {
		return 0, fmt.Errorf("%w: a lease of %v", registry.ErrInvalid, ttl)
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	resp, err := s.client.Grant(bounded, int64((ttl+time.Second-1)/time.Second))
	if err != nil {
		return 0, readError(ctx, err)
	}
	s.observe(resp.ResponseHeader)
	return registry.LeaseID(resp.ID), nil
}

// KeepAlive implements [registry.Store]. It speaks to etcd's lease service itself because
// the client's KeepAliveOnce repeats without a pause for as long as no server can be
// reached.
func (s *Store) KeepAlive(ctx context.Context, id registry.LeaseID) error {
	bounded, cancel := s.bound(ctx)
	defer cancel() // ends the stream
	stream, err := pb.NewLeaseClient(s.client.ActiveConnection()).
		LeaseKeepAlive(clientv3.WithRequireLeader(bounded))
	if err != nil {
		return readError(ctx, err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		_, err = stream.Recv() // the reason, as Send only says that the stream ended
		return readError(ctx, err)
	}
	resp, err := stream.Recv()
	if err != nil {
		return readError(ctx, err)
	}
	s.observe(resp.GetHeader())
	if resp.GetTTL() <= 0 {
		return fmt.Errorf("%w: lease %d", registry.ErrNotFound, id)
	}
	return nil
}

// Revoke implements [registry.Store].
func (s *Store) Revoke(ctx context.Context, id registry.LeaseID) error {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	resp, err := s.client.Revoke(bounded, clientv3.LeaseID(id))
	if err = readError(ctx, err); errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err == nil {
		s.observe(resp.Header)
	}
	return err
}
