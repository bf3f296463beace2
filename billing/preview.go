package billing

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// Quote says what a change of plan would cost.
type Quote struct {
	// Token is what [Engine.Change] takes.
	Token string
	// Expires is when the token ends.
	Expires time.Time
	// DueNow is what is charged at once, in cents: the lines' sum, with tax and after what the
	// account has to its credit.
	DueNow int64
	// NextInvoice is what the account's next invoice will be, for all of its sites, in cents
	// and as far as is known.
	NextInvoice int64
	// NextInvoiceTime is when it is made; zero where there will be none.
	NextInvoiceTime time.Time
	// Lines are the lines of what is charged at once.
	Lines []InvoiceLine
	// Effective is when the plan begins to hold.
	Effective time.Time
}

// Preview says what a change of plan would cost, and changes nothing. It asks the payment
// provider where an upgrade is added to a subscription.
//
// Errors: those of [Engine.Change] but for quotes and a missing payment method, and those of
// [Provider].
func (e *Engine) Preview(ctx context.Context, account, site, plan string) (*Quote, error) {
	if _, ok := e.rules.plans.Get(plan); !ok {
		return nil, &UnknownPlanError{Plan: plan}
	}
	rec, err := e.store.Record(ctx, account)
	if err != nil {
		return nil, err
	}
	rec = proto.CloneOf(rec)
	now := e.clock.Now().Truncate(time.Second)
	e.rules.lapse(rec, site, now)
	way, err := e.rules.direction(rec, site, plan, now)
	if err != nil {
		return nil, err
	}
	q := &Quote{Expires: now.Add(e.rules.quoteLife), Effective: now}
	balance := rec.GetSeen().GetBalance()
	if live(rec) {
		q.NextInvoiceTime = periodEnd(rec, now)
	}
	switch way {
	case upwards:
		invoice, err := e.charge(ctx, rec, site, plan, now)
		if err != nil {
			return nil, err
		}
		q.Lines, q.DueNow = invoice.Lines, max(0, invoice.Total)
		if used := max(balance, -q.DueNow); used != 0 { // What is owed besides comes on top.
			q.Lines = append(q.Lines, InvoiceLine{Description: "The account's balance", Amount: used})
			q.DueNow += used
			balance -= used
		}
		if !live(rec) {
			q.NextInvoiceTime = addMonth(now)
		}
	case back:
	case downwards:
		q.Effective = at(stamp(periodEnd(rec, now)))
	}
	next := e.rules.desired(rec)
	e.rules.plans.add(next, e.rules.site(rec, site).GetNextPlan(), -1)
	e.rules.plans.add(next, plan, 1)
	if len(next) == 0 {
		q.NextInvoiceTime = time.Time{}
	} else {
		q.NextInvoice = max(0, e.rules.plans.value(next)+balance)
	}
	from := e.rules.site(rec, site).GetPlan()
	q.Token, err = quoteToken{
		Account: account, Site: site, From: from, To: plan,
		Generation: rec.GetGeneration(),
		FromPrice:  e.rules.plans.price(from), ToPrice: e.rules.plans.price(plan),
		Prorate: now.Unix(), Expires: q.Expires.Unix(), DueNow: q.DueNow, Balance: rec.GetSeen().GetBalance(),
	}.sign(e.quoteKey)
	return q, err
}

// charge is the invoice of an upgrade that was made now.
func (e *Engine) charge(ctx context.Context, rec *storev1.BillingRecord, site, plan string, now time.Time) (*Invoice, error) {
	s := e.rules.site(rec, site)
	if !live(rec) {
		line := InvoiceLine{
			Description: fmt.Sprintf("1 site on plan %s", e.rules.plans.displayName(plan)),
			Plan:        plan, Quantity: 1, Amount: e.rules.plans.price(plan),
			PeriodStart: now, PeriodEnd: addMonth(now),
		}
		return &Invoice{Lines: []InvoiceLine{line}, Subtotal: line.Amount, Total: line.Amount}, nil
	}
	if !now.Before(periodEnd(rec, now)) {
		return nil, &StateError{Message: "a new month is just beginning: ask again in a minute"}
	}
	move := &storev1.Move{Site: site, From: s.GetPlan(), To: plan}
	before, after := e.rules.quantities(rec, move)
	if !same(before, rec.GetSeen().GetQuantities()) {
		// The provider has not been told yet of what the upgrade will find, so its own answer
		// would be another one.
		return e.rules.prorated(rec, s.GetPlan(), plan, now), nil
	}
	return e.provider.Preview(ctx, UpgradeRequest{
		Subscription: rec.GetSubscription(), Quantities: after, ProrationTime: now,
	})
}

// quantities are what an upgrade finds at the provider and what it leaves there.
func (r *rules) quantities(rec *storev1.BillingRecord, move *storev1.Move) (before, after Quantities) {
	before = r.desired(rec)
	if next := r.site(rec, move.GetSite()).GetNextPlan(); next != move.GetFrom() { // It is restored first.
		r.plans.add(before, next, -1)
		r.plans.add(before, move.GetFrom(), 1)
	}
	if len(before) == 0 {
		before = clone(rec.GetSeen().GetQuantities()) // What is kept of a subscription that was to end.
	}
	after = clone(before)
	r.plans.add(after, move.GetFrom(), -1)
	r.plans.add(after, move.GetTo(), 1)
	return before, after
}

// prorated is what the provider would charge for one site's upgrade: the rest of the period by
// the new plan, less the rest of it by the old one, to the second.
func (r *rules) prorated(rec *storev1.BillingRecord, from, to string, now time.Time) *Invoice {
	start, end := at(rec.GetSeen().GetPeriodStart()), at(rec.GetSeen().GetPeriodEnd())
	whole, rest := end.Unix()-start.Unix(), min(max(end.Unix()-now.Unix(), 0), end.Unix()-start.Unix())
	if whole <= 0 {
		whole, rest = 1, 1
	}
	part := func(cents int64) int64 { return (2*cents*rest + whole) / (2 * whole) }
	invoice := &Invoice{}
	line := func(text, plan string, amount int64) {
		if amount == 0 {
			return
		}
		invoice.Lines = append(invoice.Lines, InvoiceLine{
			Description: fmt.Sprintf("%s time on plan %s", text, r.plans.displayName(plan)),
			Plan:        plan, Quantity: 1, Amount: amount, Proration: true, PeriodStart: now, PeriodEnd: end,
		})
		invoice.Subtotal += amount
	}
	line("Unused", from, -part(r.plans.price(from)))
	line("Remaining", to, part(r.plans.price(to)))
	invoice.Total = invoice.Subtotal
	return invoice
}

// displayName is a plan's name for people.
func (p *Plans) displayName(id string) string {
	if plan, ok := p.Get(id); ok {
		return plan.GetDisplayName()
	}
	return id
}
