package service

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// BillingEngine decides what accounts pay. A [billing.Engine] is one.
type BillingEngine interface {
	Change(tx billing.Tx, site, plan, quote string) error
	Cancel(tx billing.Tx, site string) error
	Revoke(tx billing.Tx, site string) error
	SetDetails(tx billing.Tx, details *breakwaterv1.Billing) error
	Ask(tx billing.Tx, needCustomer bool) error
	Preview(ctx context.Context, account, site, plan string) (*billing.Quote, error)
	Subscription(rec *storev1.BillingRecord, domain string, site billing.SiteState) *breakwaterv1.Subscription
	Currency() string
	ActionSecret(ctx context.Context, rec *storev1.BillingRecord) (string, error)
	Billing(rec *storev1.BillingRecord) *breakwaterv1.Billing
	Invoices(ctx context.Context, account, after string, limit int) ([]*billing.Invoice, bool, error)
	Invoice(ctx context.Context, account, id string) (*billing.Invoice, error)
	Checkout(ctx context.Context, account, key, successURL, cancelURL string) (*billing.Session, error)
	Portal(ctx context.Context, account, key, returnURL string) (*billing.Session, error)
}

var _ BillingEngine = (*billing.Engine)(nil)

// BillingEnds is told of the end of what is paid for, and of its return, in the change that
// makes it. A [payments.Lifecycle] is one.
type BillingEnds interface {
	SiteDeleted(tx *change.Tx, account, site string) error
	SiteRestored(tx *change.Tx, account, site string) error
	AccountDeleted(tx *change.Tx, account string) error
	AccountRestored(tx *change.Tx, account string) error
}

var _ BillingEnds = (*payments.Lifecycle)(nil)

// BillingBase is what the services of payments need.
type BillingBase struct {
	SiteBase
	Engine   BillingEngine
	Payments *payments.Payments
	Feed     SiteFeed
	// Patience is how long an answer waits for a payment; 8 seconds if zero.
	Patience time.Duration
}

const defaultPatience = 8 * time.Second

// patience bounds a wait for the payment provider.
func (b *BillingBase) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	d := b.Patience
	if d <= 0 {
		d = defaultPatience
	}
	return context.WithTimeout(ctx, d)
}

// await waits until the account's record, as this server's cache shows it, is as wanted, or
// patience ends. It never fails: whoever waits looks again anyway.
func (b *BillingBase) await(ctx context.Context, account string, wanted func(*storev1.BillingRecord) bool) {
	ctx, cancel := b.patience(ctx)
	defer cancel()
	view, err := b.Feed.Read(ctx)
	if err != nil {
		return
	}
	changes := b.Feed.SubscribeFrom(ctx, resource.ForAccount(account).Billing(), view)
	for {
		rec, err := payments.RecordFrom(view, account)
		if err != nil || wanted(rec) {
			return
		}
		if _, err := changes.Next(ctx); err != nil {
			return
		}
		if view, err = b.Feed.Read(ctx); err != nil {
			return
		}
	}
}

// ask has the payment provider asked again, as where a webhook is late, and the account's
// customer made where there is none, and waits for what is wanted. It says whether it is there.
// A call that only validates stores nothing, so it goes by what is known.
func (b *BillingBase) ask(ctx context.Context, account string, wanted func(*storev1.BillingRecord) bool) bool {
	if call.From(ctx).ValidateOnly {
		return false
	}
	err := b.Payments.Update(ctx, account, func(tx billing.Tx) error { return b.Engine.Ask(tx, true) })
	if err != nil {
		return false
	}
	there := false
	b.await(ctx, account, func(rec *storev1.BillingRecord) bool {
		there = wanted(rec)
		return there || !rec.GetRefetch() && rec.GetCustomer() != ""
	})
	return there
}

// billingRefusal is what a caller is told of an error of billing; any other error is
// returned as it is.
func billingRefusal(err error, plans SitePlans, subject string) error {
	var (
		state   *billing.StateError
		unknown *billing.UnknownPlanError
		payment *billing.PaymentError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, billing.ErrPaymentMethodRequired):
		account, _, _ := strings.Cut(strings.TrimPrefix(subject, "accounts/"), "/")
		return rpcerr.Precondition(rpcerr.ReasonPaymentMethodRequired, subject,
			"the account has no payment method: enter one by billing:createCheckoutSession").
			WithMetadata("checkout", "/v1/accounts/"+account+"/billing:createCheckoutSession").WithCause(err)
	case errors.Is(err, billing.ErrQuoteExpired):
		return rpcerr.Precondition(rpcerr.ReasonQuoteExpired, subject, "the quote has expired: ask for a new one by :preview").WithCause(err)
	case errors.Is(err, billing.ErrQuoteStale):
		return rpcerr.Precondition(rpcerr.ReasonQuoteStale, subject,
			"the quote does not hold any more, since what the account pays for changed: ask for a new one by :preview").WithCause(err)
	case errors.Is(err, billing.ErrChangeInProgress):
		return rpcerr.Aborted(rpcerr.ReasonChangeInProgress,
			"another change of the account's plans is being paid for: try again in a moment").WithMetadata("resource", subject).WithCause(err)
	case errors.As(err, &unknown):
		return rpcerr.InvalidField("plan", "unknown", "there is no plan %q: choose one of %s", unknown.Plan, strings.Join(planIDs(plans), ", "))
	case errors.As(err, &state):
		return rpcerr.Precondition(rpcerr.ReasonInvalidState, subject, "%s", state.Message).WithCause(err)
	case errors.As(err, &payment):
		return rpcerr.Precondition(rpcerr.ReasonPaymentMethodRequired, subject, "%s", payment.Message).WithMetadata("code", payment.Code).WithCause(err)
	case errors.Is(err, billing.ErrNotFound):
		return rpcerr.NotFound(subject).WithCause(err)
	case errors.Is(err, billing.ErrRetry), errors.Is(err, billing.ErrCustomerPending):
		return rpcerr.Unavailable(providerRetry, "the payment provider does not answer: try again").WithCause(err)
	case errors.Is(err, billing.ErrRefused):
		return rpcerr.Failed(codes.Internal, rpcerr.ReasonInternal, "the payment provider refused the request").WithCause(err)
	}
	return err
}

// providerRetry is when to try again after the payment provider did not answer.
const providerRetry = 2 * time.Second

func planIDs(plans SitePlans) []string {
	var ids []string
	for _, p := range plans.All() {
		ids = append(ids, strings.TrimPrefix(p.GetName(), "plans/"))
	}
	return ids
}

// cents is an amount in cents as the API has it.
func (b *BillingBase) cents(cents int64) *money.Money {
	return &money.Money{CurrencyCode: b.Engine.Currency(), Units: cents / 100, Nanos: int32(cents%100) * 10_000_000}
}

// billingTime is a time as the API has it; not set where it is zero.
func billingTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// billingURL says what is wrong with a page that a customer shall be sent to.
func billingURL(field, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return rpcerr.InvalidField(field, "url", "must be an absolute https or http URL, not %s", fmt.Sprintf("%.80q", address))
	}
	return nil
}
