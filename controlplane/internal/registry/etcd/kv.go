package etcd

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Get implements [registry.Store].
func (s *Store) Get(ctx context.Context, key string) (registry.KV, error) {
	if key == "" {
		return registry.KV{}, fmt.Errorf("%w: empty key", registry.ErrInvalid)
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	resp, err := s.client.Get(bounded, key)
	if err != nil {
		return registry.KV{}, readError(ctx, err)
	}
	s.observe(resp.Header)
	if len(resp.Kvs) == 0 {
		return registry.KV{}, registry.ErrNotFound
	}
	return fromEtcd(resp.Kvs[0]), nil
}

// List implements [registry.Store].
func (s *Store) List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error) {
	from, to := pageRange(req)
	if to != allKeys && from >= to {
		return s.emptyPage(ctx, req)
	}
	opts := []clientv3.OpOption{
		clientv3.WithRange(to),
		clientv3.WithLimit(int64(req.PageLimit())),
		clientv3.WithRev(req.Revision),
	}
	if req.Descending {
		opts = append(opts, clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	}
	if req.KeysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	resp, err := s.client.Get(bounded, from, opts...)
	if err != nil {
		return registry.ListResponse{}, readError(ctx, err)
	}
	s.observe(resp.Header)
	page := registry.ListResponse{
		KVs:      make([]registry.KV, 0, len(resp.Kvs)),
		Revision: req.Revision,
		More:     resp.More,
	}
	if page.Revision == 0 {
		page.Revision = resp.Header.GetRevision()
	}
	for _, kv := range resp.Kvs {
		page.KVs = append(page.KVs, fromEtcd(kv))
	}
	return page, nil
}

// allKeys is etcd's range end for "no end".
const allKeys = "\x00"

// pageRange returns the half-open range of keys that the page comes from.
func pageRange(req registry.ListRequest) (from, to string) {
	from, to = "\x00", allKeys
	if req.Prefix != "" {
		from, to = req.Prefix, clientv3.GetPrefixRangeEnd(req.Prefix)
	}
	switch {
	case req.After == "":
	case req.Descending:
		if to == allKeys || req.After < to {
			to = req.After
		}
	default:
		from = max(from, req.After+"\x00")
	}
	return from, to
}

// emptyPage answers a request that no key can match, at the revision it needs all the same.
func (s *Store) emptyPage(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error) {
	if req.Revision != 0 {
		return registry.ListResponse{Revision: req.Revision}, nil
	}
	rev, err := s.Revision(ctx)
	return registry.ListResponse{Revision: rev}, err
}

// probeKey is read for the header of the answer. No writer makes such a key.
const probeKey = "\x00"

// Revision implements [registry.Store] with a linearizable read of nothing.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	resp, err := s.client.Get(bounded, probeKey, clientv3.WithKeysOnly())
	if err != nil {
		return 0, readError(ctx, err)
	}
	s.observe(resp.Header)
	return resp.Header.GetRevision(), nil
}

// Commit implements [registry.Store].
func (s *Store) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	if err := txn.Validate(); err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, readError(ctx, ctx.Err()) // nothing was sent
	}
	conditions, onConflict := compares(txn.If)
	bounded, cancel := s.bound(ctx)
	defer cancel()
	resp, err := s.client.Txn(bounded).
		If(conditions...).Then(writes(txn.Then)...).Else(onConflict...).
		Commit()
	if err != nil {
		return 0, writeError(ctx, err)
	}
	s.observe(resp.Header)
	if resp.Succeeded {
		return resp.Header.GetRevision(), nil
	}
	conflict := &registry.ConflictError{
		Revision: resp.Header.GetRevision(),
		Current:  make(map[string]registry.KV, len(onConflict)),
	}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().GetKvs() {
			conflict.Current[string(kv.GetKey())] = fromEtcd(kv)
		}
	}
	return 0, conflict
}

// compares returns etcd's conditions, and the reads that a conflict answers with.
func compares(conditions []registry.Compare) ([]clientv3.Cmp, []clientv3.Op) {
	cmps := make([]clientv3.Cmp, 0, len(conditions))
	gets := make([]clientv3.Op, 0, len(conditions))
	for _, c := range conditions {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(c.Key), "=", c.ModRevision))
		gets = append(gets, clientv3.OpGet(c.Key))
	}
	return cmps, gets
}

func writes(ops []registry.Op) []clientv3.Op {
	puts := make([]clientv3.Op, 0, len(ops))
	for _, op := range ops {
		switch {
		case op.Delete:
			puts = append(puts, clientv3.OpDelete(op.Key))
		case op.Lease != 0:
			puts = append(puts, clientv3.OpPut(op.Key, string(op.Value), clientv3.WithLease(clientv3.LeaseID(op.Lease))))
		default:
			puts = append(puts, clientv3.OpPut(op.Key, string(op.Value)))
		}
	}
	return puts
}

// Status implements [registry.Store] with what the first member says that answers.
func (s *Store) Status(ctx context.Context) (registry.Status, error) {
	endpoints := s.client.Endpoints()
	var last error
	for _, endpoint := range endpoints {
		resp, err := s.memberStatus(ctx, endpoint, s.cfg.RequestTimeout/time.Duration(len(endpoints)))
		if err != nil {
			last = err
			continue
		}
		s.observe(resp.Header)
		return registry.Status{
			Cluster:    resp.Header.GetClusterId(),
			SizeBytes:  resp.DbSizeInUse,
			QuotaBytes: resp.DbSizeQuota,
		}, nil
	}
	return registry.Status{}, readError(ctx, last)
}

func (s *Store) memberStatus(ctx context.Context, endpoint string, limit time.Duration) (*clientv3.StatusResponse, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.client.Status(bounded, endpoint)
}

func fromEtcd(kv *mvccpb.KeyValue) registry.KV {
	return registry.KV{
		Key:            string(kv.GetKey()),
		Value:          kv.GetValue(),
		CreateRevision: kv.GetCreateRevision(),
		ModRevision:    kv.GetModRevision(),
		Lease:          registry.LeaseID(kv.GetLease()),
	}
}
