package timelines

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// TestTimelines runs random timelines: some in a test, 10,000 with BREAKWATER_SOAK.
func TestTimelines(t *testing.T) {
	checks := "200"
	if os.Getenv("BREAKWATER_SOAK") != "" {
		checks = "10000"
	} else if asked := flag.Lookup("rapid.checks").Value.String(); asked != "100" {
		checks = asked
	}
	if os.Getenv("BREAKWATER_SOAK") == "" && flag.Lookup("rapid.seed").Value.String() == "0" {
		// The same ones every time: new ones are looked for where somebody waits for them.
		if err := flag.Set("rapid.seed", "2013"); err != nil {
			t.Fatal(err)
		}
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	total := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) { timeline(t.Context(), rt, total) })
	t.Logf("%v", total)
}

func timeline(ctx context.Context, rt *rapid.T, total map[string]int) {
	start := time.Date(2013, 1, 1, 9, 0, 0, 0, time.UTC).Add(time.Duration(between(rt, 0, 59*24, "start")) * time.Hour)
	w := newWorld(ctx, rt, start, uint64(between(rt, 0, 1<<30, "seed")), stripetest.Config{
		AfterRetries: choose(rt, []string{"past_due", "unpaid"}, "after"),
	}, between(rt, 1, 2, "accounts"), between(rt, 1, 4, "sites"))
	a := &actor{world: w, rt: rt}
	faulty := choose(rt, []int{0, 0, 5, 20, 50}, "faulty")
	deadly := choose(rt, []int{0, 0, 2, 10}, "deadly")
	for _, name := range w.names {
		a.signUp(name)
	}
	a.prompt = choose(rt, []int{10, 70, 95}, "prompt")
	for range between(rt, 0, 3, "bought") {
		name := choose(rt, w.names, "buyer")
		a.change(name)
		a.settle(name, true)
	}
	w.faulty, w.deadly = faulty, deadly
	kinds := a.kinds()
	for range between(rt, 5, 60, "length") {
		kind := choose(rt, kinds, "do")
		name := choose(rt, w.names, "account")
		kind.do(name)
		a.work(name)
		total[kind.name]++
	}
	w.calm(3)
	if between(rt, 0, 9, "owes") > 0 {
		w.pay()
		w.calm(3)
	} else {
		w.calm(90)
	}
	w.check()
	for name, n := range w.counts {
		total[name] += n
	}
	total["timelines"]++
}

// between draws a number that is as likely as any other: rapid's own favour small ones, and
// timelines would be short and quiet.
func between(rt *rapid.T, low, high int, label string) int {
	return rapid.Custom(func(rt *rapid.T) int {
		n := uint64(0)
		for range 32 {
			n <<= 1
			if rapid.Bool().Draw(rt, "bit") {
				n |= 1
			}
		}
		return low + int(n%uint64(high-low+1))
	}).Draw(rt, label)
}

func choose[T any](rt *rapid.T, from []T, label string) T {
	return from[between(rt, 0, len(from)-1, label)]
}

// actor does what rapid draws.
type actor struct {
	*world
	rt *rapid.T
	// prompt is how many of a hundred decisions the outbox works on at once.
	prompt int
}

// work runs the outbox, as it does at once where it is not behind.
func (a *actor) work(account string) {
	if between(a.rt, 0, 99, "prompt") < a.prompt {
		a.settle(account, false)
	}
}

type kind struct {
	name string
	do   func(account string)
}

// kinds are what may happen; what is there more often happens more often.
func (a *actor) kinds() []kind {
	var all []kind
	add := func(weight int, name string, do func(account string)) {
		for range weight {
			all = append(all, kind{name, do})
		}
	}
	// A deleted account is nobody's to change.
	decides := func(do func(account string)) func(string) {
		return func(account string) {
			if !a.oracle[account].closed {
				do(account)
			}
		}
	}
	add(12, "change", decides(a.change))
	add(3, "cancel", decides(a.cancel))
	add(3, "revoke", decides(a.revoke))
	add(1, "delete", decides(a.remove))
	add(2, "undelete", decides(a.undelete))
	add(1, "lose", a.lose)
	add(2, "prove", a.prove)
	add(1, "close", decides(a.close))
	add(3, "reopen", a.reopen)
	add(1, "purge", a.purge)
	add(1, "create", decides(a.create))
	add(1, "card", a.card)
	add(1, "good card", a.good)
	add(2, "customer acts", a.act)
	add(1, "customer pays", a.payOpen)
	add(12, "settle", func(string) {
		for _, name := range a.names {
			a.settle(name, false)
		}
	})
	add(2, "settle at once", func(account string) { a.settle(account, true) })
	add(5, "webhooks", a.webhooks)
	add(3, "seconds", func(string) { a.live(time.Duration(between(a.rt, 1, 3000, "s")) * time.Second) })
	add(3, "hours", func(string) { a.live(time.Duration(between(a.rt, 1, 30, "h")) * time.Hour) })
	add(3, "days", func(string) { a.live(time.Duration(between(a.rt, 1, 20, "d")) * 24 * time.Hour) })
	add(5, "to the period's end", a.toTheEnd)
	add(1, "outage", func(string) { a.down = !a.down })
	add(1, "reconcile", a.reconcile)
	add(2, "race", decides(a.race))
	return all
}

// signUp gives an account its customer and, mostly, a card.
func (a *actor) signUp(account string) {
	a.decide(account, "wants a customer", func(tx billing.Tx) error { return a.engine.Ask(tx, true) })
	a.settle(account, true)
	if between(a.rt, 0, 9, "carded") > 0 {
		a.good(account)
	} else {
		a.card(account)
	}
}

// good gives an account a card that accepts, and has it known.
func (a *actor) good(account string) {
	if id := a.customer(account); id != "" {
		a.say("%s: enters a good card", account)
		if _, err := a.fake.AddCard(id, stripetest.Card{Last4: fmt.Sprintf("%04d", a.dice.IntN(10000))}); err != nil {
			a.Fatalf("%v", err)
		}
	}
	a.decide(account, "asks", func(tx billing.Tx) error { return a.engine.Ask(tx, true) })
	a.settle(account, false)
}

// live lets time pass while the outbox does what falls due.
func (a *actor) live(d time.Duration) {
	if between(a.rt, 0, 99, "alive") >= a.prompt {
		a.pass(d)
		return
	}
	for end := a.clock.Now().Add(d); a.clock.Now().Before(end); {
		step := end.Sub(a.clock.Now())
		for _, at := range a.again {
			if until := at.Sub(a.clock.Now()); until < step {
				step = max(until, time.Hour) // No more often: it would take long.
			}
		}
		a.pass(step)
		for _, name := range a.names {
			a.settle(name, false)
		}
	}
}

func (a *actor) card(account string) {
	id := a.customer(account)
	if id == "" {
		return
	}
	b := choose(a.rt, []stripetest.Behaviour{
		stripetest.Accept, stripetest.Accept, stripetest.Accept, stripetest.Decline, stripetest.InsufficientFunds, stripetest.RequireAction,
	}, "behaviour")
	card := stripetest.Card{Behaviour: b, Last4: fmt.Sprintf("%04d", a.dice.IntN(10000))}
	var err error
	switch between(a.rt, 0, 5, "how") {
	case 0:
		a.say("%s: its cards behave as %d now", account, b)
		a.fake.SetBehaviour(id, b)
	case 1:
		a.say("%s: removes its cards", account)
		a.fake.RemoveCards(id)
	case 2:
		a.say("%s: enters a card (%d) at checkout", account, b)
		if _, err := a.engine.Checkout(a.ctx, account, fmt.Sprint("co", a.dice.Uint64()), "https://example.com", "https://example.com"); err == nil {
			_, _ = a.fake.CompleteCheckout(id, card) // Where the session was not made there is none.
		}
		a.revive()
	case 3:
		a.say("%s: enters a card (%d) that expires", account, b)
		card.Expires = a.clock.Now().Add(time.Duration(between(a.rt, 1, 60, "expires")) * 24 * time.Hour)
		_, err = a.fake.AddCard(id, card)
	default:
		a.say("%s: enters a card (%d)", account, b)
		_, err = a.fake.AddCard(id, card)
	}
	if err != nil {
		a.Fatalf("%v", err)
	}
	a.collect()
	if between(a.rt, 0, 99, "told") < 80 {
		a.decide(account, "asks", func(tx billing.Tx) error { return a.engine.Ask(tx, true) })
		a.work(account)
	}
}

func (a *actor) revive() {
	if a.dead {
		a.boot()
	}
}

func anySite(billing.SiteState) bool { return true }

func paidSite(s billing.SiteState) bool { return s.Plan != "free" }

func (a *actor) pick(account string, keep func(billing.SiteState) bool) (string, bool) {
	all := a.domains(account, keep)
	if len(all) == 0 {
		return "", false
	}
	return choose(a.rt, all, "site"), true
}

// viewOf reads what the record says within a decision.
func viewOf(tx billing.Tx) view {
	rec := tx.Record()
	v := view{moving: rec.GetMove().GetSite(), prorate: tx.Now()}
	if end := rec.GetSeen().GetPeriodEnd(); end != nil && rec.GetSubscription() != "" {
		v.end = end.AsTime()
	}
	return v
}

func (a *actor) change(account string) {
	domain, ok := a.pick(account, anySite)
	if !ok {
		return
	}
	plan := choose(a.rt, plans, "plan")
	quote, quoted := "", time.Time{}
	if between(a.rt, 0, 3, "quoted") == 0 {
		q, err := a.engine.Preview(a.ctx, account, domain, plan)
		a.revive()
		if err != nil {
			return
		}
		quote, quoted = q.Token, a.clock.Now()
		a.pass(time.Duration(between(a.rt, 0, 1000, "later")) * time.Second)
	}
	var v view
	if a.decide(account, fmt.Sprintf("change %s to %s", domain, plan), func(tx billing.Tx) error {
		v = viewOf(tx)
		return a.engine.Change(tx, domain, plan, quote)
	}) {
		if !quoted.IsZero() {
			v.prorate = quoted
		}
		a.oracle[account].change(domain, plan, a.record(account).GetMove().GetSite() == domain, v)
	}
}

func (a *actor) cancel(account string) {
	if domain, ok := a.pick(account, paidSite); ok {
		a.cancelSite(account, domain)
	}
}

func (a *actor) cancelSite(account, domain string) {
	var v view
	if a.decide(account, "cancel "+domain, func(tx billing.Tx) error {
		v = viewOf(tx)
		return a.engine.Cancel(tx, domain)
	}) {
		a.oracle[account].cancel(domain, v)
	}
}

func (a *actor) revoke(account string) {
	domain, ok := a.pick(account, paidSite)
	if !ok {
		return
	}
	var v view
	if a.decide(account, "revoke "+domain, func(tx billing.Tx) error {
		v = viewOf(tx)
		return a.engine.Revoke(tx, domain)
	}) {
		a.oracle[account].revoke(domain, v)
	}
}

func (a *actor) purge(account string) {
	domain, ok := a.pick(account, func(s billing.SiteState) bool { return s.Deleted })
	if !ok {
		return
	}
	var v view
	if a.decide(account, "purge "+domain, func(t billing.Tx) error {
		v = viewOf(t)
		delete(t.(*tx).sites, domain)
		return a.engine.SitePurged(t, domain)
	}) {
		a.oracle[account].purge(domain, v)
	}
}

func (a *actor) create(account string) {
	_, s := a.store.read(account)
	for n := range 6 {
		if _, ok := s.sites[domain(n)]; !ok {
			a.decide(account, "create "+domain(n), func(t billing.Tx) error {
				t.(*tx).sites[domain(n)] = billing.SiteState{Plan: "free"}
				return nil
			})
			return
		}
	}
}

// act lets the customer confirm a payment that waits, or fail to.
func (a *actor) act(account string) {
	for _, i := range a.fake.Invoices(a.customer(account)) {
		if i.Status != "open" || !i.NeedsAction {
			continue
		}
		confirms := between(a.rt, 0, 3, "confirms") > 0
		act := a.fake.FailAction
		if confirms {
			act = a.fake.Confirm
		}
		a.say("%s: confirms %s: %v", account, i.ID, confirms)
		if err := act(i.ID); err != nil {
			a.Fatalf("%v", err)
		}
	}
	a.collect()
}

// payOpen lets the customer pay an overdue invoice on its hosted page.
func (a *actor) payOpen(account string) {
	for _, i := range a.fake.Invoices(a.customer(account)) {
		if i.Status == "open" && i.Reason == "subscription_cycle" {
			a.say("%s: pays %s: %v", account, i.ID, a.fake.Pay(i.ID))
		}
	}
	a.collect()
}

// webhooks delivers some of those that are under way, in any order, some twice; some get lost.
func (a *actor) webhooks(string) {
	for range between(a.rt, 0, 12, "hooks") {
		if len(a.posts) == 0 {
			return
		}
		n := a.dice.IntN(len(a.posts))
		e := a.posts[n]
		switch a.dice.IntN(6) {
		case 0: // Lost.
			a.posts = append(a.posts[:n], a.posts[n+1:]...)
		case 1: // Comes again later.
			a.post(e)
		default:
			a.posts = append(a.posts[:n], a.posts[n+1:]...)
			a.post(e)
		}
	}
}

// toTheEnd goes to a moment near the end of the account's period.
func (a *actor) toTheEnd(account string) {
	for _, sub := range a.fake.Subscriptions(a.customer(account)) {
		if sub.Status == "canceled" || sub.Status == "incomplete_expired" {
			continue
		}
		off := choose(a.rt, []int{-86400, -3600, -600, -301, -299, -1, 0, 1, 60, 3599, 3601, 7200, 86400}, "off")
		if d := sub.End.Add(time.Duration(off) * time.Second).Sub(a.clock.Now()); d > 0 {
			a.live(d)
		}
		return
	}
}

// race has another dashboard cancel a site while the next decision is being stored.
func (a *actor) race(account string) {
	domain, ok := a.pick(account, anySite)
	if !ok {
		return
	}
	a.store.meanwhile = func() {
		a.counts["races"]++
		a.cancelSite(account, domain)
	}
}
