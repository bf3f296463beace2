package rpcerr

import (
	"context"
	"errors"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

const internalMessage = "an internal error; the request ID finds it in the server's log"

// Waits that RetryInfo advises.
const (
	retryUnavailable = time.Second
	retryConflict    = 100 * time.Millisecond
)

// Status is the one table from errors to statuses. It finds typed errors however deep they
// are wrapped; the words around them are for the log and do not reach the caller. A nil
// error is OK.
func Status(err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	if e := typed(err); e != nil {
		return render(e)
	}
	// Only a status that is the error itself was meant for the caller: a wrapped one may be
	// the answer of a server that this one called.
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return complete(s.GRPCStatus())
	}
	return render(Internal(err))
}

// Known says whether the table has a row for err, so that it is no fault of the server.
func Known(err error) bool {
	switch Status(err).Code() {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return false
	default:
		return true
	}
}

// typed finds the row of the table, or returns nil.
func typed(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e
	}
	if e := fromStore(err); e != nil {
		return e
	}
	if e := fromInput(err); e != nil {
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Failed(codes.DeadlineExceeded, ReasonDeadlineExceeded, "the call's deadline passed before it was done")
	case errors.Is(err, context.Canceled):
		return Failed(codes.Canceled, ReasonCancelled, "the caller gave up")
	}
	return nil
}

// fromStore has the rows of the store's errors. They come before those of the context,
// because a store that does not answer is the better reason for a deadline that passed.
func fromStore(err error) *Error {
	var (
		conflict  *registry.ConflictError
		compacted *registry.CompactedError
		reset     *registry.ResetError
	)
	switch {
	case errors.Is(err, registry.ErrUnknownOutcome):
		return Unavailable(retryUnavailable,
			"the store did not answer, and the change may have been stored: read before trying again, or send an idempotency key").
			WithMetadata("outcome", "unknown").WithCause(err)
	case errors.Is(err, registry.ErrUnavailable):
		return Unavailable(retryUnavailable, "the store can't be reached, nothing was changed: try again").WithCause(err)
	case errors.As(err, &compacted), errors.As(err, &reset):
		return Unavailable(retryUnavailable, "the store moved on while it was read: try again").WithCause(err)
	case errors.As(err, &conflict):
		e := Aborted(ReasonConcurrentChange, "something else changed at the same time: try again").WithCause(err)
		e.RetryAfter = retryConflict
		return e
	case errors.Is(err, registry.ErrTooLarge):
		return Failed(codes.FailedPrecondition, ReasonTooLarge,
			"the change is too large to be stored at once, or the store is full").WithCause(err)
	}
	return nil
}

// fromInput has the rows of errors about what the caller sent. A handler that knows a
// better field than these names it itself.
func fromInput(err error) *Error {
	var (
		name    *resource.NameError
		dom     *domain.Error
		invalid *protovalidate.ValidationError
	)
	switch {
	case errors.As(err, &name):
		return InvalidField("name", "resource_name", "%s", name.Error())
	case errors.As(err, &dom):
		return InvalidField("domain", string(dom.Rule), "%s", dom.Message)
	case errors.As(err, &invalid):
		return Invalid(violations(invalid)...)
	}
	return nil
}

// reasonOf names the reason of a status that came without one.
func reasonOf(c codes.Code) Reason {
	switch c {
	case codes.Canceled:
		return ReasonCancelled
	case codes.InvalidArgument, codes.OutOfRange:
		return ReasonInvalidField
	case codes.DeadlineExceeded:
		return ReasonDeadlineExceeded
	case codes.NotFound:
		return ReasonNotFound
	case codes.AlreadyExists:
		return ReasonAlreadyExists
	case codes.PermissionDenied:
		return ReasonPermissionDenied
	case codes.Unauthenticated:
		return ReasonUnauthenticated
	case codes.ResourceExhausted:
		return ReasonResourceExhausted
	case codes.FailedPrecondition:
		return ReasonInvalidState
	case codes.Aborted:
		return ReasonConcurrentChange
	case codes.Unimplemented:
		return ReasonUnimplemented
	case codes.Unavailable:
		return ReasonUnavailable
	default:
		return ReasonInternal
	}
}
