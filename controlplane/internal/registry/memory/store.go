package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/btree"
	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

var _ registry.Store = (*Store)(nil)

// Config says how a store behaves. The zero value works.
type Config struct {
	// Clock drives leases and progress notices. Nil means the real one.
	Clock clockwork.Clock
	// ProgressInterval is the time between a watch's progress notices; zero means 1 s.
	ProgressInterval time.Duration
	// MaxBuffered is the number of events that a watch holds for a slow consumer before it
	// ends; zero means 100,000.
	MaxBuffered int
}

// Store is the contract in memory. Its methods may be called concurrently.
type Store struct {
	cfg Config

	mu        sync.Mutex
	cluster   uint64
	rev       int64
	compacted int64
	keys      *btree.BTreeG[*record]
	log       []revision
	leases    map[registry.LeaseID]*lease
	nextLease registry.LeaseID
	watches   map[*watch]struct{}
	fault     fault
	closed    bool

	wg sync.WaitGroup
}

// record is one key with the versions that are still kept, oldest first.
type record struct {
	key      string
	versions []version
}

type version struct {
	kv      registry.KV
	deleted bool
}

// revision is one entry of the history that watches replay.
type revision struct {
	rev    int64
	events []registry.Event
}

// New returns an empty store at revision 1, as etcd begins.
func New(cfg Config) *Store {
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	if cfg.ProgressInterval <= 0 {
		cfg.ProgressInterval = time.Second
	}
	if cfg.MaxBuffered <= 0 {
		cfg.MaxBuffered = 100_000
	}
	return &Store{
		cfg:     cfg,
		cluster: 1,
		rev:     1,
		keys:    newKeys(),
		leases:  make(map[registry.LeaseID]*lease),
		watches: make(map[*watch]struct{}),
	}
}

func newKeys() *btree.BTreeG[*record] {
	return btree.NewG(16, func(a, b *record) bool { return a.key < b.key })
}

// Close ends all watches and leases and waits for their goroutines. Every later call fails
// with [registry.ErrUnavailable].
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	for id, l := range s.leases {
		l.timer.Stop()
		delete(s.leases, id)
	}
	s.endWatches(fmt.Errorf("%w: store closed", registry.ErrUnavailable))
	s.mu.Unlock()
	s.wg.Wait()
}

// enter locks the store for a call, unless the call can't be served. The caller unlocks.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return contextError(ctx)
	}
	s.mu.Lock()
	if s.closed || s.fault.down {
		s.mu.Unlock()
		return registry.ErrUnavailable
	}
	return nil
}

// contextError is what a read answers whose context has ended.
func contextError(ctx context.Context) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
	}
	return err
}

// Get implements [registry.Store].
func (s *Store) Get(ctx context.Context, key string) (registry.KV, error) {
	if key == "" {
		return registry.KV{}, fmt.Errorf("%w: empty key", registry.ErrInvalid)
	}
	if err := s.enter(ctx); err != nil {
		return registry.KV{}, err
	}
	defer s.mu.Unlock()
	kv, ok := s.at(key, s.rev)
	if !ok {
		return registry.KV{}, registry.ErrNotFound
	}
	return kv, nil
}

// List implements [registry.Store].
func (s *Store) List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error) {
	if err := s.enter(ctx); err != nil {
		return registry.ListResponse{}, err
	}
	defer s.mu.Unlock()
	rev := req.Revision
	switch {
	case rev == 0:
		rev = s.rev
	case rev < s.compacted:
		return registry.ListResponse{}, &registry.CompactedError{Oldest: s.compacted}
	case rev > s.rev:
		return registry.ListResponse{}, s.behind(rev)
	}

	resp := registry.ListResponse{Revision: rev}
	limit := req.PageLimit()
	visit := func(r *record) bool {
		if !strings.HasPrefix(r.key, req.Prefix) {
			return false
		}
		kv, ok := r.at(rev)
		if !ok {
			return true
		}
		if len(resp.KVs) == limit {
			resp.More = true
			return false
		}
		if req.KeysOnly {
			kv.Value = nil
		}
		resp.KVs = append(resp.KVs, kv)
		return true
	}
	if req.Descending {
		s.descend(req, visit)
	} else {
		s.ascend(req, visit)
	}
	return resp, nil
}

func (s *Store) ascend(req registry.ListRequest, visit func(*record) bool) {
	from := max(req.Prefix, req.After)
	s.keys.AscendGreaterOrEqual(&record{key: from}, func(r *record) bool {
		if req.After != "" && r.key <= req.After {
			return true
		}
		return visit(r)
	})
}

func (s *Store) descend(req registry.ListRequest, visit func(*record) bool) {
	skip := func(r *record) bool {
		beyond := r.key > req.Prefix && !strings.HasPrefix(r.key, req.Prefix)
		if beyond || (req.After != "" && r.key >= req.After) {
			return true
		}
		return visit(r)
	}
	if req.After != "" {
		s.keys.DescendLessOrEqual(&record{key: req.After}, skip)
		return
	}
	s.keys.Descend(skip)
}

// Revision implements [registry.Store].
func (s *Store) Revision(ctx context.Context) (int64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return s.rev, nil
}

// Status implements [registry.Store]. There is no quota.
func (s *Store) Status(ctx context.Context) (registry.Status, error) {
	if err := s.enter(ctx); err != nil {
		return registry.Status{}, err
	}
	defer s.mu.Unlock()
	var size int64
	s.keys.Ascend(func(r *record) bool {
		for _, v := range r.versions {
			size += int64(len(r.key) + len(v.kv.Value))
		}
		return true
	})
	return registry.Status{Cluster: s.cluster, SizeBytes: size}, nil
}

// at returns the value of key at a revision.
func (s *Store) at(key string, rev int64) (registry.KV, bool) {
	r, ok := s.keys.Get(&record{key: key})
	if !ok {
		return registry.KV{}, false
	}
	return r.at(rev)
}

func (r *record) at(rev int64) (registry.KV, bool) {
	for _, v := range slices.Backward(r.versions) {
		switch {
		case v.kv.ModRevision > rev:
		case v.deleted:
			return registry.KV{}, false
		default:
			return v.kv, true
		}
	}
	return registry.KV{}, false
}

// behind says that a caller knows a revision that this store never had.
func (s *Store) behind(rev int64) error {
	return &registry.ResetError{
		Reason: fmt.Sprintf("the store is at revision %d, the caller at %d", s.rev, rev),
	}
}
