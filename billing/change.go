package billing

import (
	"fmt"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

const (
	// lastCall is how long before the end of a period what raises the next invoice is refused:
	// it might reach the provider too late.
	lastCall = 5 * time.Minute
	// moveLife is how long a payment may wait for the customer.
	moveLife = 23 * time.Hour
	// moveMargin is how long before the end of a period a payment that waits is given up, so
	// that what else was decided reaches the provider before the renewal.
	moveMargin = 10 * time.Minute
)

// Change changes the plan of a site. A dearer plan is charged by [Engine.Settle] and holds
// once it is paid; a cheaper one holds from the end of the period, and the plan that the site
// has takes back what was scheduled. quote is a token of [Engine.Preview], or empty: the
// change then costs what it costs.
//
// Errors: [*UnknownPlanError], [*StateError], [ErrPaymentMethodRequired], [ErrQuoteExpired],
// [ErrQuoteStale], [ErrChangeInProgress].
func (e *Engine) Change(tx Tx, site, plan, quote string) error {
	rec, now := tx.Record(), tx.Now()
	if _, ok := e.rules.plans.Get(plan); !ok {
		return &UnknownPlanError{Plan: plan}
	}
	state, ok, err := tx.Site(site)
	if err != nil {
		return err
	}
	if !ok || state.Deleted {
		return &StateError{Message: fmt.Sprintf("%s is deleted", site)}
	}
	e.rules.lapsed(tx, site)
	prorate := now.Truncate(time.Second)
	var q quoteToken
	if quote != "" {
		if q, err = parseQuote(e.quoteKey, quote); err != nil {
			return err
		}
		if err := e.holds(rec, q, site, plan, now); err != nil {
			return err
		}
		prorate = time.Unix(q.Prorate, 0)
	}
	direction, err := e.rules.direction(rec, site, plan, now)
	if err != nil {
		return err
	}
	switch direction {
	case upwards:
		if rec.GetSeen().GetPaymentMethod() == nil {
			return ErrPaymentMethodRequired
		}
		e.rules.upgrade(tx, site, plan, prorate)
		rec.Move.Quoted, rec.Move.Balance = quote != "", q.Balance
	case back:
		e.rules.setNext(rec, site, plan, now)
		tx.Audit(resource(site), fmt.Sprintf("keeps plan %s: what was scheduled was taken back", plan))
	case downwards:
		e.rules.setNext(rec, site, plan, now)
		tx.Audit(resource(site), fmt.Sprintf("falls to plan %s %s", plan, when(rec.GetSites()[site])))
	}
	e.rules.agree(rec)
	tx.Work()
	return nil
}

// direction is which way a change of plan goes.
type direction int

const (
	// upwards is to a dearer plan than the site is entitled to: it is charged.
	upwards direction = iota
	// back is to the plan that the site is entitled to, which was to fall.
	back
	// downwards is to a cheaper plan, at the end of the period.
	downwards
)

// direction says which way a change goes, or why it can't be made now.
func (r *rules) direction(rec *storev1.BillingRecord, site, plan string, now time.Time) (direction, error) {
	s := r.site(rec, site)
	have, next, want := r.plans.price(s.GetPlan()), r.plans.price(s.GetNextPlan()), r.plans.price(plan)
	move := rec.GetMove()
	switch {
	case move.GetSite() == site:
		return 0, ErrChangeInProgress
	case plan == s.GetNextPlan() && plan == s.GetPlan():
		return 0, &StateError{Message: fmt.Sprintf("%s is on plan %s", site, plan)}
	case plan == s.GetNextPlan() && s.GetRestorePlan() == "":
		return 0, &StateError{Message: fmt.Sprintf("%s falls to plan %s already", site, plan)}
	}
	if want > next || plan == s.GetPlan() {
		if err := r.mayRaise(rec, s, now); err != nil {
			return 0, err
		}
	}
	switch {
	case plan == s.GetPlan():
		return back, nil
	case want <= have:
		return downwards, nil
	case move != nil:
		return 0, ErrChangeInProgress
	case standing(rec) != breakwaterv1.Billing_GOOD:
		return 0, &StateError{Message: "an invoice is overdue: pay it before choosing a dearer plan"}
	case r.plans.price(s.GetPlan()) == 0 && r.paidSites(rec) >= maxPaidSites:
		return 0, &StateError{Message: fmt.Sprintf("an account pays for at most %d sites", maxPaidSites)}
	}
	return upwards, nil
}

// mayRaise says whether a fall that is scheduled may still be taken back or made smaller.
func (r *rules) mayRaise(rec *storev1.BillingRecord, s *storev1.SiteSubscription, now time.Time) *StateError {
	switch {
	case s.GetNextPlan() == s.GetPlan():
		return nil
	case !live(rec), !at(s.GetFallTime()).Equal(periodEnd(rec, now)): // Another one may be there by now.
		return &StateError{Message: "the subscription has ended: choose the plan again " + when(s)}
	case !now.Before(periodEnd(rec, now).Add(-lastCall)):
		return &StateError{Message: "the month ends in a moment, and what was scheduled with it can't be changed any more"}
	}
	return nil
}

// upgrade begins a move. A fall that is scheduled is taken back first: it was never billed
// otherwise.
func (r *rules) upgrade(tx Tx, site, plan string, prorate time.Time) {
	rec, now := tx.Record(), tx.Now()
	s := r.site(rec, site)
	if s.GetNextPlan() != s.GetPlan() {
		r.setNext(rec, site, s.GetPlan(), now)
		s = r.site(rec, site)
	}
	s.Failure, s.Gone = "", false
	r.put(rec, site, s)
	expires := now.Add(moveLife)
	if end := periodEnd(rec, now).Add(-moveMargin); live(rec) && end.Before(expires) {
		expires = end
	}
	rec.Generation++
	rec.Move = &storev1.Move{
		Id:            r.newID(now),
		Site:          site,
		From:          s.GetPlan(),
		To:            plan,
		ProrationTime: stamp(prorate),
		CreateTime:    stamp(now),
		Principal:     tx.Principal(),
		ExpireTime:    stamp(expires),
		Subscription:  rec.GetSubscription(),
	}
	tx.Audit(resource(site), fmt.Sprintf("asked for plan %s, which is being charged", plan))
}

// when says when a fall comes.
func when(s *storev1.SiteSubscription) string {
	if s.GetFallTime() == nil {
		return "now"
	}
	return "on " + at(s.GetFallTime()).UTC().Format("2 January 2006 15:04 UTC")
}
