package clock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
)

// Shifted is a clock whose time of day is ahead of another's. It is safe for concurrent
// use.
type Shifted struct {
	clockwork.Clock
	path   string
	offset atomic.Int64
}

// file is what is kept.
type file struct {
	Offset time.Duration `json:"offsetNanoseconds"`
}

// OpenShifted returns the clock with the offset that was kept at path, or none.
func OpenShifted(base clockwork.Clock, path string) (*Shifted, error) {
	s := &Shifted{Clock: base, path: path}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("clock: %w", err)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("clock: %s: %w", path, err)
	}
	s.offset.Store(int64(f.Offset))
	return s, nil
}

// Offset is how far the clock is ahead.
func (s *Shifted) Offset() time.Duration { return time.Duration(s.offset.Load()) }

// Now is the time of day.
func (s *Shifted) Now() time.Time { return s.Clock.Now().Add(s.Offset()) }

// Since is the time since t, by this clock.
func (s *Shifted) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

// Until is the time until t, by this clock.
func (s *Shifted) Until(t time.Time) time.Duration { return t.Sub(s.Now()) }

// AdvanceTo moves the time of day forward to a time, and keeps that before it is seen. A
// time that has passed changes nothing.
func (s *Shifted) AdvanceTo(_ context.Context, to time.Time) error {
	for {
		before := s.offset.Load()
		next := int64(to.Sub(s.Clock.Now()))
		if next <= before {
			return nil
		}
		b, err := json.Marshal(file{Offset: time.Duration(next)})
		if err != nil {
			return fmt.Errorf("clock: %w", err)
		}
		tmp := s.path + ".tmp"
		if err := os.WriteFile(tmp, b, 0o600); err != nil {
			return fmt.Errorf("clock: %w", err)
		}
		if err := os.Rename(tmp, s.path); err != nil {
			return fmt.Errorf("clock: %w", err)
		}
		if s.offset.CompareAndSwap(before, next) {
			return nil
		}
	}
}
