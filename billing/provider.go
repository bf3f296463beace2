package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Provider takes payments: Stripe, or the local ledger. Its terms are Stripe's
// (https://docs.stripe.com/api), reduced to what is needed: one customer and at most one
// monthly subscription for an account, with one item for each plan.
//
// Methods that change something take an idempotency key: repeated with the same key and
// request within 24 hours they change nothing more and return the first answer, whatever
// happened in between. A caller therefore stores key and request before the first call.
// Amounts are in cents, of the currency of the plans. An answer always shows the state after the call. Methods may be called concurrently and
// end with their context; [PaymentError], [ErrNotFound], [ErrRefused], [ErrSpent]
// and [ErrRetry] tell what became of a call, and every other error leaves it unknown, as
// [ErrRetry] does.
type Provider interface {
	// Customers.

	// CreateCustomer makes the account's customer. The account's ID is in its metadata. A tax ID
	// that is refused undoes nothing: Customer.DetailsFailure tells of it.
	CreateCustomer(ctx context.Context, key string, c CustomerRequest) (*Customer, error)
	// UpdateCustomer sets what the account may change, empty things too. A tax ID that is refused
	// keeps nothing else from being set: Customer.DetailsFailure tells of it.
	UpdateCustomer(ctx context.Context, key, customer string, c CustomerRequest) (*Customer, error)
	// Customer returns a customer, or [ErrNotFound] where it is not there or deleted.
	Customer(ctx context.Context, customer string) (*Customer, error)
	// Credit gives the customer money that the next invoices take.
	Credit(ctx context.Context, key, customer string, cents int64, reason string) error
	// CheckoutSession makes a page where the customer enters a card (setup mode); the card
	// becomes the one that is charged.
	CheckoutSession(ctx context.Context, key, customer, successURL, cancelURL string) (*Session, error)
	// PortalSession makes a page where the customer sees invoices and manages cards. Plans
	// can't be changed there.
	PortalSession(ctx context.Context, key, customer, returnURL string) (*Session, error)

	// The subscription.

	// CreateSubscription makes the account's subscription with payment_behavior
	// default_incomplete, anchored now, and does not charge: PayInvoice does.
	CreateSubscription(ctx context.Context, key string, s SubscriptionRequest) (*Subscription, error)
	// Subscription returns a subscription, or [ErrNotFound].
	Subscription(ctx context.Context, subscription string) (*Subscription, error)
	// CustomerSubscriptions returns the customer's subscriptions that are not canceled or
	// expired, at most 10: more than one is a difference to be repaired.
	CustomerSubscriptions(ctx context.Context, customer string) ([]*Subscription, error)
	// Upgrade changes quantities with proration_behavior always_invoice and
	// payment_behavior pending_if_incomplete, prorated from a time, and charges. An unpaid
	// one comes back with Pending set and the old quantities.
	Upgrade(ctx context.Context, key string, u UpgradeRequest) (*Subscription, error)
	// SetQuantities changes what the next renewal bills, with proration_behavior none.
	SetQuantities(ctx context.Context, key, subscription string, quantities Quantities) (*Subscription, error)
	// SetCancelAtPeriodEnd lets the subscription end with its period, or takes that back.
	SetCancelAtPeriodEnd(ctx context.Context, key, subscription string, cancel bool) (*Subscription, error)
	// CancelSubscription ends a subscription at once, without proration or a last invoice.
	CancelSubscription(ctx context.Context, key, subscription string) (*Subscription, error)

	// Invoices.

	// PayInvoice charges the customer's card for an open invoice. A declined card is a
	// [PaymentError]; an invoice that is paid already is no error.
	PayInvoice(ctx context.Context, key, invoice string) (*Invoice, error)
	// VoidInvoice takes an open invoice back, and with it the pending update that it pays
	// for. One that is void already is no error; a paid one is [ErrRefused].
	VoidInvoice(ctx context.Context, key, invoice string) (*Invoice, error)
	// MarkUncollectible gives an open invoice up.
	MarkUncollectible(ctx context.Context, key, invoice string) (*Invoice, error)
	// Invoice returns an invoice, or [ErrNotFound].
	Invoice(ctx context.Context, invoice string) (*Invoice, error)
	// Invoices returns a customer's invoices, newest first, after one of them or from the
	// first, at most limit (1 to 100). more says that others follow.
	Invoices(ctx context.Context, customer, after string, limit int) (page []*Invoice, more bool, err error)
	// Preview says what an upgrade would charge at once: its lines and their sum, the
	// balance not counted.
	Preview(ctx context.Context, u UpgradeRequest) (*Invoice, error)
}

// What becomes of calls to a [Provider].
var (
	// ErrNotFound says that the provider does not have the thing.
	ErrNotFound = errors.New("billing: the payment provider does not have it")
	// ErrRefused says that the provider refused the request and changed nothing; the same
	// request will be refused again.
	ErrRefused = errors.New("billing: the payment provider refused the request")
	// ErrRetry says that the provider did not answer, has too much to do, or failed: the
	// call may or may not have happened, and is to be repeated with the same key.
	ErrRetry = errors.New("billing: the payment provider did not answer")
	// ErrSpent is an [ErrRetry] that will never end with the key: the provider failed, keeps
	// that as the answer for the key, and is done with it. What came of the call is found out
	// by asking; another try needs a new key.
	ErrSpent = fmt.Errorf("%w, and never will with this key", ErrRetry)
)

// PaymentError says that a payment did not go through.
type PaymentError struct {
	// Code is Stripe's decline or error code, such as card_declined.
	Code string
	// Message is fit to be shown to the customer.
	Message string
	// Invoice is the invoice that was to be paid.
	Invoice string
}

func (e *PaymentError) Error() string { return fmt.Sprintf("billing: %s: %s", e.Code, e.Message) }

// RefusedError is an [ErrRefused] that the customer can do something about.
type RefusedError struct {
	// Message says why, and is fit to be shown to the customer.
	Message string
	// Err is the refusal.
	Err error
}

func (e *RefusedError) Error() string { return e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }

// Quantities say how many sites of each plan are billed, by the plan's ID. Plans that cost
// nothing have no entry, and no entry is zero.
type Quantities map[string]int64

// CustomerRequest is what a customer is made of.
type CustomerRequest struct {
	// Account is the account's ID.
	Account string
	// Email is where invoices go.
	Email string
	// Details are the name, address and tax IDs on invoices. Of the address only lines, postal
	// code, locality, administrative area and region are set.
	Details *breakwaterv1.Billing
}

// Customer is whom the provider charges.
type Customer struct {
	ID string
	// Account is the account's ID in its metadata.
	Account string
	// Email and Details are what the provider has of [CustomerRequest]; lines of the address may
	// have become one, with commas. Details are nil where that was not looked at.
	Email   string
	Details *breakwaterv1.Billing
	// DetailsFailure is why a part of the details that were to be set was refused, fit to be shown
	// to the customer; empty where none was, and where none was to be set.
	DetailsFailure string
	// PaymentMethod is what is charged; nil for none.
	PaymentMethod *breakwaterv1.Billing_PaymentMethod
	// PaymentMethodID is its ID: another one each time that a card is entered, also the same
	// one. Empty for none.
	PaymentMethodID string
	// Balance is what the customer owes beyond invoices; negative is a credit.
	Balance int64
}

// Session is a page for the customer.
type Session struct {
	URL string
	// Expires is when the page ends; zero where that is not known.
	Expires time.Time
}

// SubscriptionRequest is what a subscription is made of.
type SubscriptionRequest struct {
	Customer string
	// Account is the account's ID, for the metadata.
	Account    string
	Quantities Quantities
}

// UpgradeRequest is one change of quantities that is charged at once.
type UpgradeRequest struct {
	Subscription string
	// Quantities are the ones after the change, of every plan.
	Quantities Quantities
	// ProrationTime is from when the rest of the period is charged; in whole seconds.
	ProrationTime time.Time
}

// Status is where a subscription is in its life, in Stripe's terms.
type Status string

// The statuses.
const (
	// Incomplete: its first invoice is not paid; it expires after 23 hours.
	Incomplete Status = "incomplete"
	// IncompleteExpired: its first invoice was not paid in time.
	IncompleteExpired Status = "incomplete_expired"
	// Active: it is paid.
	Active Status = "active"
	// PastDue: its newest invoice is not paid; payment is tried again.
	PastDue Status = "past_due"
	// Unpaid: payment was tried as often as it is tried.
	Unpaid Status = "unpaid"
	// Canceled: it is over.
	Canceled Status = "canceled"
)

// Over says that nothing more comes of the subscription.
func (s Status) Over() bool { return s == Canceled || s == IncompleteExpired }

// Subscription is the account's subscription as the provider has it.
type Subscription struct {
	ID       string
	Customer string
	// Account is the account's ID in its metadata.
	Account string
	Status  Status
	// PeriodStart and PeriodEnd are the current period.
	PeriodStart, PeriodEnd time.Time
	// Quantities are what the next renewal bills.
	Quantities Quantities
	// CancelAtPeriodEnd says that it ends with the period.
	CancelAtPeriodEnd bool
	// Latest is the newest invoice, with its lines; nil before the first.
	Latest *Invoice
	// Pending is the upgrade that waits for its payment; nil for none.
	Pending *PendingUpdate
}

// PendingUpdate is an upgrade that is not paid yet (https://docs.stripe.com/billing/subscriptions/pending-updates).
// Its invoice is [Subscription].Latest.
type PendingUpdate struct {
	Quantities Quantities
	Expires    time.Time
}

// Reason says why an invoice was made, in Stripe's terms.
type Reason string

// The reasons.
const (
	ReasonCreate Reason = "subscription_create"
	ReasonCycle  Reason = "subscription_cycle"
	ReasonUpdate Reason = "subscription_update"
	ReasonManual Reason = "manual"
)

// Invoice is an invoice as the provider has it.
type Invoice struct {
	ID       string
	Customer string
	// Subscription is the one that it is for; empty for none.
	Subscription string
	Number       string
	Reason       Reason
	State        breakwaterv1.Invoice_State
	Created      time.Time
	// Paid is when it was paid; zero before.
	Paid  time.Time
	Lines []InvoiceLine
	// Email and Details are where it was sent and whom it is made out to, as they were when it was
	// made final; details are nil where that is not known.
	Email   string
	Details *breakwaterv1.Billing
	// Subtotal is the sum of the lines, Total with tax, AmountDue what is asked for after
	// the balance, AmountPaid what was paid, AmountRemaining what is left to pay.
	Subtotal, Tax, Total, AmountDue, AmountPaid, AmountRemaining int64
	// Action is what the customer must do for its payment; nil for nothing.
	Action *Action
	// Failure is why the last payment failed; empty where none did.
	Failure string
	// FailedMethodID is the payment method that was tried then, or that waits for the customer;
	// empty where neither is so, or where that is not known.
	FailedMethodID string
	// HostedURL and PDFURL are where it can be paid and fetched; empty for nowhere.
	HostedURL, PDFURL string
	Attempts          int
	// NextAttempt is when payment is tried next; zero for never.
	NextAttempt time.Time
}

// Action is what a customer must do for a payment to go through.
type Action struct {
	// URL is a page where it is done.
	URL string
	// ClientSecret lets a page of one's own do it, and so whoever has it.
	ClientSecret string
}

// InvoiceLine is one line of an invoice.
type InvoiceLine struct {
	Description string
	// Plan is the plan's ID; empty for what is no plan.
	Plan      string
	Quantity  int64
	Amount    int64
	Proration bool
	// PeriodStart and PeriodEnd are what it is for.
	PeriodStart, PeriodEnd time.Time
}
