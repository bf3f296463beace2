package activation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// book notes what billing is told.
type book struct{ told []string }

func (b *book) SiteDeleted(_ *change.Tx, account, site string) error {
	b.told = append(b.told, "deleted "+account+" "+site)
	return nil
}

func (b *book) SiteLost(_ *change.Tx, rec *storev1.SiteRecord, _ func(*breakwaterv1.AuditEvent)) error {
	b.told = append(b.told, "lost "+sitestate.Account(rec)+" "+rec.GetSite().GetDomain())
	return nil
}

func (b *book) SiteRestored(_ *change.Tx, account, site string) error {
	b.told = append(b.told, "restored "+account+" "+site)
	return nil
}

func (b *book) SitePurged(_ *change.Tx, account, site string) error {
	b.told = append(b.told, "purged "+account+" "+site)
	return nil
}

// TestBillingIsTold: a site that is given up, and one that is gone, are no longer paid for.
func TestBillingIsTold(t *testing.T) {
	w := newWorld(t)
	b := &book{}
	w.worker.cfg.Billing = b
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.advance(29 * 24 * time.Hour)
	if want := []string{"deleted acme shop.example", "purged acme shop.example"}; !slices.Equal(slices.Compact(b.told), want) {
		t.Errorf("%v, want %v", b.told, want)
	}
}

// TestBillingIsToldOfLoss: one whose proof is gone is not paid for either, until it is back.
func TestBillingIsToldOfLoss(t *testing.T) {
	w := newWorld(t)
	b := &book{}
	w.worker.cfg.Billing = b
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.prover.say("a", onboard.OK)
	w.advance(time.Minute)
	b.told = nil
	w.prover.say("a", onboard.NXDomain)
	for range 3 {
		w.advance(6 * time.Hour)
	}
	w.wantState("acme", "shop.example", breakwaterv1.Site_MOVED)
	w.prover.say("a", onboard.OK)
	w.advance(6 * time.Hour)
	w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	if want := []string{"lost acme shop.example", "restored acme shop.example"}; !slices.Equal(slices.Compact(b.told), want) {
		t.Errorf("%v, want %v", b.told, want)
	}
}

// pays stores that an account pays for a site.
func (w *world) pays(account, domain, plan string) {
	w.t.Helper()
	w.put(resource.ForAccount(account).Member("m1"), &storev1.MemberRecord{Member: &breakwaterv1.Member{
		Email: "owner@" + account + ".example", Role: breakwaterv1.Member_OWNER, State: breakwaterv1.Member_ACTIVE,
	}})
	w.put(resource.ForAccount(account).Billing(), &storev1.BillingRecord{
		Account: account, Customer: "cus", Subscription: "sub",
		Sites: map[string]*storev1.SiteSubscription{domain: {Plan: plan, NextPlan: plan}},
		Seen:  &storev1.Observation{Status: "active", PeriodEnd: timestamppb.New(w.clock.Now().AddDate(0, 1, 0))},
	})
}

func (w *world) put(key string, m proto.Message) {
	w.t.Helper()
	value, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	rev, err := w.store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, value)}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.cache.WaitRevision(w.t.Context(), rev); err != nil {
		w.t.Fatal(err)
	}
}

// TestLostToAnotherAccount: who loses a domain to another account does not pay for its next
// month, is told so, and nobody else reads of it.
func TestLostToAnotherAccount(t *testing.T) {
	w := newWorld(t)
	plans, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	paid := payments.New(payments.Config{Writer: w.writer, Source: change.FromCache(w.cache), Plans: plans})
	engine := billing.New(billing.Config{Plans: plans, Store: paid, Clock: w.clock, NewID: w.worker.cfg.NewID})
	w.worker.cfg.Billing = payments.NewLifecycle(paid, engine)
	w.add("acme", "shop.example", "a", breakwaterv1.Site_FULL)
	w.add("rival", "shop.example", "r", breakwaterv1.Site_FULL)
	w.prover.say("a", onboard.OK)
	w.advance(time.Minute)
	w.pays("acme", "shop.example", "enterprise")
	next := func() *storev1.SiteSubscription {
		rec, err := paid.Record(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		return rec.GetSites()["shop.example"]
	}

	w.prover.say("a", onboard.NotDelegated)
	w.prover.say("r", onboard.OK)
	w.advance(2 * time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_MOVED)
	if s := next(); s.GetPlan() != "enterprise" || s.GetNextPlan() != "free" {
		t.Errorf("it is renewed: %v", s)
	}
	if got := w.audited("acme", "sites/shop.example/subscription"); !slices.Equal(got, []string{"MoveSite"}) {
		t.Errorf("acme reads of it %v", got)
	}
	if got := w.audited("rival", "accounts/acme"); len(got) > 0 {
		t.Errorf("the rival reads %v", got)
	}
	letters := w.letters()
	if len(letters) != 1 || !slices.Equal(letters[0].GetTo(), []string{"owner@acme.example"}) ||
		!strings.Contains(letters[0].GetText(), "shop.example is no longer served from your account: another account proved") ||
		!strings.Contains(letters[0].GetText(), "by 10 March 2026") {
		t.Errorf("%v", letters)
	}

	w.prover.say("a", onboard.OK)
	w.prover.say("r", onboard.NotDelegated)
	w.advance(2 * time.Minute)
	w.wantState("acme", "shop.example", breakwaterv1.Site_ACTIVE)
	if s := next(); s.GetNextPlan() != "enterprise" {
		t.Errorf("it is back: %v", s)
	}
}

// audited are the methods of an account's events about what has something in its name.
func (w *world) audited(account, about string) (methods []string) {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), registry.ListRequest{Prefix: resource.ForAccount(account).AuditNewOf()})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range page.KVs {
		e := &breakwaterv1.AuditEvent{}
		if err := proto.Unmarshal(kv.Value, e); err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(e.GetResource(), about) {
			methods = append(methods, e.GetMethod())
		}
	}
	return methods
}

// letters are those that wait to be sent.
func (w *world) letters() (letters []*storev1.Mail) {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), registry.ListRequest{Prefix: resource.OutboxPrefix})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, kv := range page.KVs {
		item, letter := &storev1.OutboxItem{}, &storev1.Mail{}
		if err := proto.Unmarshal(kv.Value, item); err != nil {
			w.t.Fatal(err)
		}
		if item.GetKind() != "mail" {
			continue
		}
		if err := proto.Unmarshal(item.GetPayload(), letter); err != nil {
			w.t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}
