package billing

import (
	"errors"
	"strings"
	"testing"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

func TestFirstPaidSite(t *testing.T) {
	s := newShop(t, "a.test")
	s.till.card = "none"
	if err := s.change("a.test", "pro"); !errors.Is(err, ErrPaymentMethodRequired) {
		t.Fatalf("without a customer: %v", err)
	}
	s.must(s.ask(true))
	s.settle()
	if err := s.change("a.test", "pro"); !errors.Is(err, ErrPaymentMethodRequired) {
		t.Fatalf("without a card: %v", err)
	}
	s.till.card = "accept"
	s.must(s.ask(false))
	s.settle()
	s.must(s.change("a.test", "pro"))
	if sub := s.on("a.test", "free", "pro"); sub.GetState() != breakwaterv1.Subscription_UPGRADING {
		t.Errorf("state %v", sub.GetState())
	}
	s.settle()
	sub := s.on("a.test", "pro", "")
	if sub.GetState() != breakwaterv1.Subscription_ACTIVE || sub.GetEntitledPlan() != "pro" ||
		!sub.GetCurrentPeriodEnd().AsTime().Equal(shopOpens.AddDate(0, 1, 0)) {
		t.Errorf("%v", sub)
	}
	if s.till.total() != 2000 || s.versions["a.test"] != 1 {
		t.Errorf("charged %d cents, %d versions", s.till.total(), s.versions["a.test"])
	}
	s.agrees()
}

func TestUpgradeIsProrated(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "pro"))
	s.settle()
	s.pass(31 * 24 * time.Hour / 2)
	s.must(s.change("a.test", "business"))
	s.settle()
	s.on("a.test", "business", "")
	if got := s.till.total(); got != 2000-1000+10000 {
		t.Errorf("charged %d cents", got)
	}
	s.must(s.change("b.test", "pro"))
	s.settle()
	if got := s.till.total(); got != 2000-1000+10000+1000 {
		t.Errorf("charged %d cents", got)
	}
	s.agrees()
	s.pass(31 * 24 * time.Hour)
	if got := s.till.total(); got != 12000+22000 {
		t.Errorf("charged %d cents with the renewal", got)
	}
	s.agrees()
}

func TestDowngradeFallsWithThePeriod(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("b.test", "pro"))
	s.settle()
	charged := s.till.total()
	s.must(s.change("a.test", "pro"))
	s.settle()
	s.on("a.test", "business", "pro")
	if q := s.till.alive().Quantities; !same(q, Quantities{"pro": 2}) {
		t.Errorf("the renewal bills %v", q)
	}
	s.agrees()
	s.must(s.revoke("a.test"))
	s.settle()
	s.on("a.test", "business", "")
	s.agrees()
	s.must(s.change("a.test", "pro"))
	s.pass(30 * 24 * time.Hour)
	s.on("a.test", "business", "pro")
	s.pass(25 * time.Hour)
	s.on("a.test", "pro", "")
	if s.sites["a.test"].Plan != "pro" || s.till.total() != charged+4000 {
		t.Errorf("%v, charged %d", s.sites["a.test"], s.till.total()-charged)
	}
	if len(s.till.credits) > 0 {
		t.Errorf("credits: %v", s.till.credits)
	}
	s.agrees()
}

func TestLastPaidSiteEndsTheSubscription(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "pro"))
	s.settle()
	s.must(s.cancel("a.test"))
	s.settle()
	sub := s.till.alive()
	if !sub.CancelAtPeriodEnd || !same(sub.Quantities, Quantities{"pro": 1}) {
		t.Fatalf("%+v", sub.Subscription)
	}
	// Another site is upgraded: the cancellation is cleared first, in a call of its own, and
	// the site is charged for.
	s.till.calls = nil
	s.must(s.change("b.test", "pro"))
	s.settle()
	s.on("b.test", "pro", "")
	s.on("a.test", "pro", "free")
	if got := s.till.calls; len(got) != 3 || got[0] != "SetCancelAtPeriodEnd" || got[1] != "Upgrade" || got[2] != "SetQuantities" {
		t.Errorf("calls: %v", got)
	}
	if s.till.total() != 4000 {
		t.Errorf("charged %d", s.till.total())
	}
	s.agrees()
	s.must(s.cancel("b.test"))
	s.pass(32 * 24 * time.Hour)
	s.on("a.test", "free", "")
	s.on("b.test", "free", "")
	if s.till.alive() != nil || len(s.record.GetSites()) != 0 || s.till.total() != 4000 {
		t.Errorf("%v, %v, charged %d", s.till.alive(), s.record.GetSites(), s.till.total())
	}
	s.agrees()
	s.must(s.change("a.test", "business"))
	s.settle()
	s.on("a.test", "business", "")
	if s.till.total() != 24000 {
		t.Errorf("charged %d", s.till.total())
	}
	s.agrees()
}

func TestDecline(t *testing.T) {
	s := ready(t, "a.test")
	s.till.card = "decline"
	s.must(s.change("a.test", "pro"))
	s.settle()
	if sub := s.on("a.test", "free", ""); sub.GetFailure() != "Your card was declined." {
		t.Errorf("failure %q", sub.GetFailure())
	}
	if s.till.alive() != nil || s.till.total() != 0 || s.till.owes() {
		t.Error("something is left of a subscription that was declined")
	}
	s.agrees()
	s.till.card = "accept"
	s.must(s.change("a.test", "pro"))
	s.settle()
	if sub := s.on("a.test", "pro", ""); sub.GetFailure() != "" {
		t.Errorf("failure %q", sub.GetFailure())
	}
	s.till.card = "decline"
	s.must(s.change("a.test", "business"))
	s.settle()
	if sub := s.on("a.test", "pro", ""); sub.GetFailure() != "Your card was declined." {
		t.Errorf("failure %q", sub.GetFailure())
	}
	if got := s.till.invoices[len(s.till.invoices)-1].State; got != breakwaterv1.Invoice_VOID {
		t.Errorf("the declined invoice is %v", got)
	}
	s.agrees()
}

func TestRequiresAction(t *testing.T) {
	for _, first := range []bool{true, false} {
		for _, end := range []string{"confirm", "fail", "cancel", "expire"} {
			s := ready(t, "a.test", "b.test")
			before := "free"
			if !first {
				s.must(s.change("a.test", "pro"))
				s.settle()
				before = "pro"
			}
			s.till.card = "action"
			s.must(s.change("a.test", "business"))
			s.settle()
			sub := s.on("a.test", before, "business")
			if sub.GetState() != breakwaterv1.Subscription_REQUIRES_ACTION || sub.GetPendingAction().GetUrl() == "" ||
				s.sites["a.test"].Plan != before {
				t.Fatalf("%v", sub)
			}
			if secret, err := s.engine.ActionSecret(s.ctx(), s.record); err != nil || secret != tillSecret || strings.Contains(s.record.String(), secret) {
				t.Fatalf("the secret %q, %v: %v", secret, err, s.record)
			}
			if err := s.change("b.test", "pro"); !errors.Is(err, ErrChangeInProgress) {
				t.Errorf("another change: %v", err)
			}
			if err := s.change("a.test", "pro"); !errors.Is(err, ErrChangeInProgress) {
				t.Errorf("another change of the same site: %v", err)
			}
			want, failure := before, ""
			switch end {
			case "confirm":
				s.till.confirm(true)
				s.must(s.ask(false))
				s.settle()
				want = "business"
			case "fail":
				s.till.confirm(false)
				s.must(s.ask(false))
				s.settle()
				failure = "You did not confirm the payment."
			case "cancel":
				s.must(s.cancel("a.test"))
				s.settle()
			case "expire":
				s.pass(23*time.Hour + time.Minute)
				failure = "The payment was not confirmed in time."
			}
			if sub := s.on("a.test", want, ""); sub.GetFailure() != failure && (end != "expire" || sub.GetFailure() == "") {
				t.Errorf("first %v, %s: failure %q", first, end, sub.GetFailure())
			}
			s.agrees()
			if s.sites["a.test"].Plan != want {
				t.Errorf("first %v, %s: the site is on %s", first, end, s.sites["a.test"].Plan)
			}
		}
	}
}

func TestDunning(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("b.test", "pro"))
	s.settle()
	s.till.card = "decline"
	s.pass(31*24*time.Hour + time.Hour)
	sub := s.on("a.test", "business", "")
	if sub.GetState() != breakwaterv1.Subscription_PAST_DUE || sub.GetDegradeTime() == nil || s.sites["a.test"].Plan != "business" {
		t.Fatalf("%v", sub)
	}
	var state *StateError
	if err := s.change("b.test", "business"); !errors.As(err, &state) {
		t.Errorf("an upgrade while an invoice is overdue: %v", err)
	}
	s.must(s.change("a.test", "pro"))
	s.must(s.revoke("a.test"))
	s.pass(14 * 24 * time.Hour)
	if sub := s.on("a.test", "business", ""); sub.GetState() != breakwaterv1.Subscription_DEGRADED ||
		s.sites["a.test"].Plan != "free" || s.sites["b.test"].Plan != "free" {
		t.Fatalf("%v %v", sub, s.sites)
	}
	if len(s.mails) != 3 {
		t.Errorf("letters: %v", s.mails)
	}
	// Another card pays at once, also what came meanwhile.
	s.pass(20 * 24 * time.Hour)
	s.till.card = "accept"
	s.must(s.ask(false))
	s.settle()
	if sub := s.on("a.test", "business", ""); sub.GetState() != breakwaterv1.Subscription_ACTIVE ||
		s.sites["a.test"].Plan != "business" || s.sites["b.test"].Plan != "pro" {
		t.Fatalf("%v %v", sub, s.sites)
	}
	if s.till.owes() {
		t.Error("something is still owed")
	}
	s.agrees()
}

func TestWriteOff(t *testing.T) {
	s := ready(t, "a.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.till.card = "decline"
	s.pass((31 + 14 + 60 + 1) * 24 * time.Hour)
	s.on("a.test", "free", "")
	if s.till.alive() != nil || s.till.owes() || s.record.GetStanding() != nil || len(s.record.GetSites()) != 0 {
		t.Errorf("%v %v", s.record, s.till.alive())
	}
	if len(s.mails) != 4 {
		t.Errorf("letters: %v", s.mails)
	}
	s.till.card = "accept"
	s.must(s.ask(false))
	s.settle()
	s.must(s.change("a.test", "pro"))
	s.settle()
	s.on("a.test", "pro", "")
	s.agrees()
}

func TestLateDowngradeIsGivenBack(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("b.test", "pro"))
	s.settle()
	charged := s.till.total()
	s.clock.Advance(s.record.GetSeen().GetPeriodEnd().AsTime().Add(-time.Minute).Sub(s.clock.Now()))
	s.must(s.change("a.test", "pro"))
	s.must(s.cancel("b.test"))
	s.clock.Advance(2 * time.Minute) // No work was done in time.
	s.settle()
	s.on("a.test", "pro", "")
	s.on("b.test", "free", "")
	if got := s.till.total() - charged; got != 22000 {
		t.Errorf("the renewal charged %d", got)
	}
	if len(s.till.credits) != 1 || s.till.credits[0] != 20000 {
		t.Errorf("credits %v", s.till.credits)
	}
	s.agrees()
	charged = s.till.total()
	s.pass(31 * 24 * time.Hour)
	if s.till.total() != charged {
		t.Error("the credit was not used")
	}
	s.agrees()
}

func TestRevokeTooLate(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("b.test", "pro"))
	s.settle()
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("a.test", "pro"))
	s.settle()
	end := s.record.GetSeen().GetPeriodEnd().AsTime()
	s.clock.Advance(end.Add(-4 * time.Minute).Sub(s.clock.Now()))
	var state *StateError
	if err := s.revoke("a.test"); !errors.As(err, &state) {
		t.Errorf("a revoke in the last minutes: %v", err)
	}
	if err := s.change("a.test", "business"); !errors.As(err, &state) {
		t.Errorf("the same by a change: %v", err)
	}
	s = ready(t, "a.test", "b.test")
	s.must(s.change("b.test", "pro"))
	s.settle()
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("a.test", "pro"))
	s.settle()
	s.clock.Advance(end.Add(-6 * time.Minute).Sub(s.clock.Now()))
	s.must(s.revoke("a.test"))
	s.clock.Advance(10 * time.Minute)
	s.settle()
	s.on("a.test", "pro", "")
	if s.sites["a.test"].Plan != "pro" || len(s.till.credits) > 0 {
		t.Errorf("%v, credits %v", s.sites["a.test"], s.till.credits)
	}
	s.agrees()
}
