package billing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// renewed takes in that months were renewed since the subscription was seen last: what each
// renewal billed is compared with what was decided before it. What it billed too much, since
// a fall was decided in time and reached the provider too late, is given back; a fall that was
// taken back too late does not stick.
func (r *rules) renewed(tx Tx, s *snapshot, req request) error {
	rec := tx.Record()
	cycles := r.cycles(rec, s)
	if len(cycles) == 0 {
		r.fallLate(tx, rec.GetSeen().GetQuantities())
		return nil
	}
	for _, invoice := range cycles {
		billed := r.billed(invoice)
		if req.Sites != nil && same(billed, req.Quantities) {
			synced(rec, req.Sites) // The call came before the renewal.
		}
		if r.paidBefore(rec, s, billed) {
			if err := r.paid(tx, at(rec.GetSeen().GetPeriodEnd())); err != nil {
				return err
			}
		}
		r.fallLate(tx, billed)
		r.giveBack(tx, invoice, billed)
		rec.Seen.RenewalInvoice, rec.Seen.RenewalState = invoice.ID, invoice.State
	}
	return nil
}

// cycles are the invoices of renewals that were not seen yet, oldest first.
func (r *rules) cycles(rec *storev1.BillingRecord, s *snapshot) []*Invoice {
	since := at(rec.GetSeen().GetPeriodEnd()).Add(-time.Hour)
	var cycles []*Invoice
	for _, i := range s.known() {
		if i.Reason == ReasonCycle && i.ID != rec.GetSeen().GetRenewalInvoice() && !i.Created.Before(since) &&
			(i.Subscription == "" || i.Subscription == s.subscription.ID) {
			cycles = append(cycles, i)
		}
	}
	slices.SortFunc(cycles, func(a, b *Invoice) int { return a.Created.Compare(b.Created) })
	return cycles
}

// billed is how many sites of each plan an invoice charges for the whole month.
func (r *rules) billed(invoice *Invoice) Quantities {
	q := Quantities{}
	for _, line := range invoice.Lines {
		if !line.Proration && line.Plan != "" {
			r.plans.add(q, line.Plan, line.Quantity)
		}
	}
	return q
}

// paidBefore says whether the move in flight was paid before a renewal. What the renewal billed
// tells: quantities don't change otherwise while a move is at the provider, and invoices can't
// tell two upgrades of one second apart.
func (r *rules) paidBefore(rec *storev1.BillingRecord, s *snapshot, billed Quantities) bool {
	m := rec.GetMove()
	switch {
	case !m.GetSubmitted() || s.subscription.Pending != nil:
		return false
	case m.GetSubscription() == "":
		return true // Only what was paid for is renewed.
	}
	return same(billed, m.GetAfter())
}

// fallLate lets the sites fall whose fall was taken back after the renewal had billed it.
func (r *rules) fallLate(tx Tx, billed Quantities) {
	rec, lacks := tx.Record(), false
	for plan, n := range r.desired(rec) {
		lacks = lacks || billed[plan] < n
	}
	if !lacks {
		return
	}
	for _, domain := range slices.Sorted(maps.Keys(rec.GetSites())) {
		s := rec.GetSites()[domain]
		plan := s.GetRenewalPlan()
		if plan == "" || r.plans.price(plan) >= r.plans.price(s.GetNextPlan()) {
			continue
		}
		setPlan(s, plan)
		s.NextPlan, s.FallTime, s.RenewalPlan = plan, nil, ""
		tx.Audit(resource(domain), fmt.Sprintf("fell to plan %s: it was taken back too late for the renewal", plan))
		r.put(rec, domain, s)
	}
}

// giveBack notes a credit for what a renewal billed too much.
func (r *rules) giveBack(tx Tx, invoice *Invoice, billed Quantities) {
	rec := tx.Record()
	over := r.plans.value(billed) - r.plans.value(r.desired(rec))
	if over <= 0 {
		return
	}
	if invoice.Tax > 0 && invoice.Subtotal > 0 {
		over += over * invoice.Tax / invoice.Subtotal
	}
	rec.Credits = append(rec.Credits, &storev1.Credit{
		Id:      r.newID(tx.Now()),
		Amount:  over,
		Reason:  "A cheaper plan was chosen before the month began",
		Invoice: invoice.ID,
	})
	tx.Audit(billingResource, fmt.Sprintf("the renewal billed %d cents for plans that had been cancelled: they are given back", over))
}
