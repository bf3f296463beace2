package simfleet

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Effect is what a bug does to a server.
type Effect int

// The effects.
const (
	// Reject refuses the document by name.
	Reject Effect = iota + 1
	// Crash takes the server down while it applies.
	Crash
	// Hang never finishes applying.
	Hang
	// Unhealthy applies, and fails health checks for as long as the version serves.
	Unhealthy
	// CrashLater takes the server down some time after it applied.
	CrashLater
)

// String is the effect's name in the API.
func (e Effect) String() string {
	switch e {
	case Reject:
		return "REJECT"
	case Crash:
		return "CRASH"
	case Hang:
		return "HANG"
	case Unhealthy:
		return "UNHEALTHY"
	case CrashLater:
		return "CRASH_LATER"
	}
	return fmt.Sprintf("Effect(%d)", int(e))
}

// Bug is a defect of every simulated data plane.
type Bug struct {
	ID string
	// Match is what `{kind}/{id}` of a document contains when it triggers the bug.
	Match  string
	Effect Effect
	// After is how long after applying [CrashLater] comes.
	After time.Duration
}

// MaxBugs is how many bugs there may be.
const MaxBugs = 100

var (
	// ErrTooManyBugs says that there are [MaxBugs] already.
	ErrTooManyBugs = errors.New("simfleet: too many bugs")
	// ErrInvalidBug says that a bug cannot be.
	ErrInvalidBug = errors.New("simfleet: not a bug")
)

// Bugs are the bugs of a fleet. Several goroutines may use it.
type Bugs struct {
	mu   sync.RWMutex
	bugs map[string]Bug
}

// NewBugs returns an empty set.
func NewBugs() *Bugs { return &Bugs{bugs: map[string]Bug{}} }

// Set adds a bug, or replaces the one of the same ID. Errors are [ErrInvalidBug] and
// [ErrTooManyBugs].
func (b *Bugs) Set(bug Bug) error {
	if bug.ID == "" || bug.Match == "" || bug.Effect < Reject || bug.Effect > CrashLater || bug.After < 0 {
		return fmt.Errorf("%w: %+v", ErrInvalidBug, bug)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.bugs[bug.ID]; !there && len(b.bugs) >= MaxBugs {
		return ErrTooManyBugs
	}
	b.bugs[bug.ID] = bug
	return nil
}

// Get returns a bug; false when there is none of this ID.
func (b *Bugs) Get(id string) (Bug, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	bug, ok := b.bugs[id]
	return bug, ok
}

// List returns all bugs in order of their IDs.
func (b *Bugs) List() []Bug {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.SortedFunc(maps.Values(b.bugs), func(x, y Bug) int { return cmp.Compare(x.ID, y.ID) })
}

// Delete removes a bug and says whether it was there. Servers that only fail their health
// checks for it get well.
func (b *Bugs) Delete(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.bugs[id]
	delete(b.bugs, id)
	return ok
}

// match returns the bug that a document triggers: of several, that which shows first.
func (b *Bugs) match(id wire.DocumentID) (Bug, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.bugs) == 0 {
		return Bug{}, false
	}
	var found Bug
	name := id.String()
	for _, bug := range b.bugs {
		if strings.Contains(name, bug.Match) &&
			(found.ID == "" || cmp.Or(cmp.Compare(bug.Effect, found.Effect), cmp.Compare(bug.ID, found.ID)) < 0) {
			found = bug
		}
	}
	return found, found.ID != ""
}
