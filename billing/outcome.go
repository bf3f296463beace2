package billing

import (
	"fmt"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// observeMove takes in what became of the payment that is under way.
func (r *rules) observeMove(tx Tx, s *snapshot) error {
	m, sub := tx.Record().GetMove(), s.subscription
	if !m.GetSubmitted() {
		return nil
	}
	if m.GetSubscription() == "" {
		return r.observeFirst(tx, sub)
	}
	if sub.Pending != nil {
		if m.GetInvoice() == "" && sub.Latest != nil && sub.Latest.Reason == ReasonUpdate {
			m.Invoice = sub.Latest.ID
		}
		r.awaitPayment(tx, s.invoice(m.GetInvoice()))
		return nil
	}
	if m.GetInvoice() == "" && sub.Latest != nil && sub.Latest.Reason == ReasonUpdate && sub.Latest.ID != tx.Record().GetSeen().GetLatestInvoice() {
		m.Invoice = sub.Latest.ID
	}
	switch invoice := s.invoice(m.GetInvoice()); {
	case same(sub.Quantities, m.GetAfter()), invoice.state() == breakwaterv1.Invoice_PAID:
		return r.paid(tx, sub.PeriodEnd)
	case invoice.state() == breakwaterv1.Invoice_OPEN:
		// The update has lapsed, and its invoice must not be paid any more.
		r.giveUpMove(tx, "The payment was not made in time.")
		return nil
	case m.GetInvoice() == "" && m.GetFailure() == "" && !m.GetAbandon():
		m.Submitted = false // The call had no effect: it is made again, with another key.
		return nil
	case invoice != nil && m.GetFailure() == "" && !m.GetAbandon():
		m.Failure = invoice.Failure
	}
	return r.failed(tx, "The payment did not go through.")
}

// observeFirst takes in what became of the first invoice of a subscription.
func (r *rules) observeFirst(tx Tx, sub *Subscription) error {
	m := tx.Record().GetMove()
	if sub.Latest != nil && m.GetInvoice() == "" {
		m.Invoice = sub.Latest.ID
	}
	switch {
	case sub.Status.Over():
		return r.failed(tx, "The payment did not go through.")
	case sub.Status != Incomplete:
		return r.paid(tx, sub.PeriodEnd)
	case m.GetTried(), sub.Latest != nil && sub.Latest.Attempts > 0:
		m.Tried = true
		r.awaitPayment(tx, sub.Latest)
	}
	return nil
}

// awaitPayment takes in why an invoice is not paid: the customer must do something, or it was
// declined and is taken back.
func (r *rules) awaitPayment(tx Tx, invoice *Invoice) {
	m := tx.Record().GetMove()
	m.ActionUrl = ""
	switch {
	case invoice == nil || invoice.State != breakwaterv1.Invoice_OPEN || m.GetAbandon():
	case invoice.Action != nil:
		m.ActionUrl = invoice.Action.URL
		m.Failure = ""
	case m.GetFailure() != "":
		failure := m.GetFailure()
		r.giveUpMove(tx, failure)
	case invoice.Failure != "":
		r.giveUpMove(tx, invoice.Failure)
	}
}

// paid ends a move that was paid: the site has its plan from now on. One that the customer had
// given up keeps to what the site was to have next, from the end of the period on.
func (r *rules) paid(tx Tx, end time.Time) error {
	rec := tx.Record()
	m := rec.GetMove()
	rec.Move = nil
	rec.Generation++
	state, ok, err := tx.Site(m.GetSite())
	if err != nil {
		return err
	}
	s := r.site(rec, m.GetSite())
	setPlan(s, m.GetTo())
	s.Failure, s.FallTime, s.RenewalPlan = "", nil, ""
	unwanted := !ok || state.Deleted || s.GetGone() || rec.GetClosed() || m.GetAbandon() && m.GetFailure() == ""
	if !unwanted {
		s.NextPlan = m.GetTo()
	} else if s.GetNextPlan() != s.GetPlan() {
		s.RenewalPlan, s.FallTime = m.GetTo(), stamp(end)
	}
	r.put(rec, m.GetSite(), s)
	tx.Audit(resource(m.GetSite()), fmt.Sprintf("paid: plan %s holds from now on", m.GetTo()))
	return r.entitle(tx, m.GetSite(), fmt.Sprintf("plan %s is paid", m.GetTo()))
}

// failed ends a move that was not paid; the site keeps what it has. otherwise is why, where
// nothing better is known.
func (r *rules) failed(tx Tx, otherwise string) error {
	rec := tx.Record()
	m := rec.GetMove()
	if m == nil {
		return nil
	}
	rec.Move = nil
	rec.Generation++
	why := m.GetFailure()
	if why == "" && !m.GetAbandon() {
		why = otherwise
	}
	if why == "" {
		tx.Audit(resource(m.GetSite()), fmt.Sprintf("the payment for plan %s was taken back", m.GetTo()))
		return nil
	}
	tx.Audit(resource(m.GetSite()), fmt.Sprintf("plan %s was not paid: %s", m.GetTo(), why))
	_, ok, err := tx.Site(m.GetSite())
	if err != nil || !ok {
		return err
	}
	s := r.site(rec, m.GetSite())
	s.Failure = why
	r.put(rec, m.GetSite(), s)
	return nil
}
