package timelines

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// oracle knows what one account should have paid, and what its sites should have, from the
// decisions that were accepted and from what Stripe recorded, in the order of time.
//
// Its rules: a site has a plan and a next one. An upgrade holds when its invoice is paid, and
// costs the rest of the period, to the second, of the new plan less that of the old. At a
// renewal each site falls to its next plan, and that is what it pays for the new period: what
// Stripe billed beyond is given back. What was taken back too late for the renewal falls.
type oracle struct {
	w        *world
	account  string
	events   int // Of Stripe's, how many are known.
	sites    map[string]*site
	upgrades []*upgrade
	invoices map[string]*upgrade
	cycles   []*cycle
	paidFor  map[string]bool // Invoices of renewals, when paid.
	lastPaid time.Time
	// subscription is the one that was paid for first, and is not over.
	subscription string
	// closed says that the account is deleted.
	closed bool
}

type site struct {
	plan, next string
	// restore is the next plan that the site had before it, or its account, was gone.
	restore string
	// gone says that the site is deleted, or its domain lost, and nothing was decided since.
	gone bool
	// was are the next plans that it had since the last renewal that our record knows.
	was []string
}

type upgrade struct {
	site, from, to string
	prorate        time.Time
	paid           string
	unwanted       bool
}

// cycle is one renewal.
type cycle struct {
	id     string
	at     time.Time
	billed map[string]int64
	// known says that our record knows of it: from then on held, what the sites have for it,
	// is fixed.
	known bool
	held  int64
}

func newOracle(w *world, account string) *oracle {
	return &oracle{
		w: w, account: account, sites: map[string]*site{}, invoices: map[string]*upgrade{}, paidFor: map[string]bool{},
	}
}

func (o *oracle) site(domain string) *site {
	if o.sites[domain] == nil {
		o.sites[domain] = &site{plan: "free", next: "free"}
	}
	return o.sites[domain]
}

var cents = map[string]int64{"free": 0, "pro": 2000, "business": 20000, "enterprise": 300000}

// view is what the record said when a decision was made.
type view struct {
	moving  string    // The site whose payment is under way.
	end     time.Time // Of the period.
	prorate time.Time // Of an upgrade.
}

func (o *oracle) setNext(s *site, plan string, v view) {
	s.restore, s.gone = "", false
	if o.subscription == "" {
		return // It has ended, whether we know or not: there is nothing to schedule.
	}
	if !slices.Contains(s.was, s.next) {
		s.was = append(s.was, s.next)
	}
	s.next = plan
	if !v.end.IsZero() && !v.end.After(o.w.clock.Now()) && cents[plan] < cents[s.plan] {
		// The renewal came already, and we do not know: it falls at once, and is not billed.
		s.plan = plan
	}
}

func (o *oracle) last() *upgrade {
	if len(o.upgrades) == 0 {
		return nil
	}
	return o.upgrades[len(o.upgrades)-1]
}

// change is a change of plan; up says that it is being paid for.
func (o *oracle) change(domain, plan string, up bool, v view) {
	s := o.site(domain)
	if should := cents[plan] > cents[s.plan]; up != should && !o.behind() {
		o.w.Fatalf("%s: a change of %s from %s to %s: that it is paid for is %v", o.account, domain, s.plan, plan, up)
	}
	if !up {
		o.setNext(s, plan, v)
		return
	}
	if s.next != s.plan {
		o.setNext(s, s.plan, v)
	}
	s.gone = false
	o.upgrades = append(o.upgrades, &upgrade{site: domain, from: s.plan, to: plan, prorate: v.prorate})
}

// behind says that Stripe did something of which our record does not know yet.
func (o *oracle) behind() bool {
	return o.subscription != o.w.record(o.account).GetSubscription() ||
		slices.ContainsFunc(o.cycles, func(c *cycle) bool { return !c.known })
}

// abandon is what a cancellation means while a payment is under way.
func (o *oracle) abandon() {
	u := o.last()
	u.unwanted = true
	if u.paid == "" {
		return
	}
	// It was too late: the plan holds until the period ends, which it may have already.
	s := o.site(u.site)
	s.next = u.from
	if slices.ContainsFunc(o.cycles, func(c *cycle) bool { return !c.known }) {
		s.plan = u.from
	}
}

func (o *oracle) cancel(domain string, v view) {
	if v.moving == domain {
		o.abandon()
		return
	}
	o.setNext(o.site(domain), "free", v)
}

func (o *oracle) revoke(domain string, v view) {
	s := o.site(domain)
	o.setNext(s, s.plan, v)
}

func (o *oracle) purge(domain string, v view) {
	o.end(domain, v)
	if v.moving == domain && o.last().paid != "" {
		s := o.site(domain)
		s.gone, s.restore = false, ""
		return // What was paid for holds for whoever takes the domain up again.
	}
	delete(o.sites, domain)
}

// learn takes in what Stripe recorded since.
func (o *oracle) learn() {
	customers := o.w.fake.Customers("breakwater_account", o.account)
	for _, e := range o.w.fake.History(o.events) {
		o.events++
		if !slices.Contains(customers, e.Customer) {
			continue
		}
		switch e.Type {
		case "invoice.created":
			o.invoiced(o.invoice(e.Object))
		case "invoice.paid":
			o.lastPaid = e.Created
			o.paid(o.invoice(e.Object))
		case "customer.subscription.deleted":
			if e.Object == o.subscription {
				o.ended()
			}
		}
	}
}

func (o *oracle) invoice(id string) stripetest.Invoice {
	i, ok := o.w.fake.Invoice(id)
	if !ok {
		o.w.Fatalf("%s: no invoice %s", o.account, id)
	}
	return i
}

func (o *oracle) invoiced(i stripetest.Invoice) {
	if i.Reason == "subscription_cycle" {
		o.renewed(i)
		return
	}
	u := o.last()
	if u == nil {
		o.w.Fatalf("%s: %s bills a change that nobody asked for", o.account, i.ID)
	}
	o.invoices[i.ID] = u
	o.know() // Nothing is billed before the last renewal is known.
}

// paid takes in that an invoice was paid.
func (o *oracle) paid(i stripetest.Invoice) {
	if i.Reason == "subscription_cycle" {
		o.paidFor[i.ID] = true
		return
	}
	u := o.invoices[i.ID]
	if u.paid != "" {
		o.w.Fatalf("%s: %s charges again for %s, which %s was paid for", o.account, i.ID, u.site, u.paid)
	}
	u.paid = i.ID
	o.price(u, i)
	if i.Reason == "subscription_create" {
		o.subscription = i.Subscription
	}
	s := o.sites[u.site]
	if s == nil { // It was purged meanwhile.
		s = &site{plan: "free", next: "free"}
		o.sites[u.site] = s
	}
	s.plan = u.to
	if !u.unwanted {
		s.next = u.to
	}
}

// renewed takes in a renewal: every site falls to its next plan.
func (o *oracle) renewed(i stripetest.Invoice) {
	c := &cycle{id: i.ID, at: i.Created, billed: map[string]int64{}}
	for _, other := range o.cycles {
		if other.at.Equal(c.at) {
			o.w.Fatalf("%s: %s and %s bill the same month", o.account, other.id, c.id)
		}
	}
	var total int64
	for _, l := range i.Lines {
		plan := planOf(l)
		if l.Proration || l.Amount != l.Quantity*cents[plan] {
			o.w.Fatalf("%s: a renewal has the line %+v", o.account, l)
		}
		if l.Quantity > 0 {
			c.billed[plan] += l.Quantity
		}
		total += l.Amount
	}
	if total != i.Total {
		o.w.Fatalf("%s: a renewal of %d is billed as %d", o.account, total, i.Total)
	}
	for _, s := range o.sites {
		s.plan, s.restore = s.next, ""
	}
	o.cycles = append(o.cycles, c)
}

// look fixes what the sites have for the renewals that our record knows by now.
func (o *oracle) look() {
	seen := o.w.record(o.account).GetSeen().GetPeriodStart()
	for _, c := range o.cycles {
		if !c.known && (seen != nil && !seen.AsTime().Before(c.at) || o.subscription == "") {
			o.know()
		}
	}
}

func (o *oracle) know() {
	if !slices.ContainsFunc(o.cycles, func(c *cycle) bool { return !c.known }) {
		return
	}
	for _, c := range o.cycles {
		if c.known {
			continue
		}
		have := map[string]int64{}
		for _, s := range o.sites {
			have[s.plan]++
		}
		for plan, n := range have {
			if plan != "free" && n > c.billed[plan] {
				o.fallLate()
				break
			}
		}
		c.known = true
		for _, s := range o.sites {
			c.held += cents[s.plan]
		}
	}
	for _, s := range o.sites {
		s.was = nil
	}
}

// fallLate is for what was taken back too late for the renewal: which of the plans that a
// site was to have in between it has now is for our record to say.
func (o *oracle) fallLate() {
	rec := o.w.record(o.account)
	for domain, s := range o.sites {
		plan := "free"
		if r := rec.GetSites()[domain]; r != nil {
			plan = r.GetPlan()
		}
		if slices.Contains(s.was, plan) && cents[plan] < cents[s.plan] {
			o.w.say("oracle: %s: %s falls late to %s", o.account, domain, plan)
			s.plan, s.next, s.restore = plan, plan, ""
			if u := o.last(); u != nil && u.site == domain && u.paid == "" {
				u.from = plan // It is added to what the month was billed for.
			}
			o.w.counts["late falls"]++
		}
	}
}

// ended takes in that the subscription is over.
func (o *oracle) ended() {
	o.know()
	o.subscription = ""
	for _, s := range o.sites {
		s.plan, s.next, s.was, s.restore = "free", "free", nil, ""
	}
}

// price checks what an upgrade was billed, by a calculation of its own.
func (o *oracle) price(u *upgrade, i stripetest.Invoice) {
	change, total, rounded := map[string]int64{}, int64(0), map[string]bool{}
	for _, l := range i.Lines {
		plan, sign := planOf(l), int64(1)
		want := l.Quantity * cents[plan]
		if l.Proration {
			start := o.periodStart(l.End)
			if !l.Start.Equal(u.prorate.Truncate(time.Second)) {
				o.w.Fatalf("%s: prorated from %v, not %v", o.account, l.Start, u.prorate)
			}
			// Half up, to the cent, of whole seconds.
			left, whole := l.End.Unix()-l.Start.Unix(), l.End.Unix()-start.Unix()
			want = (want*left*10/whole + 5) / 10
			if l.Amount < 0 {
				want, sign = -want, -1
			}
		}
		if l.Amount != want {
			o.w.Fatalf("%s: the line %+v should be %d", o.account, l, want)
		}
		// Too little is left of the period to tell a credit from a charge.
		rounded[plan] = rounded[plan] || l.Amount == 0 && l.Proration
		change[plan] += sign * l.Quantity
		total += l.Amount
	}
	want := map[string]int64{u.to: 1}
	if u.from != "free" {
		want[u.from] = -1
	}
	for _, counts := range []map[string]int64{change, want} {
		maps.DeleteFunc(counts, func(plan string, n int64) bool { return n == 0 || rounded[plan] })
	}
	if total != i.Total || !maps.Equal(change, want) {
		o.w.Fatalf("%s: %s is to go from %s to %s; billed was %v for %d", o.account, u.site, u.from, u.to, i.Lines, i.Total)
	}
}

// periodStart is when the period began that ends at a time.
func (o *oracle) periodStart(end time.Time) time.Time {
	for _, id := range o.w.fake.Customers("breakwater_account", o.account) {
		for _, sub := range o.w.fake.Subscriptions(id) {
			if sub.End.Equal(end) {
				return sub.Start
			}
		}
	}
	o.w.Fatalf("%s: no period ends at %v", o.account, end)
	return time.Time{}
}

func planOf(l stripetest.Line) string { return strings.TrimPrefix(l.Key, "breakwater_monthly_") }
