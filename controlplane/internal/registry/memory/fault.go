package memory

import (
	"fmt"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// fault is what a test has broken. The store's lock guards it.
type fault struct {
	down        bool
	silent      bool
	lostAnswers int
}

// SetUnavailable stops the store or starts it again. While it is stopped every call fails
// with [registry.ErrUnavailable], as running watches do at once; leases are kept.
func (s *Store) SetUnavailable(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault.down = down
	if down {
		s.endWatches(fmt.Errorf("%w: switched off", registry.ErrUnavailable))
	}
}

// LoseAnswers makes the next n transactions fail with [registry.ErrUnknownOutcome] although
// they are stored.
func (s *Store) LoseAnswers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault.lostAnswers = n
}

// SetSilent keeps watches from delivering anything, progress too, as behind a connection
// that hangs. What they owe is delivered once they may speak again.
func (s *Store) SetSilent(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault.silent = silent
	for w := range s.watches {
		w.poke()
	}
}

func (s *Store) silent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault.silent
}

func (s *Store) endWatches(err error) {
	for w := range s.watches {
		w.end(err)
	}
}

// BreakWatches ends all running watches with err; the store itself goes on.
func (s *Store) BreakWatches(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endWatches(err)
}

// Backup is the state of a store at one revision. See [Store.Backup].
type Backup struct {
	rev       int64
	compacted int64
	kvs       []registry.KV
	leases    map[registry.LeaseID]*lease
}

// Backup copies the newest state, without history.
func (s *Store) Backup() *Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &Backup{rev: s.rev, compacted: s.rev, leases: make(map[registry.LeaseID]*lease)}
	s.keys.Ascend(func(r *record) bool {
		if kv, ok := r.at(s.rev); ok {
			b.kvs = append(b.kvs, kv)
		}
		return true
	})
	for id, l := range s.leases {
		b.leases[id] = &lease{ttl: l.ttl}
	}
	return b
}

// Restore puts a backup in place of the store's state, as an operator does with etcd's: the
// revision goes back, the cluster is another one, and all watches end with a
// [registry.ResetError]. Leases begin their time again.
func (s *Store) Restore(b *Backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.leases {
		l.timer.Stop()
	}
	s.cluster++
	s.rev, s.compacted = b.rev, b.compacted
	s.log = nil
	s.keys = newKeys()
	s.leases = make(map[registry.LeaseID]*lease)
	for id, l := range b.leases {
		s.startLease(id, l.ttl)
	}
	for _, kv := range b.kvs {
		s.keys.ReplaceOrInsert(&record{key: kv.Key, versions: []version{{kv: kv}}})
		if l, ok := s.leases[kv.Lease]; ok {
			l.keys[kv.Key] = struct{}{}
		}
	}
	s.endWatches(&registry.ResetError{Reason: "a backup was restored"})
}
