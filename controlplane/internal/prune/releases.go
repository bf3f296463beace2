package prune

import (
	"context"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// manifestsPerTxn is how many manifests go at once; each may list 8,000 changes, and is
	// read to know its size.
	manifestsPerTxn = 16
	// keysPerTxn is how many small keys go at once.
	keysPerTxn = 200
)

// releases removes the manifests and the history of a channel that nothing needs, a
// transaction at a time.
func (t *term) releases(ctx context.Context, c wire.Channel) error {
	for {
		more := false
		err := t.retry(ctx, func() error {
			var err error
			more, err = t.someReleases(ctx, c)
			return err
		})
		if err != nil || !more {
			return err
		}
		if err := t.pause(ctx, t.cfg.Pace); err != nil {
			return err
		}
	}
}

// someReleases decides anew, removes what fits into one transaction, on condition that
// nothing that the decision stands on changed since, and says whether there may be more.
func (t *term) someReleases(ctx context.Context, c wire.Channel) (bool, error) {
	view, err := t.cfg.Control.Read(ctx)
	if err != nil {
		return false, err
	}
	ch, err := t.observe(ctx, view, c)
	if err != nil {
		return false, err
	}
	floor := ch.Floor(t.tight)
	t.owner.setFloor(c, floor)
	if floor == 0 {
		return false, nil
	}
	old, err := t.manifests(ctx, c, floor)
	if err != nil {
		return false, err
	}
	var ops []registry.Op
	for _, kv := range old {
		ops = append(ops, registry.Delete(kv.Key))
		// The mark of a release that was abandoned goes with it, never before.
		if key := wire.ParseEdgeKey(kv.Key); key.Kind == wire.ReleaseKeyKind {
			ops = append(ops, registry.Delete(wire.AbandonedKey(c, key.Release)))
		}
	}
	forgotten := ch.Forgotten(floor)
	var past []registry.KV
	for _, n := range forgotten[:min(len(forgotten), keysPerTxn-len(ops))] {
		kv, _ := view.Get(ledger.HistoryKey(c, n))
		past = append(past, kv)
		ops = append(ops, registry.Delete(ledger.HistoryKey(c, n)))
	}
	if len(ops) == 0 {
		return false, nil
	}
	if _, err := ledger.Commit(ctx, t.cfg.Edge, t.fence, registry.Txn{If: ch.stamps, Then: ops}); err != nil {
		return false, err
	}
	if len(old) > 0 {
		t.loose = true // What they named may be nobody's now.
		t.cfg.Logger.DebugContext(ctx, "manifests were pruned", "channel", c, "manifests", len(old), "floor", floor)
	}
	t.owner.count(kindManifest, len(old), bytesOf(old))
	t.owner.count(kindHistory, len(past), bytesOf(past))
	return len(old) == manifestsPerTxn || len(past) < len(forgotten), nil
}

// manifests are the oldest ones of a channel that are below the floor, as many as go at once.
func (t *term) manifests(ctx context.Context, c wire.Channel, floor int64) ([]registry.KV, error) {
	page, err := t.cfg.Edge.List(ctx, registry.ListRequest{
		Prefix: wire.ReleasePrefix(c), Limit: manifestsPerTxn, KeysOnly: true,
	})
	if err != nil {
		return nil, err
	}
	var out []registry.KV
	for _, kv := range page.KVs {
		if kv.Key >= wire.ReleaseKey(c, floor) {
			break
		}
		if kv, err = t.cfg.Edge.Get(ctx, kv.Key); err != nil {
			return nil, err
		}
		out = append(out, kv)
	}
	return out, nil
}

func bytesOf(kvs []registry.KV) int64 {
	size := int64(0)
	for _, kv := range kvs {
		size += int64(len(kv.Value))
	}
	return size
}
