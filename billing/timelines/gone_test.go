package timelines

import (
	"time"

	"github.com/breakwater-cdn/breakwater/billing"
)

// setDeleted changes a site within a decision.
func setDeleted(t billing.Tx, domain string, deleted bool) {
	sites := t.(*tx).sites
	s := sites[domain]
	s.Deleted = deleted
	sites[domain] = s
}

func (a *actor) remove(account string) {
	a.end(account, "delete", func(s billing.SiteState, _ *site) bool { return !s.Deleted }, func(t billing.Tx, domain string) error {
		setDeleted(t, domain, true)
		return a.engine.SiteDeleted(t, domain)
	})
}

func (a *actor) lose(account string) {
	a.end(account, "lose", func(s billing.SiteState, o *site) bool { return !s.Deleted && !o.gone }, func(t billing.Tx, domain string) error {
		return a.engine.SiteLost(t, domain, "as the test says", t.Now())
	})
}

func (a *actor) undelete(account string) {
	a.back(account, "undelete", func(s billing.SiteState, _ *site) bool { return s.Deleted })
}

func (a *actor) prove(account string) {
	a.back(account, "prove", func(s billing.SiteState, o *site) bool { return !s.Deleted && o.gone })
}

// pickOf picks a site by its state and by what the oracle knows.
func (a *actor) pickOf(account string, keep func(billing.SiteState, *site) bool) (string, bool) {
	var all []string
	_, stored := a.store.read(account)
	for _, domain := range a.domains(account, anySite) {
		if keep(stored.sites[domain], a.oracle[account].site(domain)) {
			all = append(all, domain)
		}
	}
	if len(all) == 0 {
		return "", false
	}
	return choose(a.rt, all, "site"), true
}

func (a *actor) end(account, what string, of func(billing.SiteState, *site) bool, do func(billing.Tx, string) error) {
	domain, ok := a.pickOf(account, of)
	if !ok {
		return
	}
	var v view
	if a.decide(account, what+" "+domain, func(tx billing.Tx) error {
		v = viewOf(tx)
		return do(tx, domain)
	}) {
		a.oracle[account].end(domain, v)
	}
}

func (a *actor) back(account, what string, of func(billing.SiteState, *site) bool) {
	domain, ok := a.pickOf(account, of)
	if !ok {
		return
	}
	var v view
	var before string
	if a.decide(account, what+" "+domain, func(tx billing.Tx) error {
		v, before = viewOf(tx), nextOf(tx, domain)
		setDeleted(tx, domain, false)
		return a.engine.SiteRestored(tx, domain)
	}) {
		o := a.oracle[account]
		o.site(domain).gone = false
		o.back(domain, before, v)
	}
}

func (a *actor) close(account string) {
	var v view
	if a.decide(account, "delete the account", func(tx billing.Tx) error {
		v = viewOf(tx)
		return a.engine.AccountDeleted(tx)
	}) {
		o := a.oracle[account]
		if v.moving != "" {
			o.abandon()
		}
		o.closed = true
		for _, s := range o.sites {
			o.suspend(s, v)
		}
	}
}

func (a *actor) reopen(account string) {
	o := a.oracle[account]
	if !o.closed {
		return
	}
	var v view
	var before map[string]string
	if a.decide(account, "undelete the account", func(tx billing.Tx) error {
		v, before = viewOf(tx), map[string]string{}
		for domain := range o.sites {
			before[domain] = nextOf(tx, domain)
		}
		return a.engine.AccountRestored(tx)
	}) {
		o.closed = false
		for domain := range o.sites {
			o.back(domain, before[domain], v)
		}
	}
}

// nextOf is a site's next plan by the record.
func nextOf(tx billing.Tx, domain string) string {
	if s := tx.Record().GetSites()[domain]; s != nil {
		return s.GetNextPlan()
	}
	return "free"
}

// end is the deletion of a site, or the loss of its domain: it is cancelled.
func (o *oracle) end(domain string, v view) {
	if v.moving == domain {
		o.abandon()
	}
	s := o.site(domain)
	o.suspend(s, v)
	s.gone = true
}

// suspend is a cancellation that the return of the site or of its account takes back.
func (o *oracle) suspend(s *site, v view) {
	if s.next == "free" {
		return
	}
	next := s.next
	o.setNext(s, "free", v)
	if s.plan != s.next {
		s.restore = next
	}
}

// back is the return of a site, or of its account, whose next plan was another before: what
// its end cancelled is taken back, if the site and the account are there, in time.
func (o *oracle) back(domain, before string, v view) {
	s := o.site(domain)
	after := "free"
	if r := o.w.record(o.account).GetSites()[domain]; r != nil {
		after = r.GetNextPlan()
	}
	want := s.restore
	if s.gone || o.closed {
		want = ""
	} else {
		s.restore = ""
	}
	switch inTime := v.end.Sub(o.w.clock.Now()) > 5*time.Minute; {
	case after == before:
		if want != "" && inTime && !o.behind() {
			o.w.Fatalf("%s: %s does not go on with %s", o.account, domain, want)
		}
	case after != want && !o.behind():
		o.w.Fatalf("%s: %s goes on with %s; by the rules with %q", o.account, domain, after, want)
	default:
		o.w.counts["plans restored"]++
		o.setNext(s, after, v)
	}
}
