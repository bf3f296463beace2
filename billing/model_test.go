package billing

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// TestAnyLife plays random lives: decisions, cards that fail, answers and transactions that
// get lost, webhooks at any time, clocks that jump. What must hold at every step and whenever
// nothing is left to be done is written in life.
func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLife(t, rt)
		actions := map[string]func(*rapid.T){
			"change": l.change, "quoted": l.quoted, "cancel": l.cancel, "revoke": l.revoke, "delete": l.delete,
			"card": l.card, "confirm": l.confirm, "webhook": l.webhook, "wait": l.wait, "late": l.late,
			"reconcile": l.reconcile, "work": l.work, "calm": func(*rapid.T) { l.calm() }, "ended": l.ended,
			"purge": l.purge, "close": l.close, "lose": l.lose,
		}
		rt.Repeat(actions)
		l.calm()
		l.shop.till.card = "accept"
		l.must(l.shop.quiet(func() error { return l.shop.ask(false) }))
		l.shop.pass(40 * 24 * time.Hour)
		l.calm()
	})
}

// life is a shop, and what must hold of it.
type life struct {
	*testing.T
	rt    *rapid.T
	shop  *shop
	sites []string
	dice  *rand.Rand
	// faults is how many of a hundred steps fail.
	faults int
	keys   map[string]bool
	// credited is what was noted to be given back for each invoice.
	credited map[string]int64
	// purged says that what was paid for was thrown away.
	purged bool
}

func newLife(t *testing.T, rt *rapid.T) *life {
	t.Helper()
	l := &life{
		T: t, rt: rt, sites: []string{"a.test", "b.test", "c.test"},
		dice:   rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 7)),
		faults: rapid.SampledFrom([]int{0, 10, 30}).Draw(rt, "faults"),
		keys:   map[string]bool{}, credited: map[string]int64{},
	}
	l.shop = newShop(rt, l.sites...)
	l.shop.check, l.shop.lowered = l.stored, l.lowered
	l.shop.setFault(func(string) error {
		switch n := l.dice.IntN(100); {
		case n < l.faults/4:
			return errBroken
		case n < l.faults:
			return errLost
		}
		return nil
	})
	l.must(l.shop.quiet(func() error { return l.shop.ask(true) }))
	l.calm()
	return l
}

func (l *life) must(err error) {
	if err != nil {
		l.rt.Fatalf("%v", err)
	}
}

// stored checks what one transaction may do.
func (l *life) stored(before, after *storev1.BillingRecord) {
	rules := l.shop.engine.rules
	if after.GetGeneration() < before.GetGeneration() || after.GetCalls() < before.GetCalls() || after.GetAsked() < before.GetAsked() {
		l.rt.Fatalf("a count went back: %v, then %v", before, after)
	}
	if m, n := before.GetMove(), after.GetMove(); m != nil && n != nil && m.GetId() != n.GetId() {
		l.rt.Fatalf("two moves: %v, then %v", m, n)
	}
	if c := after.GetCall(); c != nil && c.GetKey() != before.GetCall().GetKey() {
		if before.GetCall() != nil || l.keys[c.GetKey()] {
			l.rt.Fatalf("a call without end, or a key again: %v, then %v", before.GetCall(), c)
		}
		l.keys[c.GetKey()] = true
	}
	for _, c := range after.GetCredits() {
		if slices.ContainsFunc(before.GetCredits(), func(b *storev1.Credit) bool { return b.GetId() == c.GetId() }) {
			continue
		}
		if _, twice := l.credited[c.GetInvoice()]; twice || c.GetInvoice() == "" || c.GetAmount() <= 0 {
			l.rt.Fatalf("a credit that may not be: %v", c)
		}
		l.credited[c.GetInvoice()] = c.GetAmount()
	}
	for domain, s := range after.GetSites() {
		if s.GetPlan() != s.GetNextPlan() && s.GetFallTime() == nil {
			l.rt.Fatalf("%s never falls: %v", domain, s)
		}
		if rules.plans.price(s.GetNextPlan()) > rules.plans.price(s.GetPlan()) {
			l.rt.Fatalf("%s gets for nothing: %v", domain, s)
		}
		if s.GetRestorePlan() != "" && (s.GetNextPlan() != "free" || s.GetPlan() == "free" || rules.plans.price(s.GetRestorePlan()) > rules.plans.price(s.GetPlan())) {
			l.rt.Fatalf("%s would get back what it had not: %v", domain, s)
		}
	}
}

// lowered checks that nothing is taken away before its time.
func (l *life) lowered(before *storev1.BillingRecord, domain, from, to string) {
	now := l.shop.clock.Now()
	s := before.GetSites()[domain]
	switch {
	case standing(before) == breakwaterv1.Billing_DEGRADED:
	case due(at(s.GetFallTime()), now), due(at(before.GetSeen().GetPeriodEnd()), now):
	case s.GetEntitledPlan() != "": // It fell before, and this carries it out.
	default:
		l.rt.Fatalf("%s lost %s for %s at %v: %v", domain, from, to, now, before)
	}
}

// refusal lets pass what a customer may be told.
func (l *life) refusal(err error) {
	var state *StateError
	var unknown *UnknownPlanError
	switch {
	case err == nil, errors.As(err, &state), errors.As(err, &unknown), errors.Is(err, ErrChangeInProgress),
		errors.Is(err, ErrPaymentMethodRequired), errors.Is(err, ErrQuoteStale), errors.Is(err, ErrQuoteExpired), errors.Is(err, ErrRetry):
	default:
		l.rt.Fatalf("%v", err)
	}
}

func (l *life) site() string { return rapid.SampledFrom(l.sites).Draw(l.rt, "site") }
func (l *life) plan() string {
	return rapid.SampledFrom([]string{"free", "pro", "business", "enterprise"}).Draw(l.rt, "plan")
}

func (l *life) change(*rapid.T) { l.refusal(l.shop.change(l.site(), l.plan())); l.maybeWork() }

func (l *life) quoted(*rapid.T) {
	site, plan := l.site(), l.plan()
	q, err := l.shop.engine.Preview(l.Context(), account, site, plan)
	if err != nil {
		l.refusal(err)
		return
	}
	l.advance(time.Duration(rapid.IntRange(0, 20).Draw(l.rt, "minutes")) * time.Minute)
	if rapid.Bool().Draw(l.rt, "work") {
		l.settleOnce()
	}
	other := l.shop.record.GetMove() != nil
	before := len(l.shop.till.invoices)
	err = l.shop.quiet(func() error {
		return l.shop.decide(func(tx Tx) error { return l.shop.engine.Change(tx, site, plan, q.Token) })
	})
	l.refusal(err)
	if err != nil || other || l.shop.till.card != "accept" {
		return
	}
	l.calm()
	charged := int64(0)
	for _, i := range l.shop.till.invoices[before:] {
		if i.Reason != ReasonCycle {
			charged += i.AmountPaid
		}
	}
	// What was quoted is charged, or nothing. (The balance may change between.)
	if sub := l.shop.engine.Subscription(l.shop.record, site, *l.shop.sites[site]); sub.GetPlan() == plan && sub.GetFailure() == "" {
		if charged > q.DueNow {
			l.rt.Fatalf("charged %d for a quote of %d", charged, q.DueNow)
		}
	}
}

func (l *life) cancel(*rapid.T) { l.refusal(l.shop.cancel(l.site())); l.maybeWork() }
func (l *life) revoke(*rapid.T) { l.refusal(l.shop.revoke(l.site())); l.maybeWork() }

func (l *life) delete(*rapid.T) {
	site := l.site()
	l.shop.sites[site].Deleted = !l.shop.sites[site].Deleted
	end := l.shop.engine.SiteRestored
	if l.shop.sites[site].Deleted {
		end = l.shop.engine.SiteDeleted
	}
	l.must(l.shop.quiet(func() error { return l.shop.decide(func(tx Tx) error { return end(tx, site) }) }))
	l.maybeWork()
}

// lose takes a domain away, or gives it back.
func (l *life) lose(*rapid.T) {
	site, back := l.site(), rapid.Bool().Draw(l.rt, "back")
	l.must(l.shop.quiet(func() error {
		return l.shop.decide(func(tx Tx) error {
			if back && !l.shop.sites[site].Deleted {
				return l.shop.engine.SiteRestored(tx, site)
			}
			return l.shop.engine.SiteLost(tx, site, "as the test says", tx.Now())
		})
	}))
	l.maybeWork()
}

// purge throws a site away, and begins it anew.
func (l *life) purge(*rapid.T) {
	if rapid.IntRange(0, 9).Draw(l.rt, "rare") > 0 {
		return
	}
	site := l.site()
	l.purged = true
	l.must(l.shop.quiet(func() error {
		return l.shop.decide(func(tx Tx) error { return l.shop.engine.SitePurged(tx, site) })
	}))
	l.shop.sites[site] = &SiteState{Plan: "free"}
	l.maybeWork()
}

// close deletes the account, or brings it back.
func (l *life) close(*rapid.T) {
	if rapid.IntRange(0, 4).Draw(l.rt, "rare") > 0 {
		return
	}
	end := l.shop.engine.AccountDeleted
	if l.shop.record.GetClosed() {
		end = l.shop.engine.AccountRestored
	}
	l.refusal(l.shop.decide(end))
	l.maybeWork()
}

func (l *life) card(*rapid.T) {
	l.shop.till.card = rapid.SampledFrom([]string{"accept", "accept", "decline", "action", "none"}).Draw(l.rt, "card")
	if rapid.Bool().Draw(l.rt, "told") {
		l.webhook(nil)
	}
}

func (l *life) confirm(*rapid.T) {
	if rapid.Bool().Draw(l.rt, "owed") {
		l.shop.till.payOwed()
	} else {
		l.shop.till.confirm(rapid.Bool().Draw(l.rt, "works"))
	}
	if rapid.Bool().Draw(l.rt, "told") {
		l.webhook(nil)
	}
}

func (l *life) webhook(*rapid.T) { l.refusal(l.shop.ask(false)); l.maybeWork() }

// wait lets time pass, mostly as it does where work is done, sometimes where it is not.
func (l *life) wait(*rapid.T) {
	d := time.Duration(rapid.SampledFrom([]int{1, 7, 60, 60 * 24, 60 * 24 * 9}).Draw(l.rt, "minutes")) * time.Minute
	if rapid.IntRange(0, 3).Draw(l.rt, "outage") == 0 {
		l.advance(d)
		return
	}
	faults := l.faults
	l.faults = 0
	l.shop.pass(d)
	l.faults = faults
}

// late goes to the minutes around the end of the period.
func (l *life) late(*rapid.T) {
	end := l.shop.record.GetSeen().GetPeriodEnd().AsTime()
	d := end.Sub(l.shop.clock.Now()) - time.Duration(rapid.SampledFrom([]int{20, 6, 2, -1}).Draw(l.rt, "before"))*time.Minute
	if d < 0 || l.shop.record.GetSeen().GetPeriodEnd() == nil {
		return
	}
	faults := l.faults
	l.faults = 0
	l.shop.pass(d)
	l.faults = faults
}

func (l *life) reconcile(*rapid.T) {
	_, err := l.shop.engine.Reconcile(l.Context(), account, rapid.Bool().Draw(l.rt, "repair"))
	l.refusal(err)
}

// ended is somebody ending the subscription at the provider, which is rare.
func (l *life) ended(*rapid.T) {
	sub := l.shop.till.alive()
	if sub == nil || sub.Status == Incomplete || rapid.IntRange(0, 9).Draw(l.rt, "rare") > 0 {
		return
	}
	l.calm()
	if sub = l.shop.till.alive(); sub == nil || sub.Status == Incomplete {
		return
	}
	if sub.Pending != nil {
		l.shop.till.void(sub.Latest)
	}
	sub.Status = Canceled
}

func (l *life) work(*rapid.T) { l.settleOnce() }

func (l *life) maybeWork() {
	if rapid.Bool().Draw(l.rt, "work") {
		l.settleOnce()
	}
}

func (l *life) settleOnce() {
	_, err := l.shop.engine.Settle(l.Context(), account)
	l.refusal(err)
}

func (l *life) advance(d time.Duration) { l.shop.clock.Advance(d) }

// calm works without faults until nothing is left to be done, and checks what must hold then.
func (l *life) calm() {
	faults := l.faults
	l.faults = 0
	defer func() { l.faults = faults }()
	s := l.shop
	l.must(s.ask(false)) // Whatever webhook was lost, a reconciliation comes.
	s.settle()
	s.agrees()
	// What is billed for the period is what the sites have, but for what was given back.
	given, billed := Quantities{}, int64(0)
	for _, site := range s.record.GetSites() {
		s.engine.rules.plans.add(given, site.GetPlan(), 1)
	}
	for _, sub := range s.till.subs {
		if sub.Status.Over() && !s.clock.Now().Before(sub.PeriodEnd) || s.record.GetStanding().GetWrittenOff() {
			continue
		}
		billed += s.engine.rules.plans.value(sub.covered)
		if i := l.cycle(sub); i != nil {
			billed -= l.credited[i.ID]
		}
	}
	wroteOff := slices.ContainsFunc(s.audits, func(a string) bool { return strings.Contains(a, "written off") })
	if want := s.engine.rules.plans.value(given); want != billed && !wroteOff && (!l.purged || want > billed) {
		l.rt.Fatalf("billed for %d, and given %v: %v", billed, given, s.record)
	}
	for domain, site := range s.record.GetSites() {
		if want := s.engine.rules.effective(s.record, site); s.sites[domain].Plan != want {
			l.rt.Fatalf("%s has %s, not %s", domain, s.sites[domain].Plan, want)
		}
	}
	var owing int64
	for _, c := range s.record.GetCredits() {
		owing += c.GetAmount()
	}
	for _, c := range s.till.credits {
		owing += c
	}
	var noted int64
	for _, c := range l.credited {
		noted += c
	}
	if owing > noted {
		l.rt.Fatalf("given back %d, and only %d were billed too much", owing, noted)
	}
}

// cycle is the invoice of the newest renewal; nil before the first.
func (l *life) cycle(sub *tillSub) *Invoice {
	for _, i := range slices.Backward(l.shop.till.invoices) {
		if i.Subscription == sub.ID && i.Reason == ReasonCycle {
			return i
		}
	}
	return nil
}
