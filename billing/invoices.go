package billing

import (
	"context"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// Invoices returns an account's invoices, newest first, after one of them or from the first,
// at most limit (1 to 100). more says that others follow. It asks the payment provider.
func (e *Engine) Invoices(ctx context.Context, account, after string, limit int) (page []*Invoice, more bool, err error) {
	rec, err := e.store.Record(ctx, account)
	if err != nil || rec.GetCustomer() == "" {
		return nil, false, err
	}
	if after != "" {
		if _, err := e.Invoice(ctx, account, after); err != nil {
			return nil, false, err
		}
	}
	return e.provider.Invoices(ctx, rec.GetCustomer(), after, limit)
}

// Invoice returns one invoice of an account, or [ErrNotFound], which another account's is too.
// It asks the payment provider.
func (e *Engine) Invoice(ctx context.Context, account, id string) (*Invoice, error) {
	rec, err := e.store.Record(ctx, account)
	if err != nil {
		return nil, err
	}
	if rec.GetCustomer() == "" {
		return nil, ErrNotFound
	}
	invoice, err := e.provider.Invoice(ctx, id)
	if err != nil {
		return nil, err
	}
	if invoice.Customer != rec.GetCustomer() {
		return nil, ErrNotFound
	}
	return invoice, nil
}

// ActionSecret is the client secret of the payment that waits for the customer in an account's
// record; empty where none does. It is in no record: it asks the payment provider.
func (e *Engine) ActionSecret(ctx context.Context, rec *storev1.BillingRecord) (string, error) {
	m := rec.GetMove()
	if m.GetInvoice() == "" || m.GetActionUrl() == "" {
		return "", nil
	}
	invoice, err := e.provider.Invoice(ctx, m.GetInvoice())
	if err != nil || invoice.Action == nil {
		return "", err
	}
	return invoice.Action.ClientSecret, nil
}

// Checkout makes a page where the customer enters the card that is charged from then on. key
// is an idempotency key of the caller's. [ErrCustomerPending] says that the account has no
// customer yet.
func (e *Engine) Checkout(ctx context.Context, account, key, successURL, cancelURL string) (*Session, error) {
	customer, err := e.customerOf(ctx, account)
	if err != nil {
		return nil, err
	}
	return e.provider.CheckoutSession(ctx, key, customer, successURL, cancelURL)
}

// Portal makes a page where the customer sees invoices and manages cards. key is an
// idempotency key of the caller's. [ErrCustomerPending] says that the account has no customer
// yet.
func (e *Engine) Portal(ctx context.Context, account, key, returnURL string) (*Session, error) {
	customer, err := e.customerOf(ctx, account)
	if err != nil {
		return nil, err
	}
	return e.provider.PortalSession(ctx, key, customer, returnURL)
}

func (e *Engine) customerOf(ctx context.Context, account string) (string, error) {
	rec, err := e.store.Record(ctx, account)
	if err != nil {
		return "", err
	}
	if rec.GetCustomer() == "" {
		return "", ErrCustomerPending
	}
	return rec.GetCustomer(), nil
}
