package stripetest

import (
	"fmt"
	"net/http"
)

// apiError is an error as Stripe answers it (https://docs.stripe.com/api/errors).
type apiError struct {
	status                            int
	kind, code, decline, param, words string
	// intent is the payment intent of a card error.
	intent object
	// early says that the request was refused before anything was tried, so that an
	// idempotency key does not remember it.
	early bool
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.words) }

func (e *apiError) view() object {
	body := object{"type": e.kind, "message": e.words}
	if e.code != "" {
		body["code"] = e.code
		body["doc_url"] = "https://stripe.com/docs/error-codes/" + e.code
	}
	if e.decline != "" {
		body["decline_code"] = e.decline
	}
	if e.param != "" {
		body["param"] = e.param
	}
	if e.intent != nil {
		body["payment_intent"] = e.intent
	}
	return object{"error": body}
}

// invalid refuses a request for what it says.
func invalid(param, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, kind: "invalid_request_error", param: param, words: fmt.Sprintf(format, args...),
	}
}

// missing says that something is not there.
func missing(what, id, param string) *apiError {
	return &apiError{
		status: http.StatusNotFound, kind: "invalid_request_error", code: "resource_missing", param: param,
		words: fmt.Sprintf("No such %s: '%s'", what, id),
	}
}

func (e *apiError) withCode(code string) *apiError {
	e.code = code
	return e
}
