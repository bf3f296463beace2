package billing

import (
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Subscription shows what a site pays for: all but name, version and etag, and the client secret of
// a payment that waits ([Engine.ActionSecret]). It is a function of what it is given.
func (e *Engine) Subscription(rec *storev1.BillingRecord, domain string, site SiteState) *breakwaterv1.Subscription {
	s := e.rules.site(rec, domain)
	paid := e.rules.plans.price(s.GetPlan()) > 0
	sub := &breakwaterv1.Subscription{
		Plan:         s.GetPlan(),
		State:        breakwaterv1.Subscription_ACTIVE,
		EntitledPlan: site.Plan,
		Failure:      s.GetFailure(),
	}
	if s.GetNextPlan() != s.GetPlan() {
		sub.PendingPlan = s.GetNextPlan()
	}
	if paid {
		sub.CurrentPeriodEnd = rec.GetSeen().GetPeriodEnd()
		if s.GetFallTime() != nil {
			sub.CurrentPeriodEnd = s.GetFallTime()
		}
		switch standing(rec) {
		case breakwaterv1.Billing_PAST_DUE:
			sub.State = breakwaterv1.Subscription_PAST_DUE
			sub.DegradeTime = rec.GetStanding().GetDegradeTime()
		case breakwaterv1.Billing_DEGRADED:
			sub.State = breakwaterv1.Subscription_DEGRADED
		default:
		}
	}
	if m := rec.GetMove(); m.GetSite() == domain && m != nil {
		sub.PendingPlan = m.GetTo()
		sub.State = breakwaterv1.Subscription_UPGRADING
		if !m.GetAbandon() && m.GetActionUrl() != "" {
			sub.State = breakwaterv1.Subscription_REQUIRES_ACTION
			sub.PendingAction = &breakwaterv1.Subscription_PendingAction{Url: m.GetActionUrl()}
		}
	}
	return sub
}

// Billing shows how an account pays: all but name and etag. It is a function of what it is
// given.
func (e *Engine) Billing(rec *storev1.BillingRecord) *breakwaterv1.Billing {
	b := &breakwaterv1.Billing{}
	if rec.GetDetails() != nil {
		b = proto.CloneOf(rec.GetDetails())
	}
	seen := rec.GetSeen()
	b.DetailsFailure = rec.GetDetailsFailure()
	b.PaymentMethod = seen.GetPaymentMethod()
	b.Standing = standing(rec)
	b.Balance = e.rules.plans.money(seen.GetBalance())
	if b.GetStanding() == breakwaterv1.Billing_PAST_DUE {
		b.DegradeTime = rec.GetStanding().GetDegradeTime()
	}
	if live(rec) {
		b.CurrentPeriodStart, b.CurrentPeriodEnd = seen.GetPeriodStart(), seen.GetPeriodEnd()
		if next := e.rules.desired(rec); len(next) > 0 {
			b.UpcomingInvoice = e.rules.plans.money(max(0, e.rules.plans.value(next)+seen.GetBalance()))
		}
	}
	return b
}
