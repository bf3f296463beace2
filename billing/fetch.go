package billing

import (
	"context"
	"errors"
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// snapshot is what the provider said of an account: all of it when it was asked, or the answer
// of one call.
type snapshot struct {
	// time is when it was asked, so that nothing that happened later is in it for sure.
	time time.Time
	// customer is nil where it was not asked for, or is gone.
	customer     *Customer
	customerGone bool
	// subscription is nil where it was not asked for, is gone, or there is none.
	subscription     *Subscription
	subscriptionGone bool
	// none says that the customer has no subscription that is alive.
	none bool
	// strays are live subscriptions that are not the account's one.
	strays []string
	// invoices are those that were needed besides the subscription's newest, newest first;
	// listed says that all that may be overdue are among them.
	invoices []*Invoice
	listed   bool
}

// fetch asks the provider for an account's state; all has it look for subscriptions that should
// not be there too.
func (e *Engine) fetch(ctx context.Context, rec *storev1.BillingRecord, all bool) (*snapshot, error) {
	s := &snapshot{time: e.clock.Now()}
	if rec.GetCustomer() == "" {
		s.none = true
		return s, nil
	}
	var err error
	switch s.customer, err = e.provider.Customer(ctx, rec.GetCustomer()); {
	case errors.Is(err, ErrNotFound):
		s.customer, s.customerGone = nil, true
		return s, nil
	case err != nil:
		return nil, err
	}
	if id := rec.GetSubscription(); id != "" {
		switch s.subscription, err = e.provider.Subscription(ctx, id); {
		case errors.Is(err, ErrNotFound):
			s.subscription, s.subscriptionGone = nil, true
		case err != nil:
			return nil, err
		}
	}
	if all || rec.GetSubscription() == "" {
		if err := e.find(ctx, rec, s); err != nil {
			return nil, err
		}
	}
	return s, e.complete(ctx, rec, s)
}

// find looks at all subscriptions of the customer. One that nobody remembers is the account's
// where it has none: the answer to its creation was lost. The oldest is taken.
func (e *Engine) find(ctx context.Context, rec *storev1.BillingRecord, s *snapshot) error {
	found, err := e.provider.CustomerSubscriptions(ctx, rec.GetCustomer())
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b *Subscription) int { return a.PeriodStart.Compare(b.PeriodStart) })
	s.none = len(found) == 0
	for _, sub := range found {
		switch {
		case sub.ID == rec.GetSubscription():
		case rec.GetSubscription() == "" && s.subscription == nil && sub.Account == rec.GetAccount() && !sub.Status.Over():
			s.subscription = sub
		default:
			s.strays = append(s.strays, sub.ID)
		}
	}
	return nil
}

// complete adds the invoices that are needed to understand the rest: those of renewals that
// were not seen or not paid, and the one of the move.
func (e *Engine) complete(ctx context.Context, rec *storev1.BillingRecord, s *snapshot) error {
	seen, sub := rec.GetSeen(), s.subscription
	want := standing(rec) != breakwaterv1.Billing_GOOD || pending(seen.GetRenewalState())
	if renewedSince(rec, sub) && (sub.Latest == nil || sub.Latest.Reason != ReasonCycle ||
		sub.PeriodStart.After(at(seen.GetPeriodEnd()).Add(24*time.Hour))) {
		want = true
	}
	if want {
		invoices, _, err := e.provider.Invoices(ctx, rec.GetCustomer(), "", 100)
		if err != nil {
			return err
		}
		s.invoices, s.listed = invoices, true
	}
	needed := []string{rec.GetMove().GetInvoice()}
	for _, c := range rec.GetCredits() {
		if !c.GetDue() {
			needed = append(needed, c.GetInvoice())
		}
	}
	for _, id := range needed {
		if id == "" || s.invoice(id) != nil {
			continue
		}
		invoice, err := e.provider.Invoice(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return err
		}
		s.invoices = append(s.invoices, invoice)
	}
	return nil
}

// known are all invoices of the snapshot, each once.
func (s *snapshot) known() []*Invoice {
	var known []*Invoice
	if s.subscription != nil && s.subscription.Latest != nil {
		known = append(known, s.subscription.Latest)
	}
	for _, i := range s.invoices {
		if !slices.ContainsFunc(known, func(k *Invoice) bool { return k.ID == i.ID }) {
			known = append(known, i)
		}
	}
	return known
}

// invoice is an invoice of the snapshot; nil where it is not known.
func (s *snapshot) invoice(id string) *Invoice {
	for _, i := range s.known() {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// unpaid says that the subscription's status is that this invoice of it was not paid.
func (s *snapshot) unpaid(i *Invoice) bool {
	sub := s.subscription
	return sub != nil && sub.Latest.id() == i.ID && (sub.Status == PastDue || sub.Status == Unpaid)
}

// renewedSince says whether the account's subscription was renewed since it was seen last.
func renewedSince(rec *storev1.BillingRecord, sub *Subscription) bool {
	return sub != nil && sub.ID == rec.GetSubscription() && sub.Status != Incomplete &&
		sub.PeriodStart.After(at(rec.GetSeen().GetPeriodStart()))
}
