package billing

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// TestDecisions is every decision in every state of a site.
func TestDecisions(t *testing.T) {
	end := shopOpens.AddDate(0, 1, 0)
	steady := func(plan string) *storev1.SiteSubscription {
		return &storev1.SiteSubscription{Plan: plan, NextPlan: plan}
	}
	falling := func(plan, next string) *storev1.SiteSubscription {
		return &storev1.SiteSubscription{Plan: plan, NextPlan: next, FallTime: stamp(end)}
	}
	var state *StateError
	var unknown *UnknownPlanError
	for _, c := range []struct {
		name, decision, plan string
		site                 *storev1.SiteSubscription
		edit                 func(*storev1.BillingRecord)
		now                  time.Time
		refused              any // A pointer for errors.As, an error for errors.Is; nil where it is taken.
		next, move           string
	}{
		{name: "the plan it has", decision: "change", plan: "pro", site: steady("pro"), refused: &state},
		{name: "not sold", decision: "change", plan: "gold", site: steady("pro"), refused: &unknown},
		{name: "dearer", decision: "change", plan: "business", site: steady("pro"), next: "pro", move: "business"},
		{name: "cheaper", decision: "change", plan: "pro", site: steady("business"), next: "pro"},
		{name: "free", decision: "change", plan: "free", site: steady("business"), next: "free"},
		{name: "cheaper still", decision: "change", plan: "free", site: falling("business", "pro"), next: "free"},
		{name: "less cheap", decision: "change", plan: "pro", site: falling("business", "free"), next: "pro"},
		{name: "as scheduled", decision: "change", plan: "free", site: falling("business", "free"), refused: &state},
		{name: "back", decision: "change", plan: "business", site: falling("business", "free"), next: "business"},
		{name: "restored, then dearer", decision: "change", plan: "enterprise", site: falling("business", "free"), next: "business", move: "enterprise"},
		{name: "less cheap too late", decision: "change", plan: "pro", site: falling("business", "free"), now: end.Add(-4 * time.Minute), refused: &state},
		{name: "dearer too late", decision: "change", plan: "enterprise", site: falling("business", "free"), now: end.Add(-4 * time.Minute), refused: &state},
		{name: "cheaper is never too late", decision: "change", plan: "free", site: steady("pro"), now: end.Add(-time.Second), next: "free"},
		{name: "dearer in the last minutes", decision: "change", plan: "business", site: steady("pro"), now: end.Add(-time.Second), next: "pro", move: "business"},
		{
			name: "no card", decision: "change", plan: "business", site: steady("pro"), refused: ErrPaymentMethodRequired,
			edit: func(rec *storev1.BillingRecord) { rec.Seen.PaymentMethod = nil },
		},
		{
			name: "cheaper without a card", decision: "change", plan: "free", site: steady("pro"), next: "free",
			edit: func(rec *storev1.BillingRecord) { rec.Seen.PaymentMethod = nil },
		},
		{
			name: "overdue", decision: "change", plan: "business", site: steady("pro"), refused: &state,
			edit: func(rec *storev1.BillingRecord) {
				rec.Standing = &storev1.Standing{State: breakwaterv1.Billing_PAST_DUE}
			},
		},
		{
			name: "cheaper while overdue", decision: "change", plan: "free", site: steady("pro"), next: "free",
			edit: func(rec *storev1.BillingRecord) {
				rec.Standing = &storev1.Standing{State: breakwaterv1.Billing_PAST_DUE}
			},
		},
		{
			name: "another site is being paid for", decision: "change", plan: "business", site: steady("pro"), refused: ErrChangeInProgress,
			edit: func(rec *storev1.BillingRecord) { rec.Move = &storev1.Move{Id: "m", Site: "b.test"} }, move: "b",
		},
		{
			name: "cheaper meanwhile", decision: "change", plan: "free", site: steady("pro"), next: "free",
			edit: func(rec *storev1.BillingRecord) { rec.Move = &storev1.Move{Id: "m", Site: "b.test", To: "b"} }, move: "b",
		},
		{
			name: "the site is being paid for", decision: "change", plan: "free", site: steady("pro"), refused: ErrChangeInProgress,
			edit: func(rec *storev1.BillingRecord) { rec.Move = &storev1.Move{Id: "m", Site: "a.test"} },
		},
		{
			name: "of another subscription", decision: "revoke", refused: &state,
			site: &storev1.SiteSubscription{Plan: "business", NextPlan: "free", FallTime: stamp(end.Add(-time.Hour))},
		},
		{name: "cancel", decision: "cancel", site: steady("pro"), next: "free"},
		{name: "cancel what falls to something", decision: "cancel", site: falling("business", "pro"), next: "free"},
		{name: "cancel again", decision: "cancel", site: falling("pro", "free"), refused: &state},
		{name: "cancel nothing", decision: "cancel", site: nil, refused: &state},
		{name: "cancel late", decision: "cancel", site: steady("pro"), now: end.Add(-time.Second), next: "free"},
		{
			name: "cancel what fell", decision: "cancel", site: falling("business", "free"), now: end, refused: &state,
		},
		{name: "revoke", decision: "revoke", site: falling("pro", "free"), next: "pro"},
		{name: "revoke nothing", decision: "revoke", site: steady("pro"), refused: &state},
		{name: "revoke too late", decision: "revoke", site: falling("pro", "free"), now: end.Add(-5 * time.Minute), refused: &state},
		{name: "revoke just in time", decision: "revoke", site: falling("pro", "free"), now: end.Add(-5*time.Minute - time.Second), next: "pro"},
		{name: "revoke what fell", decision: "revoke", site: falling("pro", "free"), now: end, refused: &state},
		{
			name: "revoke without a subscription", decision: "revoke", site: falling("pro", "free"), refused: &state,
			edit: func(rec *storev1.BillingRecord) { rec.Subscription = "" },
		},
		{name: "delete", decision: "delete", site: steady("pro"), next: "free"},
		{name: "delete what falls", decision: "delete", site: falling("business", "pro"), next: "free"},
		{name: "delete again", decision: "delete", site: falling("pro", "free"), next: "free"},
		{name: "delete nothing", decision: "delete", site: nil},
	} {
		t.Run(c.decision+" "+c.name, func(t *testing.T) {
			s := newShop(t, "a.test", "b.test")
			s.record = &storev1.BillingRecord{
				Account: account, Customer: "cus", Subscription: "sub", Generation: 7,
				Sites: map[string]*storev1.SiteSubscription{"b.test": steady("pro")},
				Seen: &storev1.Observation{
					Status: string(Active), PeriodStart: stamp(shopOpens), PeriodEnd: stamp(end),
					PaymentMethod: &breakwaterv1.Billing_PaymentMethod{Type: "card"},
				},
			}
			if c.site != nil {
				s.record.Sites["a.test"] = c.site
				s.sites["a.test"].Plan = c.site.GetPlan()
			}
			if c.edit != nil {
				c.edit(s.record)
			}
			if !c.now.IsZero() {
				s.clock.Advance(c.now.Sub(s.clock.Now()))
			}
			before := proto.CloneOf(s.record)
			var err error
			switch c.decision {
			case "change":
				err = s.change("a.test", c.plan)
			case "cancel":
				err = s.cancel("a.test")
			case "revoke":
				err = s.revoke("a.test")
			case "delete":
				err = s.decide(func(tx Tx) error { return s.engine.SiteDeleted(tx, "a.test") })
			}
			if c.refused != nil {
				is := false
				switch want := c.refused.(type) {
				case error:
					is = errors.Is(err, want)
				default:
					is = err != nil && errors.As(err, want)
				}
				if !is || !proto.Equal(before, s.record) || len(s.audits) > 0 {
					t.Errorf("%v, %v, %v", err, s.record, s.audits)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := s.record.GetSites()["a.test"]
			if got.GetNextPlan() != c.next || s.record.GetMove().GetTo() != c.move || got.GetPlan() != c.site.GetPlan() {
				t.Errorf("%v", s.record)
			}
			if got.GetPlan() != got.GetNextPlan() && !at(got.GetFallTime()).Equal(end) {
				t.Errorf("it falls at %v", got.GetFallTime())
			}
			if got != nil {
				got.Gone = false // Which is noted of a site that falls already, too.
			}
			if !proto.Equal(before, s.record) && (len(s.audits) == 0 || s.works == 0 || s.record.GetGeneration() <= 7) {
				t.Errorf("audited %q, asked for work %d times: %v", s.audits, s.works, s.record)
			}
		})
	}
}

// TestSubmit is what a move may find when it is about to be made.
func TestSubmit(t *testing.T) {
	end := shopOpens.AddDate(0, 1, 0)
	for _, c := range []struct {
		name   string
		edit   func(*storev1.BillingRecord)
		action action
		op     operation
		why    string
	}{
		{"an upgrade", func(*storev1.BillingRecord) {}, begin, opUpgrade, ""},
		{"a first one", func(rec *storev1.BillingRecord) {
			rec.Subscription, rec.Move.Subscription, rec.Seen.Status = "", "", ""
		}, begin, opCreateSubscription, ""},
		{"old news", func(rec *storev1.BillingRecord) { rec.Seen.Time = stamp(shopOpens.Add(-time.Second)) }, ask, "", ""},
		{"given up", func(rec *storev1.BillingRecord) { rec.Move.Abandon = true }, failMove, "", ""},
		{"overdue", func(rec *storev1.BillingRecord) {
			rec.Standing = &storev1.Standing{State: breakwaterv1.Billing_PAST_DUE, DegradeTime: stamp(end)}
		}, failMove, "", "overdue"},
		{"no card", func(rec *storev1.BillingRecord) { rec.Seen.PaymentMethod = nil }, failMove, "", "payment method"},
		{"less credit", func(rec *storev1.BillingRecord) {
			rec.Move.Quoted, rec.Move.Balance = true, -500
		}, failMove, "", "credit"},
		{"another subscription", func(rec *storev1.BillingRecord) { rec.Move.Subscription = "old" }, failMove, "", "subscription"},
		{"no subscription", func(rec *storev1.BillingRecord) { rec.Subscription = "" }, failMove, "", "subscription"},
		{"a new month", func(rec *storev1.BillingRecord) {
			rec.Move.ProrationTime = stamp(shopOpens.Add(-time.Hour))
		}, failMove, "", "month"},
		{"the month's end first", func(rec *storev1.BillingRecord) { rec.Move.ProrationTime = stamp(end) }, nothing, "", ""},
		{"other news first", func(rec *storev1.BillingRecord) {
			rec.Sites["b.test"] = &storev1.SiteSubscription{Plan: "pro", NextPlan: "pro"}
		}, begin, opQuantities, ""},
		{"an end that is off first", func(rec *storev1.BillingRecord) { rec.Seen.CancelAtPeriodEnd = true }, begin, opCancelAtPeriodEnd, ""},
		{"details first", func(rec *storev1.BillingRecord) { rec.DetailsNumber = 1 }, begin, opUpdateCustomer, ""},
		{"strays first", func(rec *storev1.BillingRecord) { rec.Strays = []string{"sub_2"} }, begin, opCancel, ""},
		{"too late", func(rec *storev1.BillingRecord) {
			rec.Move.CreateTime = stamp(shopOpens.Add(-moveLife))
		}, failMove, "", "in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newShop(t)
			rec := &storev1.BillingRecord{
				Account: account, Customer: "cus", Subscription: "sub",
				Sites: map[string]*storev1.SiteSubscription{"a.test": {Plan: "pro", NextPlan: "pro"}},
				Move: &storev1.Move{
					Id: "m", Site: "a.test", From: "pro", To: "business", Subscription: "sub",
					CreateTime: stamp(shopOpens), ProrationTime: stamp(shopOpens),
				},
				Seen: &storev1.Observation{
					Time: stamp(shopOpens), Status: string(Active), PeriodStart: stamp(shopOpens), PeriodEnd: stamp(end),
					PaymentMethod: &breakwaterv1.Billing_PaymentMethod{Type: "card"}, Quantities: Quantities{"pro": 1},
				},
			}
			c.edit(rec)
			got := s.engine.rules.next(rec, shopOpens)
			if got.action != c.action || got.operation != c.op || !strings.Contains(got.reason, c.why) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestNoHarmOnOldNews has a customer pay while webhooks are lost.
func TestNoHarmOnOldNews(t *testing.T) {
	for _, harm := range []struct {
		name  string
		after time.Duration
		want  breakwaterv1.Billing_Standing
	}{
		{"degrading", 31*24*time.Hour + 2*time.Hour, breakwaterv1.Billing_PAST_DUE},
		{"writing off", (31+14)*24*time.Hour + 2*time.Hour, breakwaterv1.Billing_DEGRADED},
	} {
		s := ready(t, "a.test")
		s.must(s.change("a.test", "pro"))
		s.settle()
		s.till.card = "decline"
		s.pass(harm.after)
		if got := standing(s.record); got != harm.want {
			t.Fatalf("%s: %v", harm.name, got)
		}
		s.till.payOwed()
		for s.till.owes() || standing(s.record) != breakwaterv1.Billing_GOOD {
			s.till.payOwed() // The months that follow, too.
			s.pass(24 * time.Hour)
			if s.clock.Now().Sub(shopOpens) > 110*24*time.Hour {
				break
			}
		}
		if s.sites["a.test"].Plan != "pro" || s.record.GetSites()["a.test"].GetPlan() != "pro" {
			t.Errorf("%s: %v, %v", harm.name, s.sites["a.test"], s.record)
		}
		for _, a := range s.audits {
			if harm.want == breakwaterv1.Billing_PAST_DUE && strings.Contains(a, "overdue for too long") || strings.Contains(a, "written off") {
				t.Errorf("%s: %s", harm.name, a)
			}
		}
	}
}

// TestPaidThoughGivenUp has the customer give a payment up in the moment in which it is made.
func TestPaidThoughGivenUp(t *testing.T) {
	for _, first := range []bool{true, false} {
		for _, deleted := range []bool{true, false} {
			s := ready(t, "a.test")
			before := "free"
			if !first {
				s.must(s.change("a.test", "pro"))
				s.settle()
				before = "pro"
			}
			s.till.card = "action"
			s.must(s.change("a.test", "business"))
			s.settle()
			s.till.confirm(true)
			next := before
			if deleted {
				s.sites["a.test"].Deleted = true
				s.must(s.decide(func(tx Tx) error { return s.engine.SiteDeleted(tx, "a.test") }))
				next = "free"
			} else {
				s.must(s.cancel("a.test"))
			}
			s.till.card = "accept"
			s.settle()
			s.on("a.test", "business", next)
			s.agrees()
			s.pass(32 * 24 * time.Hour)
			s.on("a.test", next, "")
			s.agrees()
		}
	}
}
