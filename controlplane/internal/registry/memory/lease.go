package memory

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

type lease struct {
	ttl      time.Duration
	deadline time.Time
	keys     map[string]struct{}
	timer    clockwork.Timer
}

// Grant implements [registry.Store]. It rounds ttl up to whole seconds, as etcd does.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (registry.LeaseID, error) {
	if ttl <= 0 {
		return 0, fmt.Errorf("%w: a lease of %v", registry.ErrInvalid, ttl)
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	s.nextLease++
	s.startLease(s.nextLease, (ttl + time.Second - 1).Truncate(time.Second))
	return s.nextLease, nil
}

func (s *Store) startLease(id registry.LeaseID, ttl time.Duration) *lease {
	l := &lease{ttl: ttl, deadline: s.cfg.Clock.Now().Add(ttl), keys: make(map[string]struct{})}
	l.timer = s.cfg.Clock.AfterFunc(ttl, func() { s.expire(id) })
	s.leases[id] = l
	return l
}

// expire ends a lease whose time has passed. A store that is down can't see leases end: it
// gives them their whole time again, as a new etcd leader does.
func (s *Store) expire(id registry.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.leases[id]
	if !ok {
		return
	}
	now := s.cfg.Clock.Now()
	if s.fault.down {
		l.deadline = now.Add(l.ttl)
	}
	if left := l.deadline.Sub(now); left > 0 {
		l.timer.Reset(left)
		return
	}
	s.endLease(id, l)
}

// endLease deletes the lease's keys in one revision.
func (s *Store) endLease(id registry.LeaseID, l *lease) {
	l.timer.Stop()
	ops := make([]registry.Op, 0, len(l.keys))
	for key := range l.keys {
		ops = append(ops, registry.Delete(key))
	}
	sort.Slice(ops, func(i, j int) bool { return ops[i].Key < ops[j].Key })
	s.apply(ops)
	delete(s.leases, id)
}

// KeepAlive implements [registry.Store].
func (s *Store) KeepAlive(ctx context.Context, id registry.LeaseID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	l, ok := s.leases[id]
	if !ok {
		return fmt.Errorf("%w: lease %d", registry.ErrNotFound, id)
	}
	l.deadline = s.cfg.Clock.Now().Add(l.ttl)
	l.timer.Reset(l.ttl)
	return nil
}

// Revoke implements [registry.Store].
func (s *Store) Revoke(ctx context.Context, id registry.LeaseID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if l, ok := s.leases[id]; ok {
		s.endLease(id, l)
	}
	return nil
}
