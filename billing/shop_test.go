package billing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

const account = "acme"

var shopOpens = time.Date(2026, time.January, 10, 12, 0, 0, 0, time.UTC)

// shop is an engine with a till and a store, for one account.
type shop struct {
	t      reporter
	clock  *clockwork.FakeClock
	till   *till
	engine *Engine
	record *storev1.BillingRecord
	// contact is the owner's address.
	contact string
	sites   map[string]*SiteState
	// entitled counts versions of sites; works, how often work was asked for.
	versions map[string]int
	works    int
	mails    []string
	audits   []string
	fault    func(point string) error
	ids      int
	// check sees each stored transaction.
	check func(before, after *storev1.BillingRecord)
	// lowered sees each site that loses something.
	lowered func(before *storev1.BillingRecord, domain, from, to string)
}

// reporter is what tests and rapid's checks have in common.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newShop(t reporter, domains ...string) *shop {
	t.Helper()
	plans, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{
		t: t, clock: clockwork.NewFakeClockAt(shopOpens), sites: map[string]*SiteState{}, versions: map[string]int{},
		record:  &storev1.BillingRecord{Account: account},
		contact: "ann@acme.test",
		fault:   func(string) error { return nil },
		check:   func(_, _ *storev1.BillingRecord) {},
		lowered: func(*storev1.BillingRecord, string, string, string) {},
	}
	for _, d := range domains {
		s.sites[d] = &SiteState{Plan: plans.Cheapest()}
	}
	s.till = newTill(s.clock, plans)
	s.engine = New(Config{
		Plans: plans, Provider: s.till, Store: s, Clock: s.clock,
		NewID: func(time.Time) string {
			s.ids++
			return fmt.Sprintf("id%d", s.ids)
		},
		QuoteKey: []byte("0123456789abcdef"), Logger: slog.New(slog.DiscardHandler),
	})
	return s
}

// Update implements [Store].
func (s *shop) Update(_ context.Context, id string, fn func(Tx) error) error {
	if id != account {
		return errors.New("another account")
	}
	if err := s.fault("before the transaction"); err != nil {
		return err
	}
	tx := &shopTx{shop: s, record: proto.CloneOf(s.record), plans: map[string]string{}}
	if err := fn(tx); err != nil {
		return err
	}
	s.check(s.record, tx.record)
	for domain, plan := range tx.plans {
		if from := s.sites[domain].Plan; s.engine.rules.plans.price(plan) < s.engine.rules.plans.price(from) {
			s.lowered(s.record, domain, from, plan)
		}
		s.sites[domain].Plan = plan
		s.versions[domain]++
	}
	s.record = tx.record
	s.works += tx.works
	s.mails = append(s.mails, tx.mails...)
	s.audits = append(s.audits, tx.audits...)
	return s.fault("after the transaction")
}

// Record implements [Store].
func (s *shop) Record(context.Context, string) (*storev1.BillingRecord, error) {
	return proto.CloneOf(s.record), nil
}

// Accounts implements [Store].
func (s *shop) Accounts(context.Context, string, int) ([]string, error) {
	return []string{account}, nil
}

type shopTx struct {
	*shop
	record *storev1.BillingRecord
	plans  map[string]string
	works  int
	mails  []string
	audits []string
}

func (tx *shopTx) Now() time.Time                 { return tx.clock.Now() }
func (tx *shopTx) Principal() string              { return "ann@acme.test" }
func (tx *shopTx) Record() *storev1.BillingRecord { return tx.record }
func (tx *shopTx) Work()                          { tx.works++ }
func (tx *shopTx) Audit(resource, summary string) {
	tx.audits = append(tx.audits, resource+": "+summary)
}

func (tx *shopTx) Contact() (email, name string, err error) { return tx.contact, "Acme", nil }

func (tx *shopTx) Site(domain string) (SiteState, bool, error) {
	s, ok := tx.sites[domain]
	if !ok {
		return SiteState{}, false, nil
	}
	return *s, true, nil
}

func (tx *shopTx) Entitle(domain, plan, _ string) error {
	if s, ok := tx.sites[domain]; ok && s.Plan != plan {
		tx.plans[domain] = plan
	}
	return nil
}

func (tx *shopTx) Mail(id, subject, text string) error {
	tx.mails = append(tx.mails, id+": "+subject)
	return nil
}

func (s *shop) ctx() context.Context { return context.Background() }

// decide runs one decision.
func (s *shop) decide(fn func(Tx) error) error {
	return s.Update(context.Background(), account, fn)
}

func (s *shop) change(site, plan string) error {
	return s.decide(func(tx Tx) error { return s.engine.Change(tx, site, plan, "") })
}

func (s *shop) cancel(site string) error {
	return s.decide(func(tx Tx) error { return s.engine.Cancel(tx, site) })
}

func (s *shop) revoke(site string) error {
	return s.decide(func(tx Tx) error { return s.engine.Revoke(tx, site) })
}

func (s *shop) ask(needCustomer bool) error {
	return s.decide(func(tx Tx) error { return s.engine.Ask(tx, needCustomer) })
}

// settle runs the work until there is none, as the outbox does.
func (s *shop) settle() {
	s.t.Helper()
	for range 200 {
		again, err := s.engine.Settle(context.Background(), account)
		if err == nil && (again.IsZero() || again.After(s.clock.Now())) {
			return
		}
		if err != nil && !errors.Is(err, ErrRetry) {
			s.t.Fatalf("settling: %v", err)
		}
	}
	s.t.Fatalf("no end of work: %v", s.record)
}

// pass lets time pass, with the work that it asks for.
func (s *shop) pass(d time.Duration) {
	s.t.Helper()
	end := s.clock.Now().Add(d)
	for range 2000 {
		s.settle()
		again, err := s.engine.Settle(context.Background(), account)
		if err != nil && !errors.Is(err, ErrRetry) {
			s.t.Fatal(err)
		}
		if err != nil || again.IsZero() || again.After(end) {
			break
		}
		s.clock.Advance(max(again.Sub(s.clock.Now()), 0))
	}
	s.clock.Advance(end.Sub(s.clock.Now()))
	s.settle()
}

// ready is a shop whose customer has a card.
func ready(t reporter, domains ...string) *shop {
	t.Helper()
	s := newShop(t, domains...)
	s.must(s.ask(true))
	s.settle()
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// on asserts what plan a site has, and what follows.
func (s *shop) on(site, plan, pending string) *breakwaterv1.Subscription {
	s.t.Helper()
	sub := s.engine.Subscription(s.record, site, *s.sites[site])
	if sub.GetPlan() != plan || sub.GetPendingPlan() != pending {
		s.t.Fatalf("%s is on %q, then %q; want %q, then %q (%s)", site, sub.GetPlan(), sub.GetPendingPlan(), plan, pending, sub.GetFailure())
	}
	return sub
}

// agrees asserts that the provider has what it should, and nothing is left to be done.
func (s *shop) agrees() {
	s.t.Helper()
	if s.record.GetCall() != nil {
		s.t.Fatalf("a call is under way: %v", s.record.GetCall())
	}
	for id, n := range s.till.charges {
		if n != 1 {
			s.t.Fatalf("invoice %s was charged %d times", id, n)
		}
	}
	sub := s.till.alive()
	if sub == nil {
		if s.record.GetSubscription() != "" || len(s.engine.rules.desired(s.record)) > 0 {
			s.t.Fatalf("no subscription, but %v", s.record)
		}
		return
	}
	if s.record.GetSubscription() != sub.ID {
		s.t.Fatalf("subscription %s, not %s", s.record.GetSubscription(), sub.ID)
	}
	if s.record.GetMove().GetSubmitted() {
		return
	}
	q, cancel := s.engine.rules.target(s.record)
	if !same(q, sub.Quantities) || cancel != sub.CancelAtPeriodEnd {
		s.t.Fatalf("the provider has %v, cancel %v; want %v, %v", sub.Quantities, sub.CancelAtPeriodEnd, q, cancel)
	}
	for d, site := range s.record.GetSites() {
		if site.GetRenewalPlan() != "" {
			s.t.Fatalf("%s is still to be told: %v", d, site)
		}
	}
}
