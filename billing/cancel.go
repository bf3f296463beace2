package billing

import "fmt"

// Cancel lets a site fall to the cheapest plan at the end of the period. A site whose payment
// is under way gives that up, and nothing else; one that was paid meanwhile keeps the plan
// until the period ends. One that falls since its domain was lost falls for good.
//
// Errors: [*StateError] where nothing is paid or it falls already.
func (e *Engine) Cancel(tx Tx, site string) error {
	rec, free := tx.Record(), e.rules.plans.Cheapest()
	if move := rec.GetMove(); move.GetSite() == site {
		if move.GetAbandon() {
			return &StateError{Message: "the payment is being taken back"}
		}
		e.rules.giveUpMove(tx, "")
		tx.Work()
		return nil
	}
	e.rules.lapsed(tx, site)
	s := e.rules.site(rec, site)
	switch {
	case s.GetPlan() == free && s.GetNextPlan() == free:
		return &StateError{Message: fmt.Sprintf("%s is on plan %s", site, free)}
	case s.GetNextPlan() == free && s.GetRestorePlan() == "":
		return &StateError{Message: fmt.Sprintf("%s falls to plan %s already", site, free)}
	}
	e.rules.cancel(tx, site)
	tx.Work()
	return nil
}

// Revoke takes back what was scheduled for the end of the period.
//
// Errors: [*StateError] where nothing is scheduled, the site is deleted, or the period ends
// within five minutes.
func (e *Engine) Revoke(tx Tx, site string) error {
	rec := tx.Record()
	e.rules.lapsed(tx, site)
	s := e.rules.site(rec, site)
	if s.GetNextPlan() == s.GetPlan() {
		return &StateError{Message: "nothing is scheduled that could be taken back"}
	}
	state, ok, err := tx.Site(site)
	if err != nil {
		return err
	}
	if !ok || state.Deleted {
		return &StateError{Message: fmt.Sprintf("%s is deleted", site)}
	}
	if err := e.rules.mayRaise(rec, s, tx.Now()); err != nil {
		return err
	}
	e.rules.setNext(rec, site, s.GetPlan(), tx.Now())
	e.rules.agree(rec)
	tx.Audit(resource(site), fmt.Sprintf("keeps plan %s: what was scheduled was taken back", s.GetPlan()))
	tx.Work()
	return nil
}

func (r *rules) cancel(tx Tx, site string) {
	rec := tx.Record()
	r.setNext(rec, site, r.plans.Cheapest(), tx.Now())
	r.agree(rec)
	tx.Audit(resource(site), fmt.Sprintf("falls to plan %s %s", r.plans.Cheapest(), when(rec.GetSites()[site])))
}

// giveUpMove has the move taken back; an empty reason is that the customer wants it so.
func (r *rules) giveUpMove(tx Tx, reason string) {
	move := tx.Record().GetMove()
	if move.GetAbandon() {
		return
	}
	move.Abandon, move.Failure = true, reason
	if reason == "" {
		reason = "it is not wanted any more"
	}
	tx.Audit(resource(move.GetSite()), fmt.Sprintf("the payment for plan %s is taken back: %s", move.GetTo(), reason))
}
