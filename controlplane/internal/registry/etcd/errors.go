package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// readError turns the error of a call that stores nothing into the contract's. ctx is the
// caller's context.
func readError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, ctx.Err())
	}
	if known := knownError(err); known != nil {
		return known
	}
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded ||
		isAny(err, errDeadline) {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, context.DeadlineExceeded)
	}
	return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
}

// writeError turns the error of a transaction into the contract's. What is not certain to
// have been refused is registry.ErrUnknownOutcome.
func writeError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if known := knownError(err); known != nil {
		return known
	}
	if neverStored(err) {
		return fmt.Errorf("%w: %w", registry.ErrUnavailable, err)
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %w", registry.ErrUnknownOutcome, cause)
	}
	return fmt.Errorf("%w: %w", registry.ErrUnknownOutcome, err)
}

// errDeadline is how etcd's code reports a deadline when it is called as a function.
var errDeadline = rpctypes.Error(rpctypes.ErrGRPCDeadlineExceeded)

// knownError maps what etcd says about the request itself, or returns nil.
func knownError(err error) error {
	switch {
	case isAny(err, rpctypes.ErrCompacted):
		return &registry.CompactedError{}
	case isAny(err, rpctypes.ErrFutureRev):
		return &registry.ResetError{Reason: "the store has not reached the revision asked for"}
	case isAny(err, rpctypes.ErrLeaseNotFound):
		return fmt.Errorf("%w: %w", registry.ErrNotFound, err)
	case isAny(err, rpctypes.ErrNoSpace, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w: %w", registry.ErrTooLarge, err)
	case isAny(err, rpctypes.ErrEmptyKey, rpctypes.ErrDuplicateKey, rpctypes.ErrLeaseTTLTooLarge):
		return fmt.Errorf("%w: %w", registry.ErrInvalid, err)
	}
	// gRPC refuses a message before etcd sees it, on either side, with this text only.
	if status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "message larger than max") {
		return fmt.Errorf("%w: %w", registry.ErrTooLarge, err)
	}
	return nil
}

// neverStored says that a transaction failed before etcd proposed it.
func neverStored(err error) bool {
	if isAny(err, rpctypes.ErrNoLeader, rpctypes.ErrTooManyRequests, rpctypes.ErrPermissionDenied,
		rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty,
		rpctypes.ErrAuthOldRevision, rpctypes.ErrCorrupt) {
		return true
	}
	// gRPC says so when it had no connection to send the request on. It has no other sign
	// for it than its text; where the text should change one day, the outcome counts as
	// unknown, which is safe.
	return status.Code(err) == codes.Unavailable &&
		strings.Contains(err.Error(), "transport: Error while dialing")
}

// isAny says that err is one of etcd's answers, as gRPC carries it or as the client
// translated it.
func isAny(err error, answers ...error) bool {
	err = rpctypes.Error(err)
	return slices.ContainsFunc(answers, func(a error) bool { return errors.Is(err, a) })
}
