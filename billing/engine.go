package billing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Config is what an [Engine] is made of. Durations that are zero have their defaults.
type Config struct {
	Plans    *Plans
	Provider Provider
	Store    Store
	// Clock is the time of day.
	Clock clockwork.Clock
	// NewID makes IDs that nobody made before, from a time.
	NewID func(time.Time) string
	// QuoteKey signs quotes; at least 16 bytes, the same in every replica.
	QuoteKey []byte
	Logger   *slog.Logger

	// QuoteLife is how long a quote holds: 15 minutes.
	QuoteLife time.Duration
	// Grace is how long everything holds while an invoice is overdue: 14 days.
	Grace time.Duration
	// WriteOff is how long paid sites are degraded before the debt is written off: 60 days.
	WriteOff time.Duration
}

// Engine decides what accounts pay and carries it out; see the package's documentation. Its
// methods may be called concurrently.
type Engine struct {
	cfg Config
}

// New returns an engine; Config's fields but the durations must be set.
func New(cfg Config) *Engine { return &Engine{cfg: cfg} }

var errNotBuilt = errors.New("billing: not built")

// Quote says what a change of plan would cost.
type Quote struct {
	// Token is what [Engine.Change] takes.
	Token string
	// Expires is when the token ends.
	Expires time.Time
	// DueNow is what is charged at once, in cents.
	DueNow int64
	// NextInvoice is what the account's next invoice will be, for all of its sites, in cents.
	NextInvoice int64
	// NextInvoiceTime is when it is made; zero where there will be none.
	NextInvoiceTime time.Time
	// Lines are the lines of what is charged at once.
	Lines []InvoiceLine
	// Effective is when the plan begins to hold.
	Effective time.Time
}

// Difference is where the payment provider had something else than it should.
type Difference struct {
	// Kind is what differed: `customer`, `subscription`, `status`, `quantity`, `cancel` or `invoice`.
	Kind string
	// Ours is what it should be, Theirs what it was.
	Ours, Theirs string
	// Repaired says that its repair is under way or done; false where a person is needed.
	Repaired bool
}

// Change changes the plan of a site, see [Engine.Preview] for what that costs.
func (e *Engine) Change(tx Tx, site, plan, quote string) error { return errNotBuilt }

// Cancel lets a site fall to the cheapest plan at the end of the period.
func (e *Engine) Cancel(tx Tx, site string) error { return errNotBuilt }

// Revoke takes a scheduled downgrade or cancellation back.
func (e *Engine) Revoke(tx Tx, site string) error { return errNotBuilt }

// SiteDeleted is called when a site is deleted: a cancel, where it is paid for.
func (e *Engine) SiteDeleted(tx Tx, site string) error { return errNotBuilt }

// SitePurged is called when a site is gone for good: it is forgotten, and not billed again.
func (e *Engine) SitePurged(tx Tx, site string) error { return errNotBuilt }

// AccountDeleted cancels everything at the end of the period.
func (e *Engine) AccountDeleted(tx Tx) error { return errNotBuilt }

// SetDetails stores whom invoices are made out to.
func (e *Engine) SetDetails(tx Tx, details *breakwaterv1.Billing) error { return errNotBuilt }

// Ask has the payment provider asked again soon.
func (e *Engine) Ask(tx Tx, needCustomer bool) error { return errNotBuilt }

// Preview says what a change of plan would cost.
func (e *Engine) Preview(ctx context.Context, account, site, plan string) (*Quote, error) {
	return nil, errNotBuilt
}

// Subscription shows what a site pays for: all but name, version and etag.
func (e *Engine) Subscription(rec *storev1.BillingRecord, domain string, site SiteState) *breakwaterv1.Subscription {
	return nil
}

// Billing shows how an account pays: all but name and etag.
func (e *Engine) Billing(rec *storev1.BillingRecord) *breakwaterv1.Billing { return nil }

// Invoices returns an account's invoices, newest first, after one of them.
func (e *Engine) Invoices(ctx context.Context, account, after string, limit int) (page []*Invoice, more bool, err error) {
	return nil, false, errNotBuilt
}

// Invoice returns one invoice of an account; [ErrNotFound] for another's.
func (e *Engine) Invoice(ctx context.Context, account, id string) (*Invoice, error) {
	return nil, errNotBuilt
}

// Checkout makes a page where the customer enters a card.
func (e *Engine) Checkout(ctx context.Context, account, key, successURL, cancelURL string) (*Session, error) {
	return nil, errNotBuilt
}

// Portal makes a page where the customer sees invoices and manages cards.
func (e *Engine) Portal(ctx context.Context, account, key, returnURL string) (*Session, error) {
	return nil, errNotBuilt
}

// Settle does what is left to be done for an account.
func (e *Engine) Settle(ctx context.Context, account string) (again time.Time, err error) {
	return time.Time{}, errNotBuilt
}

// Reconcile compares an account with the payment provider.
func (e *Engine) Reconcile(ctx context.Context, account string, repair bool) ([]Difference, error) {
	return nil, errNotBuilt
}
