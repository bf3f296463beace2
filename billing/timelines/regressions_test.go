package timelines

import (
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// story is a world whose faults are written down.
type story struct {
	*world
	t *testing.T
}

func begin(t *testing.T) *story {
	t.Helper()
	w := newWorld(t.Context(), t, time.Date(2013, 1, 10, 9, 0, 0, 0, time.UTC), 1, stripetest.Config{}, 1, 3)
	s := &story{w, t}
	s.say("signs up")
	s.decide("acme", "wants a customer", func(tx billing.Tx) error { return s.engine.Ask(tx, true) })
	s.settle("acme", true)
	if _, err := s.fake.AddCard(s.customer("acme"), stripetest.Card{}); err != nil {
		t.Fatal(err)
	}
	s.decide("acme", "asks", func(tx billing.Tx) error { return s.engine.Ask(tx, true) })
	s.settle("acme", true)
	return s
}

func (s *story) does(what, domain, plan string) {
	s.t.Helper()
	var v view
	done := s.decide("acme", what+" "+domain, func(tx billing.Tx) error {
		v = viewOf(tx)
		switch what {
		case "change":
			return s.engine.Change(tx, domain, plan, "")
		case "cancel":
			return s.engine.Cancel(tx, domain)
		default:
			return s.engine.Revoke(tx, domain)
		}
	})
	if !done {
		s.t.Fatalf("%s %s was refused", what, domain)
	}
	o := s.oracle["acme"]
	switch what {
	case "change":
		o.change(domain, plan, s.record("acme").GetMove().GetSite() == domain, v)
	case "cancel":
		o.cancel(domain, v)
	default:
		o.revoke(domain, v)
	}
}

// ends lets the trouble stop and compares everything.
func (s *story) ends() {
	s.faulted = nil
	s.calm(3)
	s.check()
}

// once makes the first request to a path fail, and all that follow be refused at the door.
func (s *story) once(suffix string, f stripetest.Fault) {
	hit := false
	s.faulted = func(r stripetest.Request) stripetest.Fault {
		if hit {
			return stripetest.Unavailable
		}
		if r.Method == "POST" && len(r.Path) >= len(suffix) && r.Path[len(r.Path)-len(suffix):] == suffix {
			hit = true
			return f
		}
		return stripetest.None
	}
}

// TestFirstPaymentUnknownForAMonth: the answer to the first payment is lost, and Stripe can't
// be reached until after the renewal. The customer had given the payment up: what the renewal
// billed is given back.
func TestFirstPaymentUnknownForAMonth(t *testing.T) {
	s := begin(t)
	s.does("change", "s0.test", "pro")
	s.once("/pay", stripetest.TimeoutAfter)
	s.settle("acme", true)
	s.does("cancel", "s0.test", "")
	s.pass(32 * 24 * time.Hour)
	s.settle("acme", true)
	s.ends()
	if got := s.fake.Credited(s.customer("acme")); got != 2000 {
		t.Errorf("%d cents were given back", got)
	}
}

// TestFallTakenBackAfterLostSync: a fall reaches Stripe, but its answer does not come back; it
// is revoked, which does not reach Stripe before the renewal. The site falls.
func TestFallTakenBackAfterLostSync(t *testing.T) {
	s := begin(t)
	for _, domain := range []string{"s0.test", "s1.test"} {
		s.does("change", domain, "pro")
		s.settle("acme", true)
	}
	s.does("cancel", "s0.test", "")
	s.once(s.fake.Subscriptions(s.customer("acme"))[0].ID, stripetest.TimeoutAfter)
	s.settle("acme", true)
	s.does("revoke", "s0.test", "")
	s.pass(32 * 24 * time.Hour)
	s.settle("acme", true)
	s.ends()
	if got := s.record("acme").GetSites()["s0.test"]; got != nil {
		t.Errorf("the site is on %s", got.GetPlan())
	}
}

// TestUpgradesOfOneSecond: the last of several upgrades in one second does not reach Stripe for
// two renewals. The invoices of the others do not pay for it.
func TestUpgradesOfOneSecond(t *testing.T) {
	s := begin(t)
	for _, plan := range []string{"pro", "business"} {
		for _, domain := range []string{"s0.test", "s1.test"} {
			s.does("change", domain, plan)
			s.settle("acme", true)
		}
	}
	s.does("change", "s2.test", "business")
	s.once(s.fake.Subscriptions(s.customer("acme"))[0].ID, stripetest.TimeoutBefore)
	s.settle("acme", true)
	s.pass(70 * 24 * time.Hour)
	s.settle("acme", true)
	s.ends()
	if got := s.fake.Charged(s.customer("acme")); got != 3*40000 {
		t.Errorf("%d cents were charged", got)
	}
}

// TestCreditTakenByTheNextInvoice: a credit is given, but its answer is lost for a month, in which
// an invoice takes it: the balance is what it was before, and the credit is not given again.
func TestCreditTakenByTheNextInvoice(t *testing.T) {
	s := begin(t)
	for _, domain := range []string{"s0.test", "s1.test"} {
		s.does("change", domain, "pro")
		s.settle("acme", true)
	}
	s.does("cancel", "s0.test", "")
	s.pass(31*24*time.Hour + 2*time.Hour)
	s.once("/balance_transactions", stripetest.TimeoutAfter)
	s.settle("acme", true)
	s.pass(31 * 24 * time.Hour)
	s.ends()
	if got := s.fake.Credited(s.customer("acme")); got != 2000 {
		t.Errorf("%d cents were given back", got)
	}
}

// TestFallMadeSmallerAfterLostSync: a cancellation reaches Stripe, but its answer does not come
// back; a smaller fall that is chosen instead does not reach Stripe before the renewal. The site
// falls as the renewal billed.
func TestFallMadeSmallerAfterLostSync(t *testing.T) {
	s := begin(t)
	for domain, plan := range map[string]string{"s0.test": "business", "s1.test": "pro"} {
		s.does("change", domain, plan)
		s.settle("acme", true)
	}
	s.does("cancel", "s0.test", "")
	s.once(s.fake.Subscriptions(s.customer("acme"))[0].ID, stripetest.TimeoutAfter)
	s.settle("acme", true)
	s.does("change", "s0.test", "pro")
	s.pass(32 * 24 * time.Hour)
	s.settle("acme", true)
	s.ends()
	if got := s.record("acme").GetSites()["s0.test"]; got != nil {
		t.Errorf("the site is on %s", got.GetPlan())
	}
}

// TestFallMadeSmallerAfterForgottenSync is the same with the smaller fall chosen after the key of
// the lost call was forgotten.
func TestFallMadeSmallerAfterForgottenSync(t *testing.T) {
	s := begin(t)
	for domain, plan := range map[string]string{"s0.test": "business", "s1.test": "pro"} {
		s.does("change", domain, plan)
		s.settle("acme", true)
	}
	s.does("cancel", "s0.test", "")
	s.once(s.fake.Subscriptions(s.customer("acme"))[0].ID, stripetest.TimeoutAfter)
	s.settle("acme", true)
	s.pass(3 * 24 * time.Hour)
	s.settle("acme", true)
	s.does("change", "s0.test", "pro")
	s.pass(32 * 24 * time.Hour)
	s.settle("acme", true)
	s.ends()
	if got := s.record("acme").GetSites()["s0.test"]; got != nil {
		t.Errorf("the site is on %s", got.GetPlan())
	}
}

// TestCardEnteredBeforeTheDeclineIsSeen: a renewal is declined while Stripe can't be reached, and
// the customer enters another card with the same digits before it can be. It is charged at once.
func TestCardEnteredBeforeTheDeclineIsSeen(t *testing.T) {
	s := begin(t)
	s.does("change", "s0.test", "pro")
	s.settle("acme", true)
	s.fake.SetBehaviour(s.customer("acme"), stripetest.Decline)
	s.faulted = func(stripetest.Request) stripetest.Fault { return stripetest.Unavailable }
	s.pass(31*24*time.Hour + 2*time.Hour)
	if _, err := s.fake.AddCard(s.customer("acme"), stripetest.Card{}); err != nil {
		t.Fatal(err)
	}
	s.faulted = nil
	s.decide("acme", "asks", func(tx billing.Tx) error { return s.engine.Ask(tx, false) })
	s.settle("acme", true)
	if got := s.fake.Charged(s.customer("acme")); got != 2*2000 || s.record("acme").GetStanding() != nil {
		t.Errorf("%d cents were charged: %v", got, s.record("acme").GetStanding())
	}
	s.ends()
}
