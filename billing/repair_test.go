package billing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

func (s *shop) reconcile(repair bool) []Difference {
	found, err := s.engine.Reconcile(s.ctx(), account, repair)
	s.must(err)
	return found
}

func TestReconcileRepairs(t *testing.T) {
	for name, c := range map[string]struct {
		kind  string
		spoil func(*shop)
	}{
		"quantity": {kindQuantity, func(s *shop) { s.till.alive().Quantities = Quantities{"pro": 3} }},
		"its name": {kindDetails, func(s *shop) { s.till.customers[s.record.GetCustomer()].Details.LegalName = "Other" }},
		"an owner": {kindDetails, func(s *shop) { s.contact = "new@acme.test" }},
		"cancel":   {kindCancel, func(s *shop) { s.till.alive().CancelAtPeriodEnd = true }},
		"a second one": {kindSubscription, func(s *shop) {
			other := *s.till.alive()
			other.ID, other.Account = "sub_stray", "acme"
			s.till.subs = append(s.till.subs, &other)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := ready(t, "a.test")
			s.must(s.change("a.test", "pro"))
			s.settle()
			if found := s.reconcile(true); len(found) != 0 {
				t.Errorf("nothing was spoiled: %v", found)
			}
			c.spoil(s)
			if found := s.reconcile(false); len(found) != 1 || found[0].Kind != c.kind || found[0].Repaired {
				t.Errorf("%v", found)
			}
			works := s.works
			if found := s.reconcile(true); len(found) != 1 || found[0].Kind != c.kind || !found[0].Repaired {
				t.Errorf("%v", found)
			}
			if s.works == works {
				t.Error("no work was asked for")
			}
			s.settle()
			s.agrees()
			if found := s.reconcile(false); len(found) != 0 {
				t.Errorf("it was repaired: %v", found)
			}
			s.on("a.test", "pro", "")
			if s.till.total() != 2000 || s.till.sub("sub_stray") != nil && s.till.sub("sub_stray").Status != Canceled {
				t.Errorf("charged %d", s.till.total())
			}
		})
	}
}

func TestSubscriptionEndedElsewhere(t *testing.T) {
	for name, spoil := range map[string]func(*shop){
		"cancelled": func(s *shop) { s.till.alive().Status = Canceled },
		"gone":      func(s *shop) { s.till.subs = nil },
		"customer":  func(s *shop) { s.till.subs, s.till.customers = nil, map[string]*Customer{} },
	} {
		t.Run(name, func(t *testing.T) {
			s := ready(t, "a.test", "b.test")
			s.must(s.change("a.test", "pro"))
			s.settle()
			spoil(s)
			s.must(s.ask(false))
			s.settle()
			s.on("a.test", "pro", "free")
			if !strings.Contains(strings.Join(s.audits, "\n"), "what is paid for ends with the period") {
				t.Errorf("the audit log says %q", s.audits)
			}
			var state *StateError
			if err := s.revoke("a.test"); !errors.As(err, &state) {
				t.Errorf("a revoke without a subscription: %v", err)
			}
			s.pass(15 * 24 * time.Hour)
			if s.sites["a.test"].Plan != "pro" {
				t.Error("what was paid for was taken away")
			}
			s.must(s.ask(true))
			s.settle()
			s.must(s.change("b.test", "pro"))
			s.settle()
			s.on("b.test", "pro", "")
			s.pass(17 * 24 * time.Hour)
			s.on("a.test", "free", "")
			if s.sites["a.test"].Plan != "free" || s.sites["b.test"].Plan != "pro" {
				t.Errorf("%v %v", s.sites["a.test"], s.sites["b.test"])
			}
			s.agrees()
		})
	}
}

func TestDetails(t *testing.T) {
	s := ready(t, "a.test")
	set := func(d *breakwaterv1.Billing) {
		s.must(s.decide(func(tx Tx) error { return s.engine.SetDetails(tx, d) }))
		s.settle()
	}
	set(&breakwaterv1.Billing{LegalName: "Acme Ltd", Standing: breakwaterv1.Billing_DEGRADED})
	if b := s.engine.Billing(s.record); b.GetLegalName() != "Acme Ltd" || b.GetStanding() != breakwaterv1.Billing_GOOD ||
		b.GetPaymentMethod().GetLast4() != "4242" || b.GetUpcomingInvoice() != nil {
		t.Errorf("%v", b)
	}
	calls := len(s.till.calls)
	set(&breakwaterv1.Billing{LegalName: "Acme Ltd"})
	if len(s.till.calls) != calls {
		t.Error("the same details were sent again")
	}
	set(&breakwaterv1.Billing{LegalName: "refuse me"})
	if s.record.GetSentDetails() != s.record.GetDetailsNumber() || !strings.Contains(strings.Join(s.audits, "\n"), "refused billing details") ||
		s.engine.Billing(s.record).GetDetailsFailure() == "" {
		t.Errorf("%v %v", s.record, s.audits)
	}
	set(&breakwaterv1.Billing{LegalName: "Acme", TaxIds: []*breakwaterv1.Billing_TaxId{{Type: "eu_vat", Value: "no"}}})
	if got := s.engine.Billing(s.record).GetDetailsFailure(); got != "The tax ID was refused." {
		t.Errorf("a part was refused: %q", got)
	}
	if found := s.reconcile(true); len(found) != 0 {
		t.Errorf("what was refused is told again: %v", found)
	}
	set(&breakwaterv1.Billing{LegalName: "Acme"})
	if got := s.engine.Billing(s.record).GetDetailsFailure(); got != "" {
		t.Errorf("they were accepted: %q", got)
	}
	s.must(s.change("a.test", "business"))
	s.settle()
	b := s.engine.Billing(s.record)
	if b.GetUpcomingInvoice().GetUnits() != 200 || b.GetCurrentPeriodEnd() == nil || b.GetBalance().GetUnits() != 0 {
		t.Errorf("%v", b)
	}
}

func TestDeletions(t *testing.T) {
	s := ready(t, "a.test", "b.test", "c.test")
	for d := range s.sites {
		s.must(s.change(d, "pro"))
		s.settle()
	}
	del := func(d string) error {
		s.sites[d].Deleted = true
		return s.decide(func(tx Tx) error { return s.engine.SiteDeleted(tx, d) })
	}
	s.must(del("a.test"))
	s.settle()
	s.on("a.test", "pro", "free")
	var state *StateError
	if err := s.revoke("a.test"); !errors.As(err, &state) {
		t.Errorf("a revoke of a deleted site: %v", err)
	}
	if err := s.change("a.test", "business"); !errors.As(err, &state) {
		t.Errorf("an upgrade of a deleted site: %v", err)
	}
	s.agrees()
	s.must(s.decide(func(tx Tx) error { return s.engine.SitePurged(tx, "b.test") }))
	delete(s.sites, "b.test")
	s.settle()
	if q := s.till.alive().Quantities; !same(q, Quantities{"pro": 1}) {
		t.Errorf("the renewal bills %v", q)
	}
	s.agrees()
	s.till.card = "action"
	s.must(s.change("c.test", "business"))
	s.settle()
	s.must(s.decide(func(tx Tx) error { return s.engine.AccountDeleted(tx) }))
	s.settle()
	s.on("c.test", "pro", "free")
	if !s.till.alive().CancelAtPeriodEnd || s.record.GetMove() != nil {
		t.Errorf("%v", s.record)
	}
	s.agrees()
	s.pass(32 * 24 * time.Hour)
	if s.till.alive() != nil || len(s.record.GetSites()) != 0 || s.till.total() != 6000 {
		t.Errorf("%v, charged %d", s.record, s.till.total())
	}
	s.must(s.decide(func(tx Tx) error { return s.engine.AccountDeleted(tx) }))
}

func TestInvoicesAreTheAccountsOwn(t *testing.T) {
	s := newShop(t, "a.test")
	if page, _, err := s.engine.Invoices(t.Context(), account, "", 10); err != nil || len(page) != 0 {
		t.Errorf("without a customer: %v, %v", page, err)
	}
	if _, err := s.engine.Checkout(t.Context(), account, "k", "https://a.test", ""); !errors.Is(err, ErrCustomerPending) {
		t.Errorf("%v", err)
	}
	if _, err := s.engine.Invoice(t.Context(), account, "in_001"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	s.must(s.ask(true))
	s.settle()
	s.must(s.change("a.test", "pro"))
	s.settle()
	page, more, err := s.engine.Invoices(t.Context(), account, "", 10)
	if err != nil || more || len(page) != 1 {
		t.Fatalf("%v, %v, %v", page, more, err)
	}
	if i, err := s.engine.Invoice(t.Context(), account, page[0].ID); err != nil || i.Total != 2000 {
		t.Errorf("%v, %v", i, err)
	}
	s.till.invoice(page[0].ID).Customer = "cus_other"
	if _, err := s.engine.Invoice(t.Context(), account, page[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another customer's: %v", err)
	}
	if _, _, err := s.engine.Invoices(t.Context(), account, page[0].ID, 10); !errors.Is(err, ErrNotFound) {
		t.Errorf("after another customer's: %v", err)
	}
	for _, session := range []func() (*Session, error){
		func() (*Session, error) {
			return s.engine.Checkout(t.Context(), account, "k", "https://a.test", "https://a.test")
		},
		func() (*Session, error) { return s.engine.Portal(t.Context(), account, "k", "https://a.test") },
	} {
		if page, err := session(); err != nil || page.URL == "" {
			t.Errorf("%v, %v", page, err)
		}
	}
}

// TestHopeless has what a provider refuses twice told to a person.
func TestHopeless(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	for d := range s.sites {
		s.must(s.change(d, "pro"))
		s.settle()
	}
	s.till.fault = func(point string) error {
		if point == "before SetQuantities" {
			return ErrRefused
		}
		return nil
	}
	s.must(s.cancel("a.test"))
	_, err := s.engine.Settle(t.Context(), account)
	var hopeless *HopelessError
	if !errors.As(err, &hopeless) || !errors.Is(err, ErrRefused) || hopeless.Operation != "quantities" {
		t.Fatalf("%v", err)
	}
	s.till.fault = func(string) error { return nil }
	s.settle()
	s.agrees()
}

// TestManySites has more sites fall than one run of the work, or one transaction, takes.
func TestManySites(t *testing.T) {
	s := ready(t)
	const n = 16*maxSteps + 1
	s.record.Sites = map[string]*storev1.SiteSubscription{}
	for i := range n {
		domain := fmt.Sprintf("site%d.test", i)
		s.sites[domain] = &SiteState{Plan: "pro"}
		s.record.Sites[domain] = &storev1.SiteSubscription{Plan: "pro", NextPlan: "free", FallTime: stamp(s.clock.Now())}
	}
	again, err := s.engine.Settle(t.Context(), account)
	if err != nil || !again.Equal(s.clock.Now()) || len(s.record.GetSites()) != 1 {
		t.Fatalf("%v, %v, %d sites left", again, err, len(s.record.GetSites()))
	}
	if again, err = s.engine.Settle(t.Context(), account); err != nil || !again.IsZero() || len(s.record.GetSites()) != 0 {
		t.Fatalf("%v, %v, %d sites left", again, err, len(s.record.GetSites()))
	}
	for domain, site := range s.sites {
		if site.Plan != "free" || s.versions[domain] != 1 {
			t.Fatalf("%s: %v, %d versions", domain, site, s.versions[domain])
		}
	}
}

// TestTooManySites bounds what one account pays for.
func TestTooManySites(t *testing.T) {
	s := ready(t, "a.test", "b.test")
	s.must(s.change("a.test", "pro"))
	s.settle()
	for i := range maxPaidSites - 1 {
		s.record.Sites[fmt.Sprintf("site%d.test", i)] = &storev1.SiteSubscription{Plan: "pro", NextPlan: "pro"}
	}
	var state *StateError
	if err := s.change("b.test", "pro"); !errors.As(err, &state) {
		t.Errorf("%v", err)
	}
	s.must(s.decide(func(tx Tx) error { return s.engine.AccountDeleted(tx) }))
}
