package timelines

import (
	"maps"
	"slices"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// calm ends the trouble and does what is left to be done, for some days. Webhooks that are
// under way are lost: the reconciler runs now and then, as it does every day.
func (w *world) calm(days int) {
	w.faulty, w.deadly, w.down, w.quiet, w.posts = 0, 0, false, true, nil
	w.store.meanwhile = nil
	end := w.clock.Now().AddDate(0, 0, days)
	for day := w.clock.Now(); ; {
		if !w.clock.Now().Before(day) {
			for _, name := range w.names {
				w.reconcile(name)
			}
			day = day.AddDate(0, 0, 2+days/5)
		}
		step := 6 * time.Hour
		for _, name := range w.names {
			for range 3 {
				w.settle(name, false)
			}
			if at, ok := w.again[name]; ok {
				step = min(step, max(at.Sub(w.clock.Now()), time.Minute))
			}
		}
		if !w.clock.Now().Before(end) {
			return
		}
		w.pass(step)
	}
}

func (w *world) reconcile(account string) {
	w.safely(func() error {
		_, err := w.engine.Reconcile(w.ctx, account, true)
		return err
	})
	w.collect()
	w.oracle[account].look()
}

// pay has every account pay what it owes with a good card.
func (w *world) pay() {
	for _, name := range w.names {
		if id := w.customer(name); id != "" {
			if _, err := w.fake.AddCard(id, stripetest.Card{Last4: "0001"}); err != nil {
				w.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// check compares everything when all is quiet.
func (w *world) check() {
	for _, name := range w.names {
		w.reconcile(name) // A status may have changed since the last time.
		w.settle(name, false)
		o := w.oracle[name]
		o.look()
		o.checkRecord()
		o.checkStripe()
		o.checkMoney()
		if found, err := w.engine.Reconcile(w.ctx, name, false); err != nil || len(found) > 0 {
			w.Fatalf("%s: differs: %+v, %v", name, found, err)
		}
	}
}

// checkRecord compares what our record and the sites have with the rules.
func (o *oracle) checkRecord() {
	w, rec := o.w, o.w.record(o.account)
	_, a := w.store.read(o.account)
	if rec.GetMove() != nil || rec.GetCall() != nil || a.work {
		w.Fatalf("%s: it is not quiet: %v", o.account, rec)
	}
	for domain, s := range o.sites {
		plan, next := "free", "free"
		if r := rec.GetSites()[domain]; r != nil {
			plan, next = r.GetPlan(), r.GetNextPlan()
		}
		if plan != s.plan || next != s.next {
			w.Fatalf("%s: %s is on %s, then %s; by the rules on %s, then %s", o.account, domain, plan, next, s.plan, s.next)
		}
	}
	state := rec.GetStanding().GetState()
	owes := o.owes()
	if owed := owes != nil; owed != (state > breakwaterv1.Billing_GOOD) {
		w.Fatalf("%s: the standing is %v, and owed is %v", o.account, state, owes)
	}
	degraded := owes != nil && !w.clock.Now().Before(owes.Created.Add(14*24*time.Hour))
	for domain, has := range a.sites {
		want := o.site(domain).plan
		if degraded {
			want = "free"
		}
		if has.Plan != want {
			w.Fatalf("%s: %s is entitled to %s; by the rules to %s", o.account, domain, has.Plan, want)
		}
	}
}

// entitled checks, whenever a site's entitlements change, that nothing is taken away before its
// time, and nothing given that is not paid.
func (w *world) entitled(account, domain, from, to string) {
	w.collect()
	o := w.oracle[account]
	s := o.site(domain)
	owes := o.owes()
	degraded := owes != nil && !w.clock.Now().Before(owes.Created.Add(14*24*time.Hour))
	switch {
	case o.behind() || cents[to] == cents[s.plan]:
	case cents[to] < cents[from] && cents[to] > cents[s.plan]: // A fall on the way to another.
	case cents[to] > cents[s.plan]:
		w.Fatalf("%s: %s goes from %s to %s, and %s is paid for", account, domain, from, to, s.plan)
	case to == "free" && o.paidNow(): // The payment came between the last look and the fall.
	case to != "free" || !degraded:
		w.Fatalf("%s: %s falls from %s to %s, and %s is paid for; owed is %v", account, domain, from, to, s.plan, owes)
	}
}

// paidNow says that an invoice was paid at this very moment.
func (o *oracle) paidNow() bool { return o.lastPaid.Equal(o.w.clock.Now().Truncate(time.Second)) }

// owes is the oldest renewal that was tried and is not paid.
func (o *oracle) owes() *stripetest.Invoice {
	for _, c := range o.cycles {
		if i := o.invoice(c.id); i.Status == "open" && i.Attempts > 0 {
			return &i
		}
	}
	return nil
}

// checkStripe compares our record with what Stripe has.
func (o *oracle) checkStripe() {
	w, rec := o.w, o.w.record(o.account)
	live := 0
	for _, id := range w.fake.Customers("breakwater_account", o.account) {
		for _, i := range w.fake.Invoices(id) {
			if i.Status == "open" && i.Reason != "subscription_cycle" {
				w.Fatalf("%s: %+v may still be paid", o.account, i)
			}
		}
		for _, sub := range w.fake.Subscriptions(id) {
			if sub.Status == "canceled" || sub.Status == "incomplete_expired" {
				continue
			}
			live++
			want := map[string]int64{}
			for _, s := range o.sites {
				if s.next != "free" {
					want["breakwater_monthly_"+s.next]++
				}
			}
			if sub.ID != rec.GetSubscription() || sub.Pending || sub.CancelAtPeriodEnd != (len(want) == 0) ||
				len(want) > 0 && !maps.Equal(want, sub.Quantities) {
				w.Fatalf("%s: Stripe has %+v; by the rules the renewal bills %v; the record has %s",
					o.account, sub, want, rec.GetSubscription())
			}
		}
	}
	if live > 1 || live == 0 && rec.GetSubscription() != "" {
		w.Fatalf("%s: %d subscriptions, the record has %q", o.account, live, rec.GetSubscription())
	}
}

// checkMoney computes what the account should have paid.
func (o *oracle) checkMoney() {
	w := o.w
	var should, charged, credited, balance, given int64
	lost := false
	for _, u := range o.upgrades {
		if u.paid != "" {
			should += o.invoice(u.paid).Total // Which price has checked.
		}
	}
	for _, c := range o.cycles {
		if !o.paidFor[c.id] {
			lost = lost || o.invoice(c.id).Status == "uncollectible" || o.invoice(c.id).Status == "open"
			continue
		}
		var billed int64
		for plan, n := range c.billed {
			billed += n * cents[plan]
		}
		should += c.held
		given += billed - c.held
	}
	for _, id := range w.fake.Customers("breakwater_account", o.account) {
		charged += w.fake.Charged(id)
		credited += w.fake.Credited(id)
		balance += w.fake.Balance(id)
	}
	_, a := w.store.read(o.account)
	forgiven := !a.writtenOff.IsZero() // Credits may be lost with the debt.
	if a.unsure {
		w.counts["credits for a person"]++
	}
	if credited != given && (!forgiven && !a.unsure || credited > given) {
		w.Fatalf("%s: %d cents were given back; by the rules %d", o.account, credited, given)
	}
	// What is on the balance was charged before it is due, or is charged with the next invoice.
	if paid := charged + balance; paid != should && !lost && !forgiven && !a.unsure {
		w.Fatalf("%s: paid %d (charged %d, balance %d); by the rules %d", o.account, paid, charged, balance, should)
	}
	w.counts["dollars charged"] += int(charged / 100)
	w.counts["renewals"] += len(o.cycles)
	w.counts["upgrades asked"] += len(o.upgrades)
	for _, u := range o.upgrades {
		if u.paid != "" {
			w.counts["upgrades paid"]++
		}
	}
	if given > 0 {
		w.counts["accounts with credits"]++
	}
	if forgiven {
		w.counts["debts written off"]++
	}
}

// domains are the sites of an account that a test keeps, in order.
func (w *world) domains(account string, keep func(billing.SiteState) bool) []string {
	_, a := w.store.read(account)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(a.sites)), func(d string) bool { return !keep(a.sites[d]) })
}
