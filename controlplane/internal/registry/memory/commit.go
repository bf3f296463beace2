package memory

import (
	"context"
	"fmt"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Commit implements [registry.Store].
func (s *Store) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	if err := txn.Validate(); err != nil {
		return 0, err
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()

	if err := s.check(txn.If); err != nil {
		return 0, err
	}
	for _, op := range txn.Then {
		if op.Delete || op.Lease == 0 {
			continue
		}
		if _, ok := s.leases[op.Lease]; !ok {
			return 0, fmt.Errorf("%w: lease %d", registry.ErrNotFound, op.Lease)
		}
	}
	s.apply(txn.Then)
	if s.fault.lostAnswers > 0 {
		s.fault.lostAnswers--
		return 0, registry.ErrUnknownOutcome
	}
	return s.rev, nil
}

func (s *Store) check(conditions []registry.Compare) error {
	ok := true
	for _, c := range conditions {
		kv, _ := s.at(c.Key, s.rev)
		ok = ok && kv.ModRevision == c.ModRevision
	}
	if ok {
		return nil
	}
	conflict := &registry.ConflictError{
		Revision: s.rev,
		Current:  make(map[string]registry.KV, len(conditions)),
	}
	for _, c := range conditions {
		if kv, exists := s.at(c.Key, s.rev); exists {
			conflict.Current[c.Key] = kv
		}
	}
	return conflict
}

// apply writes ops at the next revision and hands the events to the watches. As in etcd,
// nothing happens, and the revision stays, when every op deletes what is not there.
func (s *Store) apply(ops []registry.Op) {
	next := s.rev + 1
	events := make([]registry.Event, 0, len(ops))
	for _, op := range ops {
		if ev, ok := s.write(op, next); ok {
			events = append(events, ev)
		}
	}
	if len(events) == 0 {
		return
	}
	s.rev = next
	s.log = append(s.log, revision{rev: next, events: events})
	for w := range s.watches {
		w.offer(next, events)
	}
}

func (s *Store) write(op registry.Op, rev int64) (registry.Event, bool) {
	old, exists := s.at(op.Key, s.rev)
	if op.Delete && !exists {
		return registry.Event{}, false
	}
	if l, ok := s.leases[old.Lease]; exists && ok {
		delete(l.keys, op.Key)
	}
	r, ok := s.keys.Get(&record{key: op.Key})
	if !ok {
		r = &record{key: op.Key}
		s.keys.ReplaceOrInsert(r)
	}
	if op.Delete {
		kv := registry.KV{Key: op.Key, ModRevision: rev}
		r.versions = append(r.versions, version{kv: kv, deleted: true})
		return registry.Event{KV: kv, Deleted: true}, true
	}
	kv := registry.KV{
		Key:            op.Key,
		Value:          append([]byte(nil), op.Value...),
		CreateRevision: rev,
		ModRevision:    rev,
		Lease:          op.Lease,
	}
	if exists {
		kv.CreateRevision = old.CreateRevision
	}
	if l, ok := s.leases[op.Lease]; ok {
		l.keys[op.Key] = struct{}{}
	}
	r.versions = append(r.versions, version{kv: kv})
	return registry.Event{KV: kv}, true
}

// Compact forgets the history before a revision, which itself can still be listed and
// watched from. A revision beyond the newest, or already compacted, changes nothing.
func (s *Store) Compact(rev int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev <= s.compacted || rev > s.rev {
		return
	}
	s.compacted = rev
	for len(s.log) > 0 && s.log[0].rev <= rev {
		s.log = s.log[1:]
	}
	var empty []*record
	s.keys.Ascend(func(r *record) bool {
		keep := 0
		for i, v := range r.versions {
			if v.kv.ModRevision <= rev {
				keep = i
			}
		}
		if v := r.versions[keep]; v.deleted && v.kv.ModRevision <= rev {
			keep++
		}
		r.versions = append([]version(nil), r.versions[keep:]...)
		if len(r.versions) == 0 {
			empty = append(empty, r)
		}
		return true
	})
	for _, r := range empty {
		s.keys.Delete(r)
	}
}
