package billing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// SiteDeleted is called in the change that deletes a site: one that is paid for is cancelled,
// another is left alone. It fails only as tx does.
func (e *Engine) SiteDeleted(tx Tx, site string) error {
	e.rules.gone(tx, site)
	return nil
}

// SiteLost is called in the change in which a site loses its domain: it is cancelled as if it
// were deleted, and where it is paid for the customer is told, since nobody of theirs decided
// it. The reason is a sentence's end; the site is kept until a time, unless the domain comes
// back. It fails only as tx does.
func (e *Engine) SiteLost(tx Tx, site, reason string, until time.Time) error {
	e.rules.gone(tx, site)
	s := e.rules.site(tx.Record(), site)
	if e.rules.plans.price(s.GetPlan()) == 0 {
		return nil
	}
	return tx.Mail("lost-"+e.rules.newID(tx.Now()), fmt.Sprintf("%s is no longer served from your account", site),
		e.rules.lossLetter(site, reason, s, until))
}

func (r *rules) lossLetter(site, reason string, s *storev1.SiteSubscription, until time.Time) string {
	comesBack := "it is served again"
	if s.GetRestorePlan() != "" {
		comesBack += ", and its plan goes on unless it has ended by then"
	}
	return fmt.Sprintf("%s is no longer served from your account: %s.\n\n"+
		"Its plan, %s, is not renewed. It is paid for until %s.\n\n"+
		"If the domain comes back to your account by %s, %s. Otherwise the site is removed then.\n",
		site, reason, r.plans.displayName(s.GetPlan()), day(at(s.GetFallTime())), day(until), comesBack)
}

// gone cancels a site that the account does not have any more, and gives up its payment.
func (r *rules) gone(tx Tx, site string) {
	rec := tx.Record()
	if rec.GetMove().GetSite() == site {
		r.giveUpMove(tx, "")
		tx.Work()
	}
	if _, ok := rec.GetSites()[site]; !ok {
		return
	}
	r.lapsed(tx, site)
	if r.suspend(rec, site, tx.Now()) {
		r.agree(rec)
		tx.Audit(resource(site), fmt.Sprintf("falls to plan %s %s", r.plans.Cheapest(), when(rec.GetSites()[site])))
	}
	if s, ok := rec.GetSites()[site]; ok {
		s.Gone = true
	}
	tx.Work()
}

// SiteRestored is called in the change in which a deleted site, or a lost domain, comes back:
// what its end cancelled is taken back, where that is still possible and the account is there.
// It fails only as tx does.
func (e *Engine) SiteRestored(tx Tx, site string) error {
	rec := tx.Record()
	if s, ok := rec.GetSites()[site]; ok {
		s.Gone = false
	}
	plan, refused := e.rules.restore(rec, site, tx.Now())
	switch {
	case plan == "":
		return nil
	case refused != "":
		tx.Audit(resource(site), fmt.Sprintf("plan %s stays cancelled: %s", plan, refused))
	default:
		tx.Audit(resource(site), fmt.Sprintf("goes on with plan %s: what was cancelled was taken back", plan))
	}
	e.rules.agree(rec)
	tx.Work()
	return nil
}

// SitePurged is called in the change that purges a site: it is forgotten at once, and the next
// renewal does not bill it.
func (e *Engine) SitePurged(tx Tx, site string) error {
	rec := tx.Record()
	if rec.GetMove().GetSite() == site {
		e.rules.giveUpMove(tx, "")
		tx.Work()
	}
	if _, ok := rec.GetSites()[site]; ok {
		delete(rec.GetSites(), site)
		rec.Generation++
		e.rules.agree(rec)
		tx.Work()
	}
	return nil
}

// AccountDeleted cancels everything at the end of the period, and gives up a payment that is
// under way. It is told to the audit log once, for all sites.
func (e *Engine) AccountDeleted(tx Tx) error {
	rec, now := tx.Record(), tx.Now()
	rec.Closed = rec.GetMove() != nil || len(rec.GetSites()) > 0
	if rec.GetMove() != nil {
		e.rules.giveUpMove(tx, "")
		tx.Work()
	}
	cancelled := 0
	for _, site := range slices.Sorted(maps.Keys(rec.GetSites())) {
		e.rules.lapse(rec, site, now)
		if e.rules.suspend(rec, site, now) {
			cancelled++
		}
	}
	if cancelled > 0 {
		e.rules.agree(rec)
		tx.Audit(billingResource, fmt.Sprintf("all that was paid for falls to plan %s with the period: %d sites", e.rules.plans.Cheapest(), cancelled))
		tx.Work()
	}
	return nil
}

// AccountRestored is called in the change that brings a deleted account back: what its
// deletion cancelled is taken back, where that is still possible, but for sites that are gone
// themselves. It is told to the audit log once, for all sites.
func (e *Engine) AccountRestored(tx Tx) error {
	rec := tx.Record()
	rec.Closed = false
	restored, kept, why := 0, 0, ""
	for _, site := range slices.Sorted(maps.Keys(rec.GetSites())) {
		switch plan, refused := e.rules.restore(rec, site, tx.Now()); {
		case plan == "":
		case refused != "":
			kept, why = kept+1, refused
		default:
			restored++
		}
	}
	if restored > 0 {
		tx.Audit(billingResource, fmt.Sprintf("what was cancelled with the account was taken back: %d sites", restored))
	}
	if kept > 0 {
		tx.Audit(billingResource, fmt.Sprintf("what was cancelled with the account stays cancelled for %d sites: %s", kept, why))
	}
	if restored+kept > 0 {
		e.rules.agree(rec)
		tx.Work()
	}
	return nil
}

// suspend lets a site fall, and remembers what it was to have next; false where it falls
// already, which was decided otherwise.
func (r *rules) suspend(rec *storev1.BillingRecord, site string, now time.Time) bool {
	next := r.site(rec, site).GetNextPlan()
	if next == r.plans.Cheapest() {
		return false
	}
	r.setNext(rec, site, r.plans.Cheapest(), now)
	rec.GetSites()[site].RestorePlan = next
	return true
}

// restore takes back what suspend did. It returns the plan that the site was to have; none
// where nothing is to be restored, or not yet. Where it is too late the site falls for good:
// refused says why.
func (r *rules) restore(rec *storev1.BillingRecord, site string, now time.Time) (plan, refused string) {
	s := r.site(rec, site)
	plan = s.GetRestorePlan()
	if plan == "" || s.GetGone() || rec.GetClosed() {
		return "", ""
	}
	if r.lapse(rec, site, now) {
		return plan, "the period that was paid for is over"
	}
	if err := r.mayRaise(rec, s, now); err != nil {
		s.RestorePlan = ""
		r.put(rec, site, s)
		return plan, err.Message
	}
	r.setNext(rec, site, plan, now)
	return plan, ""
}
