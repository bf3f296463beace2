package billing

import (
	"testing"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// two is a shop with a site on business and one on pro.
func two(t *testing.T) *shop {
	t.Helper()
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "business"))
	s.settle()
	s.must(s.change("b.test", "pro"))
	s.settle()
	return s
}

// before goes to a time before the end of the period, without any work.
func (s *shop) before(d time.Duration) {
	s.clock.Advance(s.record.GetSeen().GetPeriodEnd().AsTime().Add(-d).Sub(s.clock.Now()))
}

func TestLateByMonths(t *testing.T) {
	s := two(t)
	s.before(time.Minute)
	s.must(s.change("a.test", "pro"))
	s.clock.Advance(65 * 24 * time.Hour)
	s.settle()
	s.on("a.test", "pro", "")
	if len(s.till.credits) != 3 || s.till.credits[0] != 18000 || s.till.credits[1] != 18000 || s.till.credits[2] != 18000 {
		t.Errorf("credits %v", s.till.credits)
	}
	s.agrees()
}

func TestNothingIsGivenBackThatWasNotTaken(t *testing.T) {
	for _, end := range []string{"paid", "void"} {
		s := two(t)
		s.till.card = "decline"
		s.before(time.Minute)
		s.must(s.change("a.test", "pro"))
		s.clock.Advance(2 * time.Minute)
		s.settle()
		if len(s.till.credits) != 0 || len(s.record.GetCredits()) != 1 {
			t.Fatalf("given back %v before anything was paid: %v", s.till.credits, s.record)
		}
		if end == "void" {
			s.till.void(s.till.invoices[len(s.till.invoices)-1])
		} else {
			s.till.payOwed()
		}
		s.must(s.ask(false))
		s.settle()
		if len(s.record.GetCredits()) != 0 || (len(s.till.credits) == 1) != (end == "paid") {
			t.Errorf("%s: given back %v", end, s.till.credits)
		}
	}
}

func TestConfirmedJustBeforeTheRenewal(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := two(t)
		s.till.card = "action"
		s.before(20 * time.Minute)
		s.must(s.ask(false))
		s.must(s.change("b.test", "business"))
		s.settle()
		s.must(s.change("a.test", "pro")) // It can't be told while the payment waits.
		s.settle()
		s.till.confirm(true)
		s.till.card = "accept"
		wait := 40 * time.Minute
		if late {
			wait += 62 * 24 * time.Hour
		}
		s.clock.Advance(wait) // Nobody heard of it.
		s.settle()
		s.on("b.test", "business", "")
		s.on("a.test", "pro", "")
		want := 1
		if late {
			want = 3
		}
		if len(s.till.credits) != want || s.till.credits[0] != 18000 {
			t.Errorf("credits %v", s.till.credits)
		}
		s.agrees()
	}
}

// TestRevokedWhileBeingTold has a fall taken back while the provider is being told of it, and
// the provider out of reach from then on until after the renewal.
func TestRevokedWhileBeingTold(t *testing.T) {
	for _, when := range []string{"before ", "after "} {
		s := two(t)
		s.before(time.Hour)
		calls := 0
		s.till.fault = func(point string) error {
			if point != when+"SetQuantities" && point != "before SetQuantities" {
				return nil
			}
			if point == when+"SetQuantities" {
				calls++
			}
			switch {
			case calls == 1 && point == when+"SetQuantities":
				return s.revoke("a.test")
			case calls > 0 && point == "before SetQuantities":
				return errLost
			}
			return nil
		}
		s.must(s.change("a.test", "pro"))
		for range 20 {
			_, _ = s.engine.Settle(t.Context(), account)
		}
		s.clock.Advance(2 * time.Hour)
		for range 20 {
			_, _ = s.engine.Settle(t.Context(), account)
		}
		s.till.fault = func(string) error { return nil }
		s.settle()
		s.on("a.test", "pro", "")
		if len(s.till.credits) != 0 || s.sites["a.test"].Plan != "pro" {
			t.Errorf("%s: credits %v, %v", when, s.till.credits, s.sites["a.test"])
		}
		s.agrees()
	}
}

// TestOldAnswer has the answer of a call repeated after the world went on.
func TestOldAnswer(t *testing.T) {
	s := two(t)
	s.till.card = "action"
	lost := false
	s.till.fault = func(point string) error {
		if point == "after Upgrade" && !lost {
			lost = true
			return errLost
		}
		return nil
	}
	s.must(s.change("b.test", "business"))
	if _, err := s.engine.Settle(t.Context(), account); err == nil || !lost {
		t.Fatal("the answer was not lost")
	}
	s.till.confirm(true)
	s.settle()
	s.on("b.test", "business", "")
	s.agrees()
}

// TestAnswerToAForgottenCall comes when another call is under way already.
func TestAnswerToAForgottenCall(t *testing.T) {
	s := two(t)
	s.record.Call = &storev1.ProviderCall{Operation: string(opVoid), Key: "new", FirstTime: stamp(s.clock.Now()), Request: []byte("{}")}
	run := settling{Engine: s.engine, account: account}
	old := &storev1.BillingRecord{Account: account, Call: &storev1.ProviderCall{Key: "old"}}
	s.must(run.finish(t.Context(), old, func(Tx) error {
		t.Error("it was taken in")
		return nil
	}))
	if s.record.GetCall().GetKey() != "new" {
		t.Error("the call under way was forgotten")
	}
}

// TestToldInTime has one fall taken back in time, without an answer, and another one too late.
func TestToldInTime(t *testing.T) {
	s := two(t)
	s.till.fresh = true
	s.must(s.change("a.test", "pro"))
	s.must(s.cancel("b.test"))
	s.settle()
	s.before(30 * time.Minute)
	silent := true
	s.till.fault = func(point string) error {
		if silent && point == "after SetQuantities" {
			return errLost
		}
		return nil
	}
	s.must(s.revoke("a.test"))
	if _, err := s.engine.Settle(t.Context(), account); err == nil {
		t.Fatal("the answer was not lost")
	}
	s.must(s.revoke("b.test"))
	s.before(-time.Minute)
	silent = false
	s.settle()
	s.on("a.test", "business", "")
	s.on("b.test", "free", "")
	if len(s.till.credits) != 0 || s.sites["a.test"].Plan != "business" || s.sites["b.test"].Plan != "free" {
		t.Errorf("credits %v, %v, %v", s.till.credits, s.sites["a.test"], s.sites["b.test"])
	}
	s.agrees()
}

// TestOldNews has another replica get on with the work, or a webhook come, while the provider
// is being asked.
func TestOldNews(t *testing.T) {
	s := two(t)
	s.till.card = "action"
	s.must(s.ask(false))
	s.settle()
	once := true
	s.till.fault = func(point string) error {
		if once && point == "after reading Subscription" {
			once = false
			s.settle()
		}
		return nil
	}
	s.clock.Advance(time.Minute)
	s.must(s.change("b.test", "business"))
	s.settle()
	s.on("b.test", "pro", "business")
	if once || s.till.calls[len(s.till.calls)-1] != "Upgrade" {
		t.Errorf("calls: %v", s.till.calls)
	}
	s.must(s.cancel("b.test"))
	s.settle()

	once = true
	s.till.fault = func(point string) error {
		if once && point == "after reading Subscription" {
			once = false
			s.till.card = "accept"
			return s.ask(false)
		}
		return nil
	}
	s.must(s.ask(false))
	s.settle()
	if got := s.record.GetSeen().GetPaymentMethod().GetLast4(); got != "4242" {
		t.Errorf("the card that came meanwhile was not seen: %s", got)
	}
	s.agrees()
}
