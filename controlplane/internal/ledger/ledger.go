package ledger

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Load reads the record under key into m and returns the revision that wrote it, or zero
// with an untouched m when there is none.
func Load(ctx context.Context, store registry.Store, key string, m proto.Message) (int64, error) {
	kv, err := store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return 0, fmt.Errorf("ledger: record %s: %w", key, err)
	}
	return kv.ModRevision, nil
}

// Put returns the write that stores m under key.
func Put(key string, m proto.Message) (registry.Op, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return registry.Op{}, fmt.Errorf("ledger: record %s: %w", key, err)
	}
	return registry.Put(key, b), nil
}

// ErrDeposed says that another leader was elected: whoever gets it stops at once and
// leaves everything as it is.
var ErrDeposed = errors.New("ledger: no longer the leader")

// Commit applies a leader's transaction under its fence, and returns the revision that it
// made. It fails with [ErrDeposed] when the fence does not hold, else as
// [registry.Store.Commit] does.
func Commit(ctx context.Context, store registry.Store, fence registry.Compare, txn registry.Txn) (int64, error) {
	txn.If = append([]registry.Compare{fence}, txn.If...)
	rev, err := store.Commit(ctx, txn)
	var conflict *registry.ConflictError
	if errors.As(err, &conflict) && conflict.Current[fence.Key].ModRevision != fence.ModRevision {
		return 0, fmt.Errorf("%w: %w", ErrDeposed, err)
	}
	return rev, err
}
