package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Store is what is needed of the registry.
type Store interface {
	Get(ctx context.Context, key string) (registry.KV, error)
	List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error)
	Commit(ctx context.Context, txn registry.Txn) (int64, error)
}

// View is a consistent state of everything below [resource.StatePrefix].
type View interface {
	List(prefix, after string, limit int) (kvs []registry.KV, more bool)
	Revision() int64
}

// Log reads the events of one account as they are at one revision.
type Log struct {
	store  Store
	tenant resource.Tenant
	head   *storev1.AuditHead
	// loose are the events that wait to be sealed, oldest first.
	loose    []*breakwaterv1.AuditEvent
	revision int64
}

// Open reads where the account's chain ends, at the revision of the view, which should be
// linearizable.
func Open(ctx context.Context, store Store, view View, tenant resource.Tenant) (*Log, error) {
	l := &Log{store: store, tenant: tenant, revision: view.Revision(), head: &storev1.AuditHead{}}
	page, err := store.List(ctx, registry.ListRequest{Prefix: tenant.AuditHead(), Limit: 1, Revision: l.revision})
	if err != nil {
		return nil, err
	}
	if len(page.KVs) > 0 {
		if err := proto.Unmarshal(page.KVs[0].Value, l.head); err != nil {
			return nil, fmt.Errorf("audit: head of %s: %w", tenant.Account(), err)
		}
	}
	kvs, _ := view.List(tenant.AuditNewOf(), "", 0)
	inOrder(kvs)
	for _, kv := range kvs {
		e := &breakwaterv1.AuditEvent{}
		if err := proto.Unmarshal(kv.Value, e); err != nil {
			return nil, fmt.Errorf("audit: %s: %w", kv.Key, err)
		}
		l.loose = append(l.loose, e)
	}
	return l, nil
}

// inOrder sorts loose events by the order in which they were committed. Those of one
// transaction have IDs in the order in which they were made.
func inOrder(kvs []registry.KV) {
	slices.SortFunc(kvs, func(a, b registry.KV) int {
		if a.ModRevision != b.ModRevision {
			return int(a.ModRevision - b.ModRevision)
		}
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
}

// First and Last are the places of the oldest and the newest event, loose ones included;
// Last is smaller than First when there is none.
func (l *Log) First() int64 { return max(l.head.GetFirstSequence(), 1) }

// Last is described with First.
func (l *Log) Last() int64 { return l.head.GetSequence() + int64(len(l.loose)) }

// Descend yields the events before a place (zero: all), newest first, with their places.
// Loose events have a place here, though their field has none yet. It ends early without an
// error where retention dropped the rest meanwhile.
func (l *Log) Descend(ctx context.Context, before int64, yield func(place int64, e *breakwaterv1.AuditEvent) bool) error {
	at := l.Last()
	if before > 0 {
		at = min(at, before-1)
	}
	for ; at > l.head.GetSequence(); at-- {
		if !yield(at, l.loose[at-l.head.GetSequence()-1]) {
			return nil
		}
	}
	for at >= l.First() {
		first := segmentOf(at)
		kv, err := l.store.Get(ctx, l.tenant.AuditSegment(first))
		if errors.Is(err, registry.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		segment, err := decodeSegment(kv)
		if err != nil {
			return err
		}
		if at-first >= int64(len(segment)) {
			return fmt.Errorf("audit: %s lacks place %d", kv.Key, at)
		}
		for ; at >= max(first, l.First()); at-- {
			if !yield(at, segment[at-first]) {
				return nil
			}
		}
	}
	return nil
}

// segmentsPerPage bounds how much of a log is in memory at a time.
const segmentsPerPage = 16

// Ascend yields all events, oldest first. It fails where the store has forgotten the log's
// revision meanwhile.
func (l *Log) Ascend(ctx context.Context, yield func(e *breakwaterv1.AuditEvent) error) error {
	req := registry.ListRequest{Prefix: l.tenant.AuditSegments(), Limit: segmentsPerPage, Revision: l.revision}
	for {
		page, err := l.store.List(ctx, req)
		if err != nil {
			return err
		}
		for _, kv := range page.KVs {
			segment, err := decodeSegment(kv)
			if err != nil {
				return err
			}
			for _, e := range segment {
				if err := yield(e); err != nil {
					return err
				}
			}
			req.After = kv.Key
		}
		if !page.More {
			break
		}
	}
	for _, e := range l.loose {
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}

func decodeSegment(kv registry.KV) ([]*breakwaterv1.AuditEvent, error) {
	var segment storev1.AuditSegment
	if err := proto.Unmarshal(kv.Value, &segment); err != nil {
		return nil, fmt.Errorf("audit: %s: %w", kv.Key, err)
	}
	return segment.GetEvents(), nil
}
