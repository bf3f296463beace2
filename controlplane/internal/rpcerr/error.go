package rpcerr

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// Domain is the domain of every ErrorInfo.
const Domain = "breakwater"

// Reason is the stable, machine-readable name of an error.
type Reason string

// The reasons that clients may rely on.
const (
	ReasonUnauthenticated       Reason = "UNAUTHENTICATED"
	ReasonPermissionDenied      Reason = "PERMISSION_DENIED"
	ReasonNotFound              Reason = "NOT_FOUND"
	ReasonAlreadyExists         Reason = "ALREADY_EXISTS"
	ReasonInvalidField          Reason = "INVALID_FIELD"
	ReasonUnknownParameter      Reason = "UNKNOWN_PARAMETER"
	ReasonPlanRequired          Reason = "PLAN_REQUIRED"
	ReasonQuotaExceeded         Reason = "QUOTA_EXCEEDED"
	ReasonRateLimited           Reason = "RATE_LIMITED"
	ReasonEtagMismatch          Reason = "ETAG_MISMATCH"
	ReasonIdempotencyKeyReused  Reason = "IDEMPOTENCY_KEY_REUSED"
	ReasonIdempotencyInProgress Reason = "IDEMPOTENCY_IN_PROGRESS"
	ReasonMethodNotAllowed      Reason = "METHOD_NOT_ALLOWED"
	ReasonCursorExpired         Reason = "CURSOR_EXPIRED"
	ReasonOwnedElsewhere        Reason = "OWNED_ELSEWHERE"
	ReasonAppConflict           Reason = "APP_CONFLICT"
	ReasonInvalidState          Reason = "INVALID_STATE"
	ReasonDomainTaken           Reason = "DOMAIN_TAKEN"
	ReasonImpossibleRule        Reason = "IMPOSSIBLE_RULE"
	ReasonConcurrentChange      Reason = "CONCURRENT_CHANGE"
	ReasonPaymentMethodRequired Reason = "PAYMENT_METHOD_REQUIRED"
	ReasonQuoteExpired          Reason = "QUOTE_EXPIRED"
	ReasonQuoteStale            Reason = "QUOTE_STALE"
	ReasonChangeInProgress      Reason = "CHANGE_IN_PROGRESS"
	ReasonTooLarge              Reason = "TOO_LARGE"
	ReasonResourceExhausted     Reason = "RESOURCE_EXHAUSTED"
	ReasonUnavailable           Reason = "UNAVAILABLE"
	ReasonDeadlineExceeded      Reason = "DEADLINE_EXCEEDED"
	ReasonCancelled             Reason = "CANCELLED"
	ReasonUnimplemented         Reason = "UNIMPLEMENTED"
	ReasonInternal              Reason = "INTERNAL"
)

// Violation is one field that breaks one rule.
type Violation struct {
	// Field is the field's path in JSON names, such as `settings.browserTtlSeconds` or
	// `firewallEntries[3].cidr`.
	Field string
	// Rule is the rule's stable name, such as `max_len`, or empty.
	Rule string
	// Message says what must be, in words.
	Message string
}

// Error is an error that is meant for the caller. Build one with this package's functions.
type Error struct {
	Code    codes.Code
	Reason  Reason
	Message string
	// Metadata goes into ErrorInfo.
	Metadata map[string]string
	// Violations go into BadRequest.
	Violations []Violation
	// Subject and Type go into PreconditionFailure or QuotaFailure, where set.
	Subject string
	// RetryAfter goes into RetryInfo, where positive.
	RetryAfter time.Duration
	// HelpURL goes into Help, where set.
	HelpURL string
	// Cause is for the log only.
	Cause error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Reason, e.Message) }

// Unwrap returns the internal cause.
func (e *Error) Unwrap() error { return e.Cause }

// NotFound says that a resource does not exist, to a caller who could have seen it.
func NotFound(name string) *Error {
	return &Error{
		Code: codes.NotFound, Reason: ReasonNotFound, Message: fmt.Sprintf("%s does not exist", name),
		Metadata: map[string]string{"resource": name},
	}
}

// AlreadyExists says that a resource exists already.
func AlreadyExists(name string) *Error {
	return &Error{
		Code: codes.AlreadyExists, Reason: ReasonAlreadyExists, Message: fmt.Sprintf("%s exists already", name),
		Metadata: map[string]string{"resource": name},
	}
}

// Invalid names every field that breaks a rule.
func Invalid(violations ...Violation) *Error {
	e := &Error{Code: codes.InvalidArgument, Reason: ReasonInvalidField, Violations: violations}
	switch len(violations) {
	case 0:
		e.Message = "the request is not valid"
	case 1:
		e.Message = violations[0].Field + ": " + violations[0].Message
	default:
		e.Message = fmt.Sprintf("%s: %s (and %d more)", violations[0].Field, violations[0].Message, len(violations)-1)
	}
	if len(violations) > 0 {
		e.Metadata = map[string]string{"field": violations[0].Field}
	}
	return e
}

// InvalidField is Invalid for one field.
func InvalidField(field, rule, format string, args ...any) *Error {
	return Invalid(Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// PlanRequired says that a plan allows what was asked: FAILED_PRECONDITION, 400.
func PlanRequired(field, requiredPlan, format string, args ...any) *Error {
	msg := fmt.Sprintf(format, args...)
	return &Error{
		Code: codes.FailedPrecondition, Reason: ReasonPlanRequired, Message: msg, Subject: field,
		Metadata:   map[string]string{"requiredPlan": requiredPlan, "field": field},
		Violations: []Violation{{Field: field, Rule: "plan", Message: msg}},
	}
}

// QuotaExceeded says that a plan's count is used up; requiredPlan may be empty where no
// plan allows more. FAILED_PRECONDITION, 400.
func QuotaExceeded(subject string, limit int, requiredPlan, format string, args ...any) *Error {
	md := map[string]string{"limit": fmt.Sprint(limit), "quota": subject}
	if requiredPlan != "" {
		md["requiredPlan"] = requiredPlan
	}
	return &Error{
		Code: codes.FailedPrecondition, Reason: ReasonQuotaExceeded, Message: fmt.Sprintf(format, args...),
		Subject: subject, Metadata: md,
	}
}

// EtagMismatch says that the resource changed since it was read: ABORTED, 409.
func EtagMismatch(name string) *Error {
	return &Error{
		Code: codes.Aborted, Reason: ReasonEtagMismatch,
		Message:  fmt.Sprintf("%s changed since it was read: read it again", name),
		Metadata: map[string]string{"resource": name},
	}
}

// PermissionDenied names the permission that is missing, whether or not the thing exists.
func PermissionDenied(permission, name string) *Error {
	return &Error{
		Code: codes.PermissionDenied, Reason: ReasonPermissionDenied,
		Message:  fmt.Sprintf("permission %s is missing on %s", permission, name),
		Metadata: map[string]string{"permission": permission, "resource": name},
	}
}

// Unauthenticated says that the credential is missing or not valid.
func Unauthenticated(format string, args ...any) *Error {
	return &Error{Code: codes.Unauthenticated, Reason: ReasonUnauthenticated, Message: fmt.Sprintf(format, args...)}
}

// RateLimited says to come back later: RESOURCE_EXHAUSTED, 429.
func RateLimited(subject string, retryAfter time.Duration, format string, args ...any) *Error {
	return &Error{
		Code: codes.ResourceExhausted, Reason: ReasonRateLimited, Message: fmt.Sprintf(format, args...),
		Subject: subject, RetryAfter: retryAfter,
	}
}

// Precondition says that the resource is not in a state that allows the call:
// FAILED_PRECONDITION, 400.
func Precondition(reason Reason, subject, format string, args ...any) *Error {
	return &Error{
		Code: codes.FailedPrecondition, Reason: reason, Message: fmt.Sprintf(format, args...), Subject: subject,
		Metadata: map[string]string{"resource": subject},
	}
}

// Aborted says that the call met another one and may be tried again: ABORTED, 409.
func Aborted(reason Reason, format string, args ...any) *Error {
	return Failed(codes.Aborted, reason, format, args...)
}

// Malformed says that the request is not valid in a way that is no field's: an
// INVALID_ARGUMENT, 400, with a reason of its own.
func Malformed(reason Reason, format string, args ...any) *Error {
	return Failed(codes.InvalidArgument, reason, format, args...)
}

// Unavailable says that the server can't answer now and that trying again after retryAfter
// is right: UNAVAILABLE, 503.
func Unavailable(retryAfter time.Duration, format string, args ...any) *Error {
	e := Failed(codes.Unavailable, ReasonUnavailable, format, args...)
	e.RetryAfter = retryAfter
	return e
}

// Internal hides a cause that callers can do nothing about: INTERNAL, 500. The cause is for
// the log.
func Internal(cause error) *Error {
	return &Error{Code: codes.Internal, Reason: ReasonInternal, Message: internalMessage, Cause: cause}
}

// Failed makes any other error that is meant for the caller.
func Failed(code codes.Code, reason Reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// WithCause keeps an internal cause, for the log only, and returns e.
func (e *Error) WithCause(cause error) *Error {
	e.Cause = cause
	return e
}

// WithMetadata adds a pair to ErrorInfo and returns e.
func (e *Error) WithMetadata(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[key] = value
	return e
}
