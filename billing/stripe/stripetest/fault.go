package stripetest

import (
	"net/http"
	"net/url"
)

// Request is what a test may decide a fault by.
type Request struct {
	Method, Path string
	// Key is the idempotency key of a POST; empty for none.
	Key  string
	Form url.Values
}

// Fault is what goes wrong with a request (https://docs.stripe.com/error-low-level).
type Fault int

const (
	// None means that nothing goes wrong.
	None Fault = iota
	// RateLimit is 429, nothing is done, and the key is free.
	RateLimit
	// LockTimeout is 409, something else held the object; nothing is done, the key is free.
	LockTimeout
	// Unavailable is 503 from in front of the API; nothing is done, the key is free.
	Unavailable
	// ErrorBefore is 500 and nothing is done; the key remembers the 500.
	ErrorBefore
	// ErrorAfter is 500 although the work is done; the key remembers the 500.
	ErrorAfter
	// TimeoutBefore is no answer, and nothing is done.
	TimeoutBefore
	// TimeoutAfter is no answer although the work is done; the key remembers the answer.
	TimeoutAfter

	// Faults is how many kinds of faults there are, None with them.
	Faults = int(TimeoutAfter) + 1
)

func (f Fault) apply(work func() answer) answer {
	switch f {
	case RateLimit:
		a := fail(&apiError{
			status: http.StatusTooManyRequests, kind: "invalid_request_error", code: "rate_limit",
			words: "Request rate limit exceeded.",
		})
		return a
	case LockTimeout:
		a := fail(&apiError{
			status: http.StatusConflict, kind: "invalid_request_error", code: "lock_timeout", early: true,
			words: "This object cannot be accessed right now because another API request or Stripe process is currently accessing it.",
		})
		a.retry = "true"
		return a
	case Unavailable:
		return fail(&apiError{status: http.StatusServiceUnavailable, kind: "api_error", words: "Try again later.", early: true})
	case ErrorBefore:
		return fail(internalError())
	case ErrorAfter:
		if a := work(); !a.keep {
			return a // It was refused before it could fail.
		}
		return fail(internalError())
	case TimeoutBefore:
		return answer{lost: true}
	case TimeoutAfter:
		a := work()
		a.lost = true
		return a
	default:
		return work()
	}
}

func internalError() *apiError {
	return &apiError{
		status: http.StatusInternalServerError, kind: "api_error",
		words: "An unknown error occurred.",
	}
}
