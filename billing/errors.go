package billing

import (
	"errors"
	"fmt"
)

// Why a decision is refused. The texts are fit to be shown to customers.
var (
	// ErrPaymentMethodRequired says that the account has nothing that could be charged.
	ErrPaymentMethodRequired = errors.New("billing: the account has no payment method")
	// ErrQuoteExpired says that a quote is too old.
	ErrQuoteExpired = errors.New("billing: the quote has expired")
	// ErrQuoteStale says that what a quote promised does not hold any more, or that it is for
	// something else.
	ErrQuoteStale = errors.New("billing: the quote does not hold any more")
	// ErrChangeInProgress says that another change of the account is being paid for.
	ErrChangeInProgress = errors.New("billing: another change of the account is being paid for")
	// ErrCustomerPending says that the account has no customer at the payment provider yet:
	// [Engine.Ask] for one, and try again when [Engine.Settle] has made it.
	ErrCustomerPending = errors.New("billing: the payment provider does not know the account yet")
)

// StateError says that the state of the account or of the site does not allow a decision.
type StateError struct {
	// Message says why, to the customer.
	Message string
}

func (e *StateError) Error() string { return "billing: " + e.Message }

// UnknownPlanError says that a plan is not sold.
type UnknownPlanError struct {
	// Plan is the ID that was given.
	Plan string
}

func (e *UnknownPlanError) Error() string { return fmt.Sprintf("billing: no plan %q is sold", e.Plan) }

// HopelessError says that a step of [Engine.Settle] will fail however often it is repeated:
// a person must look.
type HopelessError struct {
	// Operation is what was called.
	Operation string
	// Err is what the payment provider said.
	Err error
}

func (e *HopelessError) Error() string {
	return fmt.Sprintf("billing: %s can't succeed: %v", e.Operation, e.Err)
}

// Unwrap returns what the payment provider said.
func (e *HopelessError) Unwrap() error { return e.Err }
