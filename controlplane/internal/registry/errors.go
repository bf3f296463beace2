package registry

import (
	"errors"
	"fmt"
)

// ErrNotFound says that the key, or the lease, does not exist.
var ErrNotFound = errors.New("registry: not found")

// ErrUnavailable says that the store can't be reached, has no leader or did not answer in
// time. Nothing is known to be stored; trying again later is right.
var ErrUnavailable = errors.New("registry: store unavailable")

// ErrUnknownOutcome says that a write was sent and its answer lost: it may have been
// stored. It is an [ErrUnavailable] too. Write again only under a compare or an
// idempotency key.
var ErrUnknownOutcome = fmt.Errorf("%w: the outcome of the write is not known", ErrUnavailable)

// ErrTooLarge says that a transaction holds more than [MaxTxnOps] operations or
// [MaxRequestBytes] bytes, or that the store has no space left.
var ErrTooLarge = errors.New("registry: transaction too large, or store full")

// ErrInvalid says that a request is malformed, as [Txn.Validate] explains. Sending it again
// can't help.
var ErrInvalid = errors.New("registry: malformed request")

// ConflictError says that a condition of a transaction did not hold.
type ConflictError struct {
	// Revision is the revision at which the conditions were checked.
	Revision int64
	// Current holds the values of the compared keys at that revision; keys that do not
	// exist are absent.
	Current map[string]KV
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("registry: a compared key changed (revision %d)", e.Revision)
}

// CompactedError says that the revision asked for is no longer kept. The watcher or lister
// begins again from a fresh list.
type CompactedError struct {
	// Oldest is the oldest revision that may still be listed and watched from, or zero
	// where the store did not say.
	Oldest int64
}

func (e *CompactedError) Error() string {
	return fmt.Sprintf("registry: revision compacted, the oldest kept is %d", e.Oldest)
}

// ResetError says that the store is not the one that the watch began with: its cluster
// changed or its revision went back, as after restoring a backup. The watcher forgets what
// it holds and lists again.
type ResetError struct {
	Reason string
}

func (e *ResetError) Error() string { return "registry: store was reset: " + e.Reason }
