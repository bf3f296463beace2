package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// ErrFenced says that this server is not the leader any more: the compare of the leader's
// key failed.
var ErrFenced = errors.New("audit: another server leads now")

// errOldView says that some of what the view showed was sealed already.
var errOldView = errors.New("audit: the view is older than what was sealed")

// SealerConfig is what a Sealer needs. Zero durations and numbers mean the defaults.
type SealerConfig struct {
	Store Store
	// View returns the newest state at hand; an old one only delays.
	View func() View
	// Clock paces the sealer and judges the age of events.
	Clock  clockwork.Clock
	Logger *slog.Logger
	// Every is the pause between looks for new events; zero means 200 ms.
	Every time.Duration
	// Batch bounds the events of one transaction; zero means 1,000.
	Batch int
	// BatchBytes bounds the bytes of one transaction; zero means 2 MiB. A single account's
	// part may exceed it.
	BatchBytes int
	// Retention is how long events are kept; zero means for ever. Whole segments are
	// dropped, so events may be kept longer.
	Retention time.Duration
	// RetainEvery is the pause between looks for what is too old; zero means an hour.
	RetainEvery time.Duration
}

// Sealer chains events. It belongs to the one goroutine that calls it.
type Sealer struct {
	cfg SealerConfig
	// tails remembers where chains end, so that a busy account costs no reads.
	tails map[string]*tail
	// cursor is the account after which the next look begins, so that one account's stream
	// of events does not keep others waiting.
	cursor string
	// retained is where the last look for what is too old ended.
	retained string
}

// maxTails bounds how many ends of chains are remembered.
const maxTails = 4096

// NewSealer returns a Sealer.
func NewSealer(cfg SealerConfig) *Sealer {
	if cfg.Every <= 0 {
		cfg.Every = 200 * time.Millisecond
	}
	if cfg.Batch <= 0 {
		cfg.Batch = 1000
	}
	if cfg.BatchBytes <= 0 {
		cfg.BatchBytes = 2 << 20
	}
	if cfg.RetainEvery <= 0 {
		cfg.RetainEvery = time.Hour
	}
	return &Sealer{cfg: cfg, tails: map[string]*tail{}}
}

// Run seals until ctx ends, which is no error, or the fence does not hold any more, which is
// [ErrFenced]. The fence is the compare that proves leadership.
func (s *Sealer) Run(ctx context.Context, fence registry.Compare) error {
	// Whatever was remembered may be another leader's by now.
	clear(s.tails)
	seal, retain := s.cfg.Clock.NewTicker(s.cfg.Every), s.cfg.Clock.NewTicker(s.cfg.RetainEvery)
	defer seal.Stop()
	defer retain.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-seal.Chan():
			err = s.sealAll(ctx, fence)
		case <-retain.Chan():
			err = s.Retain(ctx, fence)
		}
		switch {
		case errors.Is(err, ErrFenced):
			return err
		case err != nil && ctx.Err() == nil:
			s.cfg.Logger.Warn("audit events wait to be sealed", slog.Any("cause", err))
		}
	}
}

// sealAll seals until nothing is left of what the view shows.
func (s *Sealer) sealAll(ctx context.Context, fence registry.Compare) error {
	view := s.cfg.View()
	done := map[string]bool{}
	for {
		n, err := s.seal(ctx, fence, view, done)
		if errors.Is(err, errOldView) {
			// The next look has a newer one.
			return nil
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// Seal seals one batch of what waits, and says how many events that were.
func (s *Sealer) Seal(ctx context.Context, fence registry.Compare) (int, error) {
	return s.seal(ctx, fence, s.cfg.View(), map[string]bool{})
}

// seal seals one batch of a view but what done names, and adds to done what it sealed.
func (s *Sealer) seal(ctx context.Context, fence registry.Compare, view View, done map[string]bool) (int, error) {
	b := &batch{txn: registry.Txn{If: []registry.Compare{fence}}}
	// Once around the accounts, beginning after the one where the last batch ended.
	start := s.cursor
	wrapped := start == ""
	for b.events < s.cfg.Batch && b.bytes < s.cfg.BatchBytes {
		account, ok := nextAccount(view, s.cursor)
		if !ok || wrapped && start != "" && account > start {
			if wrapped {
				break
			}
			s.cursor, wrapped = "", true
			continue
		}
		s.cursor = account
		if err := s.add(ctx, b, view, account, done); err != nil {
			return 0, err
		}
	}
	if b.events == 0 {
		s.cursor = ""
		return 0, nil
	}
	return b.events, s.commit(ctx, fence, b, done)
}

// nextAccount is the first account after one that has events waiting.
func nextAccount(view View, after string) (string, bool) {
	cursor := ""
	if after != "" {
		// Behind every key of the account: IDs are ASCII.
		cursor = resource.ForAccount(after).AuditNewOf() + "\xff"
	}
	kvs, _ := view.List(resource.AuditNewPrefix, cursor, 1)
	if len(kvs) == 0 {
		return "", false
	}
	account, _, _ := strings.Cut(strings.TrimPrefix(kvs[0].Key, resource.AuditNewPrefix), "/")
	return account, true
}

func (s *Sealer) commit(ctx context.Context, fence registry.Compare, b *batch, done map[string]bool) error {
	revision, err := s.cfg.Store.Commit(ctx, b.txn)
	if err != nil {
		// Whatever the reason, what is remembered may not be so.
		clear(s.tails)
		if conflict, ok := errors.AsType[*registry.ConflictError](err); ok {
			if !holds(fence, conflict) {
				return ErrFenced
			}
			return errOldView
		}
		return fmt.Errorf("audit: sealing %d events: %w", b.events, err)
	}
	for _, t := range b.tails {
		t.headRevision, t.segmentRevision = revision, revision
		s.remember(t)
	}
	for _, c := range b.txn.If {
		done[c.Key] = true
	}
	return nil
}

func holds(fence registry.Compare, c *registry.ConflictError) bool {
	return c.Current[fence.Key].ModRevision == fence.ModRevision
}

func (s *Sealer) remember(t *tail) {
	if _, known := s.tails[t.tenant.Account()]; !known && len(s.tails) >= maxTails {
		for other := range s.tails {
			delete(s.tails, other)
			break
		}
	}
	s.tails[t.tenant.Account()] = t
}
