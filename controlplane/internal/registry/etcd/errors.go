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
	if known := knownError(err); known != nil {
		return known
	}
	if status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) {
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

// knownError maps what etcd says about the request itself, or returns nil.
func knownError(err error) error {
	switch rpctypes.Error(err) { //nolint:errorlint // the answers of etcd are comparable values
	case rpctypes.ErrCompacted:
		return &registry.CompactedError{}
	case rpctypes.ErrFutureRev:
		return &registry.ResetError{Reason: "the store has not reached the revision asked for"}
	case rpctypes.ErrLeaseNotFound:
		return fmt.Errorf("%w: %w", registry.ErrNotFound, err)
	case rpctypes.ErrNoSpace, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps:
		return fmt.Errorf("%w: %w", registry.ErrTooLarge, err)
	case rpctypes.ErrEmptyKey, rpctypes.ErrDuplicateKey, rpctypes.ErrLeaseTTLTooLarge:
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
	refusals := []error{
		rpctypes.ErrNoLeader, rpctypes.ErrTooManyRequests, rpctypes.ErrPermissionDenied,
		rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty,
		rpctypes.ErrAuthOldRevision, rpctypes.ErrCorrupt,
	}
	if slices.Contains(refusals, rpctypes.Error(err)) {
		return true
	}
	// gRPC says so when it had no connection to send the request on. It has no other sign
	// for it than its text; where the text should change one day, the outcome counts as
	// unknown, which is safe.
	return status.Code(err) == codes.Unavailable &&
		strings.Contains(err.Error(), "transport: Error while dialing")
}
