package change

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Tx is one attempt at a change. It belongs to the one goroutine that runs the function.
type Tx struct {
	ctx    context.Context
	writer *Writer
	view   View
	now    time.Time

	// read holds the modification revision of every key that was read; zero for absent.
	read map[string]int64
	// ops holds the writes by key, order their first mention.
	ops   map[string]registry.Op
	order []string
	// fresh holds values that a failed compare or a direct read returned; they win over
	// the view.
	fresh map[string]registry.KV

	audits     []*breakwaterv1.AuditEvent
	erasedWith string
}

// Context is the call's context.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Call is what the call brought with it.
func (tx *Tx) Call() call.Info { return call.From(tx.ctx) }

// Now is the time of the change: the same for everything in it.
func (tx *Tx) Now() time.Time { return tx.now }

// Get reads the value under key into m and makes the change depend on it. It fails with
// [registry.ErrNotFound] when there is none; the change then depends on its absence.
func (tx *Tx) Get(key string, m proto.Message) error {
	if op, ok := tx.ops[key]; ok {
		if op.Delete {
			return registry.ErrNotFound
		}
		return proto.Unmarshal(op.Value, m)
	}
	kv, ok, err := tx.lookup(key)
	if err != nil {
		return err
	}
	if !ok {
		tx.read[key] = 0
		return registry.ErrNotFound
	}
	tx.read[key] = kv.ModRevision
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return fmt.Errorf("change: value of %s: %w", key, err)
	}
	return nil
}

// Exists says whether key has a value and makes the change depend on the answer.
func (tx *Tx) Exists(key string) (bool, error) {
	if op, ok := tx.ops[key]; ok {
		return !op.Delete, nil
	}
	kv, ok, err := tx.lookup(key)
	if err != nil {
		return false, err
	}
	tx.read[key] = kv.ModRevision
	return ok, nil
}

// RevisionOf is the revision that wrote the value that [Tx.Get] read under key; zero when
// there was none or it was not read.
func (tx *Tx) RevisionOf(key string) int64 { return tx.read[key] }

// List reads up to limit values below a prefix of the current state, as they are in the
// view, and makes the change depend on each. It does not see the change's own writes, and
// a key that appears at the same time is not noticed: guard sums with a key of their own.
func (tx *Tx) List(prefix string, limit int) ([]registry.KV, error) {
	seen, _ := tx.view.List(prefix, "", limit)
	kvs := make([]registry.KV, 0, len(seen))
	for _, kv := range seen {
		if newer, ok := tx.fresh[kv.Key]; ok {
			kv = newer
		}
		tx.read[kv.Key] = kv.ModRevision
		if kv.ModRevision != 0 {
			kvs = append(kvs, kv)
		}
	}
	return kvs, nil
}

// Peek lists without making the change depend on what it finds, for hints and limits that
// may be a little off.
func (tx *Tx) Peek(prefix string, limit int) ([]registry.KV, bool) {
	return tx.view.List(prefix, "", limit)
}

func (tx *Tx) lookup(key string) (registry.KV, bool, error) {
	if kv, ok := tx.fresh[key]; ok {
		return kv, kv.ModRevision != 0, nil
	}
	if strings.HasPrefix(key, tx.writer.cfg.CachedPrefix) {
		kv, ok := tx.view.Get(key)
		return kv, ok, nil
	}
	kv, err := tx.writer.store.Get(tx.ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return registry.KV{}, false, nil
	}
	return kv, err == nil, err
}

// Put stores m under key when the change is committed.
func (tx *Tx) Put(key string, m proto.Message) error {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("change: value for %s: %w", key, err)
	}
	tx.op(registry.Put(key, b))
	return nil
}

// PutNew is Put for a key that must not exist, as one with a random ID. Where something
// else took the key the change fails; a caller who can choose the key should ask
// [Tx.Exists] first and give a better reason.
func (tx *Tx) PutNew(key string, m proto.Message) error {
	if kv, ok := tx.fresh[key]; ok && kv.ModRevision != 0 {
		return rpcerr.Aborted(rpcerr.ReasonConcurrentChange, "something with the same ID was made at the same time: try again")
	}
	if _, ok := tx.read[key]; !ok {
		tx.read[key] = 0
	}
	return tx.Put(key, m)
}

// PutRaw stores bytes, as for an index.
func (tx *Tx) PutRaw(key string, value []byte) { tx.op(registry.Put(key, value)) }

// Delete removes key when the change is committed.
func (tx *Tx) Delete(key string) { tx.op(registry.Delete(key)) }

func (tx *Tx) op(op registry.Op) {
	if _, ok := tx.ops[op.Key]; !ok {
		tx.order = append(tx.order, op.Key)
	}
	tx.ops[op.Key] = op
}

// Audit adds an event to the change. Time, principal, method, address and request ID are
// filled in; the event goes to the tenant's chain.
func (tx *Tx) Audit(event *breakwaterv1.AuditEvent) { tx.audits = append(tx.audits, event) }

// SecretIn says that the answer holds a secret: when it is kept for an idempotency key it
// is sealed, and it is erased when the named resource is rolled or revoked.
func (tx *Tx) SecretIn(resourceName string) { tx.erasedWith = resourceName }

// txn is the transaction that the function decided on, in a fixed order.
func (tx *Tx) txn() registry.Txn {
	out := registry.Txn{
		If:   make([]registry.Compare, 0, len(tx.read)),
		Then: make([]registry.Op, 0, len(tx.order)),
	}
	for key, rev := range tx.read {
		out.If = append(out.If, registry.Compare{Key: key, ModRevision: rev})
	}
	slices.SortFunc(out.If, func(a, b registry.Compare) int { return strings.Compare(a.Key, b.Key) })
	for _, key := range tx.order {
		out.Then = append(out.Then, tx.ops[key])
	}
	return out
}
