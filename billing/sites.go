package billing

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// maxPaidSites bounds the record: it is one value of the registry.
const maxPaidSites = 10_000

// site returns a copy of what a site pays for; a site that is not in the record pays nothing.
func (r *rules) site(rec *storev1.BillingRecord, domain string) *storev1.SiteSubscription {
	if s := rec.GetSites()[domain]; s != nil {
		return proto.CloneOf(s)
	}
	free := r.plans.Cheapest()
	return &storev1.SiteSubscription{Plan: free, NextPlan: free}
}

// put stores what a site pays for, or forgets a site about which nothing is left to say.
func (r *rules) put(rec *storev1.BillingRecord, domain string, s *storev1.SiteSubscription) {
	free := r.plans.Cheapest()
	if s.GetPlan() == s.GetNextPlan() {
		s.RestorePlan = "" // It does not fall, or has fallen.
	}
	if s.GetPlan() == free && s.GetNextPlan() == free && s.GetEntitledPlan() == "" && s.GetFailure() == "" {
		delete(rec.GetSites(), domain)
		return
	}
	if rec.Sites == nil {
		rec.Sites = map[string]*storev1.SiteSubscription{}
	}
	rec.Sites[domain] = s
}

// lapse lets a fall that is due come before a decision, which might otherwise take it for one
// of the next period. The site's version follows by [Engine.Settle].
func (r *rules) lapse(rec *storev1.BillingRecord, domain string, now time.Time) (fell bool) {
	s := r.site(rec, domain)
	if s.GetNextPlan() == s.GetPlan() || !due(at(s.GetFallTime()), now) {
		return false
	}
	setPlan(s, s.GetNextPlan())
	s.FallTime = nil
	r.put(rec, domain, s)
	rec.Generation++
	return true
}

// lapsed is lapse within a change.
func (r *rules) lapsed(tx Tx, domain string) {
	if r.lapse(tx.Record(), domain, tx.Now()) {
		tx.Audit(resource(domain), fmt.Sprintf("fell to plan %s: the period is over", r.site(tx.Record(), domain).GetPlan()))
	}
}

// setNext sets which plan the next renewal bills for a site. What the provider has so far is
// remembered until it agrees: [rules.agree] follows, once all is decided.
func (r *rules) setNext(rec *storev1.BillingRecord, domain, plan string, now time.Time) {
	s := r.site(rec, domain)
	if s.GetRenewalPlan() == "" {
		s.RenewalPlan = s.GetNextPlan()
	}
	if s.GetRenewalPlan() == plan {
		s.RenewalPlan = ""
	}
	if plan != s.GetNextPlan() {
		s.FallTime = nil
		if plan != s.GetPlan() {
			s.FallTime = stamp(periodEnd(rec, now))
		}
	}
	s.NextPlan, s.RestorePlan, s.Gone, s.Failure = plan, "", false, ""
	r.put(rec, domain, s)
	rec.Generation++
}

// setPlan sets what a site is entitled to by what is paid; [rules.entitle] follows.
func setPlan(s *storev1.SiteSubscription, plan string) {
	has := entitled(s)
	s.Plan, s.EntitledPlan = plan, ""
	if has != plan {
		s.EntitledPlan = has
	}
}

// entitled is the plan whose entitlements a site has.
func entitled(s *storev1.SiteSubscription) string {
	if s.GetEntitledPlan() != "" {
		return s.GetEntitledPlan()
	}
	return s.GetPlan()
}

// effective is the plan whose entitlements a site should have.
func (r *rules) effective(rec *storev1.BillingRecord, s *storev1.SiteSubscription) string {
	if standing(rec) == breakwaterv1.Billing_DEGRADED {
		return r.plans.Cheapest()
	}
	return s.GetPlan()
}

// entitle gives a site what it should have, in the transaction that says so.
func (r *rules) entitle(tx Tx, domain, why string) error {
	rec := tx.Record()
	s := r.site(rec, domain)
	plan := r.effective(rec, s)
	if err := tx.Entitle(domain, plan, why); err != nil {
		return err
	}
	s.EntitledPlan = ""
	if plan != s.GetPlan() {
		s.EntitledPlan = plan
	}
	r.put(rec, domain, s)
	return nil
}

// desired is how many sites of each plan the next renewal should bill.
func (r *rules) desired(rec *storev1.BillingRecord) Quantities {
	q := Quantities{}
	for _, s := range rec.GetSites() {
		r.plans.add(q, s.GetNextPlan(), 1)
	}
	return q
}

// target is what the subscription should be at the provider. One for which nothing is left to
// be billed keeps its items, since it must have one, and ends with its period; it is kept
// from that while another site waits to be added to it.
func (r *rules) target(rec *storev1.BillingRecord) (q Quantities, cancel bool) {
	if q = r.desired(rec); len(q) > 0 {
		return q, false
	}
	waits := rec.GetMove() != nil && !rec.GetMove().GetAbandon()
	return rec.GetSeen().GetQuantities(), !waits
}

// agree forgets what the provider was still to be told, once it has what it should.
func (r *rules) agree(rec *storev1.BillingRecord) {
	if !live(rec) || rec.GetCall() != nil || rec.GetRefetch() {
		return
	}
	q, cancel := r.target(rec)
	if cancel != rec.GetSeen().GetCancelAtPeriodEnd() || !same(q, rec.GetSeen().GetQuantities()) {
		return
	}
	for _, s := range rec.GetSites() {
		s.RenewalPlan = ""
	}
}

// live says whether the account has a subscription that is renewed.
func live(rec *storev1.BillingRecord) bool {
	return rec.GetSubscription() != "" && Status(rec.GetSeen().GetStatus()) != Incomplete
}

// standing is whether the account's invoices are paid.
func standing(rec *storev1.BillingRecord) breakwaterv1.Billing_Standing {
	if state := rec.GetStanding().GetState(); state != breakwaterv1.Billing_STANDING_UNSPECIFIED {
		return state
	}
	return breakwaterv1.Billing_GOOD
}

// periodEnd is until when the sites are paid for.
func periodEnd(rec *storev1.BillingRecord, now time.Time) time.Time {
	if end := at(rec.GetSeen().GetPeriodEnd()); !end.IsZero() {
		return end
	}
	return now
}

// paidSites counts the sites that are paid for now or from the next renewal on.
func (r *rules) paidSites(rec *storev1.BillingRecord) int {
	n := 0
	for _, s := range rec.GetSites() {
		if r.plans.price(s.GetPlan()) > 0 || r.plans.price(s.GetNextPlan()) > 0 {
			n++
		}
	}
	return n
}

// resource names a site's subscription for the audit log.
func resource(domain string) string { return "sites/" + domain + "/subscription" }

// billing names the account's payments for the audit log.
const billingResource = "billing"
