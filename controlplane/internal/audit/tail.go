package audit

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// tail is where an account's chain ends, and with what revisions it was read.
type tail struct {
	tenant       resource.Tenant
	head         *storev1.AuditHead
	headRevision int64
	// segment is the last one where it has room; its events, and its key's revision.
	segment         []*breakwaterv1.AuditEvent
	segmentRevision int64
}

// batch is one transaction of the sealer.
type batch struct {
	txn    registry.Txn
	tails  []*tail
	events int
	bytes  int
}

// tail returns the remembered end of the account's chain, or reads it.
func (s *Sealer) tail(ctx context.Context, account string) (*tail, error) {
	if t, ok := s.tails[account]; ok {
		return t, nil
	}
	t := &tail{tenant: resource.ForAccount(account), head: &storev1.AuditHead{}}
	kv, err := s.read(ctx, t.tenant.AuditHead(), t.head)
	if err != nil {
		return nil, err
	}
	t.headRevision = kv.ModRevision
	if t.head.GetSequence()%perSegment == 0 {
		return t, nil
	}
	var segment storev1.AuditSegment
	kv, err = s.read(ctx, t.tenant.AuditSegment(segmentOf(t.head.GetSequence())), &segment)
	if err != nil {
		return nil, err
	}
	if want := t.head.GetSequence() % perSegment; int64(len(segment.GetEvents())) != want {
		return nil, fmt.Errorf("audit: %s has %d events, its head says %d", kv.Key, len(segment.GetEvents()), want)
	}
	t.segment, t.segmentRevision = segment.GetEvents(), kv.ModRevision
	return t, nil
}

// read is a Get for which nothing is an empty value at revision zero.
func (s *Sealer) read(ctx context.Context, key string, m proto.Message) (registry.KV, error) {
	kv, err := s.cfg.Store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return registry.KV{Key: key}, nil
	}
	if err != nil {
		return registry.KV{}, err
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return registry.KV{}, fmt.Errorf("audit: %s: %w", key, err)
	}
	return kv, nil
}

// add puts as many of the account's waiting events into the batch as it has room for, the
// oldest first.
func (s *Sealer) add(ctx context.Context, b *batch, view View, account string, done map[string]bool) error {
	tenant := resource.ForAccount(account)
	all, _ := view.List(tenant.AuditNewOf(), "", 0)
	kvs := make([]registry.KV, 0, len(all))
	for _, kv := range all {
		if !done[kv.Key] {
			kvs = append(kvs, kv)
		}
	}
	if len(kvs) == 0 {
		return nil
	}
	inOrder(kvs)
	kvs = kvs[:min(len(kvs), s.cfg.Batch-b.events)]
	old, err := s.tail(ctx, account)
	if err != nil {
		return err
	}
	t := old.clone()
	b.txn.If = append(b.txn.If, registry.Compare{Key: tenant.AuditHead(), ModRevision: old.headRevision})
	if len(old.segment) > 0 {
		b.txn.If = append(b.txn.If, registry.Compare{
			Key: tenant.AuditSegment(segmentOf(old.head.GetSequence())), ModRevision: old.segmentRevision,
		})
	}
	size := 0
	for i, kv := range kvs {
		if size += len(kv.Value); i > 0 && b.bytes+size > s.cfg.BatchBytes {
			kvs = kvs[:i]
			break
		}
		e := &breakwaterv1.AuditEvent{}
		if err := proto.Unmarshal(kv.Value, e); err != nil {
			return fmt.Errorf("audit: %s: %w", kv.Key, err)
		}
		t.append(e)
		b.txn.If = append(b.txn.If, registry.Compare{Key: kv.Key, ModRevision: kv.ModRevision})
		b.txn.Then = append(b.txn.Then, registry.Delete(kv.Key))
		if len(t.segment) == perSegment {
			if err := b.putSegment(t); err != nil {
				return err
			}
			t.segment = nil
		}
	}
	if len(t.segment) > 0 {
		if err := b.putSegment(t); err != nil {
			return err
		}
	}
	b.events += len(kvs)
	b.tails = append(b.tails, t)
	return b.put(tenant.AuditHead(), t.head)
}

// clone makes a tail that can be changed before the change is stored.
func (t *tail) clone() *tail {
	head, _ := proto.Clone(t.head).(*storev1.AuditHead)
	return &tail{tenant: t.tenant, head: head, segment: append([]*breakwaterv1.AuditEvent(nil), t.segment...)}
}

func (t *tail) append(e *breakwaterv1.AuditEvent) {
	previous := t.head.GetHash()
	if len(previous) == 0 {
		previous = zeroHash[:]
	}
	t.head.Sequence++
	t.head.Hash = seal(previous, t.head.GetSequence(), e)
	t.segment = append(t.segment, e)
}

func (b *batch) putSegment(t *tail) error {
	return b.put(t.tenant.AuditSegment(segmentOf(t.head.GetSequence())), &storev1.AuditSegment{Events: t.segment})
}

func (b *batch) put(key string, m proto.Message) error {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("audit: %s: %w", key, err)
	}
	b.bytes += len(value)
	b.txn.Then = append(b.txn.Then, registry.Put(key, value))
	return nil
}
