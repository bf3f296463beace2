package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// accountsPerLook bounds how many accounts one look for old segments visits; the next look
// goes on from there.
const accountsPerLook = 5000

// Retain drops the segments whose events are all older than the retention. The head keeps
// the hash before what is left, so that it can be verified without them.
func (s *Sealer) Retain(ctx context.Context, fence registry.Compare) error {
	if s.cfg.Retention <= 0 {
		return nil
	}
	before := s.cfg.Clock.Now().Add(-s.cfg.Retention)
	cursor := ""
	if s.retained != "" {
		cursor = resource.AccountIndex(s.retained)
	}
	kvs, more := s.cfg.View().List(resource.AccountIndexPrefix, cursor, accountsPerLook)
	for _, kv := range kvs {
		account := strings.TrimPrefix(kv.Key, resource.AccountIndexPrefix)
		for {
			dropped, err := s.drop(ctx, fence, resource.ForAccount(account), before)
			if err != nil {
				return err
			}
			if !dropped {
				break
			}
		}
		s.retained = account
	}
	if !more {
		s.retained = ""
	}
	return nil
}

// drop drops the account's oldest segment if it is full and too old.
func (s *Sealer) drop(ctx context.Context, fence registry.Compare, tenant resource.Tenant, before time.Time) (bool, error) {
	head := &storev1.AuditHead{}
	headKV, err := s.read(ctx, tenant.AuditHead(), head)
	if err != nil {
		return false, err
	}
	key := tenant.AuditSegment(segmentOf(max(head.GetFirstSequence(), 1)))
	kv, err := s.cfg.Store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	events, err := decodeSegment(kv)
	if err != nil || len(events) < perSegment {
		return false, err
	}
	last := events[len(events)-1]
	for _, e := range events {
		if !e.GetCreateTime().AsTime().Before(before) {
			return false, nil
		}
	}
	head.FirstSequence = last.GetSequence() + 1
	if head.FirstPreviousHash, err = hex.DecodeString(last.GetHash()); err != nil {
		return false, fmt.Errorf("audit: %s: %w", key, err)
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(head)
	if err != nil {
		return false, fmt.Errorf("audit: %s: %w", tenant.AuditHead(), err)
	}
	delete(s.tails, tenant.Account())
	_, err = s.cfg.Store.Commit(ctx, registry.Txn{
		If:   []registry.Compare{fence, {Key: tenant.AuditHead(), ModRevision: headKV.ModRevision}},
		Then: []registry.Op{registry.Delete(key), registry.Put(tenant.AuditHead(), value)},
	})
	if conflict, ok := errors.AsType[*registry.ConflictError](err); ok && !holds(fence, conflict) {
		return false, ErrFenced
	}
	return err == nil, err
}
