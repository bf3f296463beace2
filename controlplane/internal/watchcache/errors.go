package watchcache

import (
	"fmt"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// StaleError says that a read could not be shown to be current in time. It is a
// [registry.ErrUnavailable] too. What [Cache.Cached] returns may still serve.
type StaleError struct {
	// Revision is the newest revision known, or zero where nothing is.
	Revision int64
	// Staleness is how long ago that was known to be current.
	Staleness time.Duration
	// Cause is what kept the cache from being current.
	Cause error
}

func (e *StaleError) Error() string {
	if e.Revision == 0 {
		return fmt.Sprintf("watchcache: nothing is cached yet: %v", e.Cause)
	}
	return fmt.Sprintf("watchcache: revision %d was current %v ago: %v",
		e.Revision, e.Staleness.Round(time.Millisecond), e.Cause)
}

// Unwrap makes errors.Is find [registry.ErrUnavailable] and the cause.
func (e *StaleError) Unwrap() []error { return []error{registry.ErrUnavailable, e.Cause} }

// LaggedError says that a subscription can't go on without a gap: it asked for events that
// are no longer kept, or the store was reset. The subscriber reads everything again and
// subscribes from the revision of that view.
type LaggedError struct {
	// Oldest is the oldest revision that can be subscribed after.
	Oldest int64
	// Reset says that revisions from before no longer compare with those of now.
	Reset bool
}

func (e *LaggedError) Error() string {
	if e.Reset {
		return "watchcache: the store was reset, read everything again"
	}
	return fmt.Sprintf("watchcache: subscriber lags, the oldest revision kept is %d", e.Oldest)
}
