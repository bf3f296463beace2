package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

// apiError is Stripe's answer to a request that failed, without the objects in it: they have
// secrets. It wraps the error of package billing that says what became of the call.
type apiError struct {
	operation string
	outcome   error
	status    int
	kind      string // Stripe's "type".
	code      string
	param     string
	message   string
	request   string
	replayed  bool
}

func (e *apiError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s: %d %s", e.outcome, e.operation, e.status, e.kind)
	for _, part := range []struct{ name, text string }{{"code", e.code}, {"param", e.param}, {"request", e.request}} {
		if part.text != "" {
			fmt.Fprintf(&b, " %s=%s", part.name, part.text)
		}
	}
	if e.replayed {
		b.WriteString(" replayed")
	}
	if e.message != "" {
		fmt.Fprintf(&b, ": %s", e.message)
	}
	return b.String()
}

func (e *apiError) Unwrap() error { return e.outcome }

// translate is the one table from what the library returns to what callers know. Stripe keeps
// the first answer for a key, failures of its own too (https://docs.stripe.com/api/idempotent_requests):
// one that is replayed is what the key gets for as long as it is kept.
func translate(operation string, err error) error {
	if err == nil {
		return nil
	}
	var answer *stripego.Error
	if !errors.As(err, &answer) {
		return unanswered(operation, err)
	}
	e := &apiError{
		operation: operation, status: answer.HTTPStatusCode, kind: string(answer.Type), code: string(answer.Code),
		param: answer.Param, message: answer.Msg, request: answer.RequestID,
	}
	if last := answer.LastResponse; last != nil {
		e.replayed = last.Header.Get("Idempotent-Replayed") == "true"
	}
	e.outcome = outcome(answer)
	if e.replayed && answer.HTTPStatusCode >= http.StatusInternalServerError {
		e.outcome = billing.ErrSpent
	}
	if e.outcome != nil {
		return e
	}
	message := answer.Msg
	if noCard(answer) {
		message = "There is no card to charge."
	}
	code := string(answer.Code)
	if code == "" {
		code = string(answer.Type)
	}
	// The code and never the decline code: that a card was reported as stolen is not for
	// the person who holds it (https://docs.stripe.com/declines/codes).
	return &billing.PaymentError{Code: code, Message: message}
}

// outcome says what became of a call that Stripe answered; nil stands for a payment that did
// not go through.
func outcome(answer *stripego.Error) error {
	status := answer.HTTPStatusCode
	switch {
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return billing.ErrRetry
	case status == http.StatusConflict, answer.Code == stripego.ErrorCodeLockTimeout,
		answer.Code == stripego.ErrorCodeIdempotencyKeyInUse:
		return billing.ErrRetry
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		// The key is wrong or lacks a permission. That is the operator's to repair, and no
		// customer's change is to fail for it.
		return billing.ErrRetry
	case status == http.StatusPaymentRequired, answer.Type == stripego.ErrorTypeCard, noCard(answer):
		return nil
	case status == http.StatusNotFound && answer.Code == stripego.ErrorCodeResourceMissing:
		return billing.ErrNotFound
	case answer.Code == stripego.ErrorCodeResourceMissing && thing(answer.Param):
		return billing.ErrNotFound
	default: // Also a key that came with other parameters before.
		return billing.ErrRefused
	}
}

// thing says whether a parameter names what the call is about, so that its absence is the
// call's.
func thing(param string) bool {
	switch param {
	case "customer", "subscription", "invoice", "id", "starting_after":
		return true
	}
	return false
}

// noCard says whether an answer is the one to a charge without a payment method: it has the
// code of something missing, and no parameter that names it.
func noCard(answer *stripego.Error) bool {
	return answer.HTTPStatusCode == http.StatusBadRequest && answer.Code == stripego.ErrorCodeResourceMissing && answer.Param == ""
}

// unanswered is for calls that no answer of Stripe's came back from. The library's errors
// about answers that it can't read quote them; they are left out.
func unanswered(operation string, err error) error {
	cause := errors.New("the answer could not be read")
	var network interface{ Timeout() bool }
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) {
		cause = err
	}
	return fmt.Errorf("%w: %s: %w", billing.ErrRetry, operation, cause)
}
