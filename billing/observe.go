package billing

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// observe takes in what the provider said: whatever happened there, in any order and however
// often it is told. While a call is stored, s is the state after it, and req what it asked.
func (r *rules) observe(tx Tx, s *snapshot, req request) error {
	rec := tx.Record()
	if rec.GetSeen() == nil {
		rec.Seen = &storev1.Observation{}
	}
	if err := r.observeCustomer(tx, s); err != nil {
		return err
	}
	if err := r.observeSubscription(tx, s, req); err != nil {
		return err
	}
	if err := r.observeInvoices(tx, s); err != nil {
		return err
	}
	for _, id := range s.strays {
		if !slices.Contains(rec.GetStrays(), id) {
			rec.Strays = append(rec.Strays, id)
			tx.Audit(billingResource, "the payment provider has a second subscription of the account, which is cancelled")
		}
	}
	rec.Seen.Time = stamp(s.time)
	return nil
}

func (r *rules) observeCustomer(tx Tx, s *snapshot) error {
	rec := tx.Record()
	if s.customerGone {
		tx.Audit(billingResource, "the payment provider does not have the account's customer any more: what is paid for ends with the period")
		if err := r.end(tx, Canceled); err != nil {
			return err
		}
		rec.Customer, rec.SentDetails, rec.DetailsFailure, rec.Strays, rec.Credits, rec.Standing = "", 0, "", nil, nil, nil
		rec.Seen.PaymentMethod, rec.Seen.PaymentMethodId, rec.Seen.Balance = nil, "", 0
		return nil
	}
	if s.customer == nil {
		return nil
	}
	seen := rec.GetSeen()
	if rec.GetStanding() != nil && s.customer.PaymentMethodID == seen.GetPaymentMethodId() &&
		!proto.Equal(s.customer.PaymentMethod, seen.GetPaymentMethod()) {
		rec.Standing.TriedMethod = "" // The same card, renewed by its bank.
	}
	seen.PaymentMethod, seen.PaymentMethodId = s.customer.PaymentMethod, s.customer.PaymentMethodID
	seen.Balance = s.customer.Balance
	seen.CustomerTime = stamp(s.time)
	r.settleCredits(tx, invoicedSince(rec, s))
	return nil
}

func (r *rules) observeSubscription(tx Tx, s *snapshot, req request) error {
	rec, sub := tx.Record(), s.subscription
	switch {
	case s.subscriptionGone:
		tx.Audit(billingResource, "the payment provider does not have the account's subscription any more: what is paid for ends with the period")
		return r.end(tx, Canceled)
	case sub == nil:
		if m := rec.GetMove(); s.none && m.GetSubmitted() && rec.GetSubscription() == "" {
			m.Submitted = false // The call had no effect: it is made again, with another key.
		}
		return nil
	case rec.GetSubscription() == "" && sub.Status.Over():
		return nil
	case rec.GetSubscription() == "":
		r.adopt(tx, sub)
	case rec.GetSubscription() != sub.ID:
		return nil // A stray that was cancelled.
	}
	if renewedSince(rec, sub) {
		if err := r.renewed(tx, s, req); err != nil {
			return err
		}
	}
	if err := r.observeMove(tx, s); err != nil {
		return err
	}
	if sub.Status.Over() {
		return r.ended(tx, sub)
	}
	seen := rec.GetSeen()
	if !sub.PeriodStart.Equal(at(seen.GetPeriodStart())) {
		rec.Generation++
	}
	seen.Status = string(sub.Status)
	seen.PeriodStart, seen.PeriodEnd = stamp(sub.PeriodStart), stamp(sub.PeriodEnd)
	seen.Quantities = clone(sub.Quantities)
	seen.CancelAtPeriodEnd = sub.CancelAtPeriodEnd
	seen.LatestInvoice, seen.LatestInvoiceState = sub.Latest.id(), sub.Latest.state()
	synced(rec, req.Sites)
	return nil
}

// synced notes that the provider knows the next plans of some sites.
func synced(rec *storev1.BillingRecord, sites map[string]string) {
	for domain, plan := range sites {
		s, ok := rec.GetSites()[domain]
		if !ok {
			continue
		}
		s.RenewalPlan = ""
		if plan != s.GetNextPlan() {
			s.RenewalPlan = plan
		}
	}
}

// adopt makes a subscription the account's. It is the one that a move began, or one that
// nobody remembers, which the sites' plans will put right.
func (r *rules) adopt(tx Tx, sub *Subscription) {
	rec := tx.Record()
	rec.Subscription = sub.ID
	rec.Seen = &storev1.Observation{
		Time:            rec.GetSeen().GetTime(),
		Status:          string(sub.Status),
		PeriodStart:     stamp(sub.PeriodStart),
		PeriodEnd:       stamp(sub.PeriodEnd),
		PaymentMethod:   rec.GetSeen().GetPaymentMethod(),
		PaymentMethodId: rec.GetSeen().GetPaymentMethodId(),
		Balance:         rec.GetSeen().GetBalance(),
		CustomerTime:    rec.GetSeen().GetCustomerTime(),
	}
	if m := rec.GetMove(); m != nil && m.GetSubscription() == "" && same(sub.Quantities, m.GetAfter()) {
		m.Submitted = true
		m.Invoice = sub.Latest.id()
		return
	}
	tx.Audit(billingResource, "the payment provider has a subscription of the account that was not known")
}

// ended takes in that the subscription is over.
func (r *rules) ended(tx Tx, sub *Subscription) error {
	rec := tx.Record()
	switch {
	case rec.GetStanding().GetWrittenOff(), Status(rec.GetSeen().GetStatus()) == Incomplete, len(r.desired(rec)) == 0:
		// It was to end.
	case rec.GetSeen().GetCancelAtPeriodEnd():
		tx.Audit(billingResource, "the subscription has ended before the payment provider knew that it was to go on")
	default:
		tx.Audit(billingResource, "the subscription was ended at the payment provider: what is paid for ends with the period")
	}
	return r.end(tx, sub.Status)
}

// end is what follows from the loss of the subscription: what is paid for falls when the
// period does.
func (r *rules) end(tx Tx, status Status) error {
	rec, free := tx.Record(), r.plans.Cheapest()
	if rec.GetMove() != nil {
		if err := r.failed(tx, "The subscription has ended."); err != nil {
			return err
		}
	}
	for domain, s := range rec.GetSites() {
		s.RenewalPlan = ""
		if s.GetNextPlan() == free {
			continue
		}
		s.NextPlan = free
		if s.GetPlan() != free && s.GetFallTime() == nil {
			s.FallTime = stamp(periodEnd(rec, tx.Now()))
		}
		r.put(rec, domain, s)
	}
	rec.Subscription = ""
	rec.Generation++
	rec.Seen.Status = string(status)
	rec.Seen.Quantities, rec.Seen.CancelAtPeriodEnd = nil, false
	return nil
}

// observeInvoices takes in whether renewals are paid, and whether credits for them are due.
func (r *rules) observeInvoices(tx Tx, s *snapshot) error {
	rec := tx.Record()
	var overdue *Invoice
	for _, i := range s.known() {
		if i.ID == rec.GetSeen().GetRenewalInvoice() {
			rec.Seen.RenewalState = i.State
		}
		if i.Reason == ReasonCycle && i.State == breakwaterv1.Invoice_OPEN && (i.Attempts > 0 || s.unpaid(i)) &&
			(overdue == nil || i.Created.Before(overdue.Created)) {
			overdue = i
		}
		for _, c := range rec.GetCredits() {
			if c.GetInvoice() == i.ID {
				c.Due = c.GetDue() || i.State == breakwaterv1.Invoice_PAID
			}
		}
		if i.State == breakwaterv1.Invoice_VOID || i.State == breakwaterv1.Invoice_UNCOLLECTIBLE {
			rec.Credits = without(rec.GetCredits(), func(c *storev1.Credit) bool { return c.GetInvoice() == i.ID && !c.GetDue() })
		}
	}
	return r.judge(tx, overdue, s.listed)
}

// settleCredits finds out by the balance whether a credit was given whose answer never came.
func (r *rules) settleCredits(tx Tx, invoiced bool) {
	rec := tx.Record()
	rec.Credits = without(rec.GetCredits(), func(c *storev1.Credit) bool {
		if !c.GetUnsure() {
			return false
		}
		c.Unsure = false
		switch balance := rec.GetSeen().GetBalance(); {
		case balance == c.GetBalance() && !invoiced:
			return false // It was not: it is given again.
		case balance > c.GetBalance()-c.GetAmount():
			tx.Audit(billingResource, fmt.Sprintf(
				"whether a credit of %d cents was given can't be told from the balance: a person must look", c.GetAmount()))
		}
		return true
	})
}

// invoicedSince says whether an invoice may have taken of the balance since the account was
// seen: a newest one that is new, or was finalized.
func invoicedSince(rec *storev1.BillingRecord, s *snapshot) bool {
	if s.subscription == nil {
		return rec.GetSubscription() != ""
	}
	latest, seen := s.subscription.Latest, rec.GetSeen()
	return latest.id() != seen.GetLatestInvoice() || latest.state() != seen.GetLatestInvoiceState()
}

// state is the invoice's state; unspecified for none.
func (i *Invoice) state() breakwaterv1.Invoice_State {
	if i == nil {
		return breakwaterv1.Invoice_STATE_UNSPECIFIED
	}
	return i.State
}

func without(credits []*storev1.Credit, drop func(*storev1.Credit) bool) []*storev1.Credit {
	var kept []*storev1.Credit
	for _, c := range credits {
		if !drop(c) {
			kept = append(kept, c)
		}
	}
	return kept
}
