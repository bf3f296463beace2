package billing

import (
	"context"
	"fmt"
	"slices"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// answer is what a call brought.
type answer struct {
	snapshot snapshot
	invoice  *Invoice
}

// perform makes the call that is stored in a record.
func (e *Engine) perform(ctx context.Context, rec *storev1.BillingRecord, op operation, req request) (a answer, err error) {
	p, key := e.provider, rec.GetCall().GetKey()
	s := &a.snapshot
	s.time = e.clock.Now()
	switch op {
	case opCreateCustomer, opUpdateCustomer:
		c, err := req.customer(rec.GetAccount())
		if err != nil {
			return a, err
		}
		if op == opCreateCustomer {
			s.customer, err = p.CreateCustomer(ctx, key, c)
		} else {
			s.customer, err = p.UpdateCustomer(ctx, key, req.Customer, c)
		}
		return a, err
	case opCreateSubscription:
		s.subscription, err = p.CreateSubscription(ctx, key, SubscriptionRequest{
			Customer: req.Customer, Account: rec.GetAccount(), Quantities: req.Quantities,
		})
	case opUpgrade:
		s.subscription, err = p.Upgrade(ctx, key, UpgradeRequest{
			Subscription: req.Subscription, Quantities: req.Quantities, ProrationTime: req.ProrationTime,
		})
	case opQuantities:
		s.subscription, err = p.SetQuantities(ctx, key, req.Subscription, req.Quantities)
	case opCancelAtPeriodEnd:
		s.subscription, err = p.SetCancelAtPeriodEnd(ctx, key, req.Subscription, req.Cancel)
	case opCancel:
		s.subscription, err = p.CancelSubscription(ctx, key, req.Subscription)
	case opPay:
		a.invoice, err = p.PayInvoice(ctx, key, req.Invoice)
	case opVoid:
		a.invoice, err = p.VoidInvoice(ctx, key, req.Invoice)
	case opUncollectible:
		a.invoice, err = p.MarkUncollectible(ctx, key, req.Invoice)
	case opCredit:
		err = p.Credit(ctx, key, req.Customer, req.Amount, req.Reason)
	default:
		err = fmt.Errorf("%w: no operation is called %q", ErrRefused, op)
	}
	return a, err
}

// answered takes in the answer to the call that is under way.
func (r *rules) answered(tx Tx, op operation, req request, a answer) error {
	rec := tx.Record()
	switch op {
	case opCreateCustomer:
		rec.Customer, rec.NeedCustomer = a.snapshot.customer.ID, false
		told(tx, req, a.snapshot.customer.DetailsFailure)
		tx.Audit(billingResource, "the payment provider knows the account now")
	case opUpdateCustomer:
		told(tx, req, a.snapshot.customer.DetailsFailure)
	case opPay, opVoid, opUncollectible:
		rec.Refetch = true
	case opCancel:
		rec.Strays = slices.DeleteFunc(rec.GetStrays(), func(id string) bool { return id == req.Subscription })
	case opCredit:
		rec.Credits = without(rec.GetCredits(), func(c *storev1.Credit) bool { return c.GetId() == req.Credit })
		rec.Refetch = true
		tx.Audit(billingResource, fmt.Sprintf("%d cents are given back with the next invoice: %s", req.Amount, req.Reason))
	case opCreateSubscription, opUpgrade, opQuantities, opCancelAtPeriodEnd:
	}
	return r.observe(tx, &a.snapshot, req)
}

// declined takes in that a payment did not go through. What that leaves behind is fetched.
func (r *rules) declined(tx Tx, op operation, e *PaymentError) error {
	rec := tx.Record()
	rec.Refetch = true
	m := moveOf(rec)
	switch {
	case op == opUpgrade:
		m.Failure = e.Message
		if m.GetInvoice() == "" {
			m.Invoice = e.Invoice
		}
	case op == opCreateSubscription:
		m.Failure = e.Message
		return r.failed(tx, "")
	case op == opPay && m.GetSubmitted() && m.GetSubscription() == "":
		m.Failure = e.Message
	}
	return nil
}

// refused takes in that the provider will not do what was asked, and did nothing.
func (r *rules) refused(tx Tx, op operation, req request, cause error) error {
	rec := tx.Record()
	rec.Refetch = true
	m := moveOf(rec)
	const text = "The payment provider refused the change."
	switch op {
	case opUpgrade:
		m.Failure = text
	case opCreateSubscription:
		return r.failed(tx, text)
	case opPay:
		if m.GetInvoice() == req.Invoice {
			m.Failure = text
		}
	case opCreateCustomer:
		rec.NeedCustomer = false
		told(tx, req, whyRefused(cause))
	case opUpdateCustomer:
		told(tx, req, whyRefused(cause))
	case opCancel:
		rec.Strays = slices.DeleteFunc(rec.GetStrays(), func(id string) bool { return id == req.Subscription })
	case opVoid, opUncollectible, opCredit, opQuantities, opCancelAtPeriodEnd:
	}
	return nil
}

// moveOf is the move of a record, or one to no effect where it has none.
func moveOf(rec *storev1.BillingRecord) *storev1.Move {
	if rec.GetMove() == nil {
		return &storev1.Move{}
	}
	return rec.GetMove()
}
