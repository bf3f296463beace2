package feed

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// batch is how many keys one read asks for: etcd allows 128 by default, and 64 documents
// of the largest size are what a reader may be expected to take at once.
const batch = 64

// Blobs reads documents by their digests and hands on what is there, unchecked, batch by
// batch.
func (f *Feed) Blobs(ctx context.Context, sums []wire.Sum, each func(sum wire.Sum, body []byte) error) error {
	for len(sums) > 0 {
		part := sums[:min(batch, len(sums))]
		sums = sums[len(part):]
		ops := make([]clientv3.Op, len(part))
		for i, sum := range part {
			ops[i] = clientv3.OpGet(wire.BlobKey(sum))
		}
		resp, err := f.txn(ctx, ops)
		if err != nil {
			return fmt.Errorf("edge feed: documents: %w", err)
		}
		for i, r := range resp.Responses {
			kvs := r.GetResponseRange().GetKvs()
			if len(kvs) == 0 || i >= len(part) {
				continue
			}
			if err := each(part[i], kvs[0].GetValue()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Feed) txn(ctx context.Context, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	return f.cfg.Etcd.Txn(ctx).Then(ops...).Commit()
}

// manifestBatch is how many manifests one read brings at most; each may list 8,000
// changes.
const manifestBatch = 16

// Manifests reads the manifests of release n and of some before it, none below floor.
func (f *Feed) Manifests(ctx context.Context, c wire.Channel, floor, n int64) (map[int64][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	from := wire.ReleaseKey(c, max(floor, n-manifestBatch+1, 1))
	resp, err := f.cfg.Etcd.Get(ctx, from, clientv3.WithRange(wire.ReleaseKey(c, n)+"\x00"))
	if err != nil {
		return nil, fmt.Errorf("edge feed: manifests: %w", err)
	}
	found := make(map[int64][]byte, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		if key := wire.ParseEdgeKey(string(kv.GetKey())); key.Kind == wire.ReleaseKeyKind {
			found[key.Release] = kv.GetValue()
		}
	}
	return found, nil
}

// Base reads the head of a channel's base; false when there is none.
func (f *Feed) Base(ctx context.Context, c wire.Channel) ([]byte, bool, error) {
	return f.get(ctx, wire.BaseKey(c))
}

// BaseChunk reads one chunk of a base; false when there is none.
func (f *Feed) BaseChunk(ctx context.Context, c wire.Channel, n int64, chunk int) ([]byte, bool, error) {
	return f.get(ctx, wire.BaseChunkKey(c, n, chunk))
}

func (f *Feed) get(ctx context.Context, key string) ([]byte, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	resp, err := f.cfg.Etcd.Get(ctx, key)
	if err != nil {
		return nil, false, fmt.Errorf("edge feed: %s: %w", key, err)
	}
	if len(resp.Kvs) == 0 {
		return nil, false, nil
	}
	return resp.Kvs[0].GetValue(), true, nil
}
