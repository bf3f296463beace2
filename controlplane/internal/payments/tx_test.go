package payments_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestUpdateStoresAllOrNothing(t *testing.T) {
	w := newWorld(t)
	w.account("acme")
	boom := errors.New("boom")
	err := w.update("acme", func(tx billing.Tx) error {
		tx.Record().Customer = "cus_1"
		tx.Work()
		return boom
	})
	if !errors.Is(err, boom) || len(w.keys(resource.OutboxPrefix)) != 0 || len(w.keys(resource.BillingIndexPrefix)) != 0 {
		t.Fatalf("a refused decision left something: %v", err)
	}
	w.mustUpdate("acme", func(tx billing.Tx) error {
		if tx.Principal() != "system" || !tx.Now().Equal(start) {
			t.Errorf("%s at %s", tx.Principal(), tx.Now())
		}
		tx.Record().Customer = "cus_1"
		tx.Work()
		tx.Audit("billing", "customer made")
		return nil
	})
	rec, err := w.payments.Record(t.Context(), "acme")
	if err != nil || rec.GetCustomer() != "cus_1" || rec.GetAccount() != "acme" {
		t.Fatalf("%v, %v", rec, err)
	}
	item := &storev1.OutboxItem{}
	if !w.get(resource.Outbox("billing-acme"), item) || item.GetSubject() != "acme" || item.GetKind() != "billing" {
		t.Errorf("no work: %v", item)
	}
	event := &breakwaterv1.AuditEvent{}
	if keys := w.keys(resource.ForAccount("acme").AuditNewOf()); len(keys) != 1 || !w.get(keys[0], event) ||
		event.GetResource() != "accounts/acme/billing" || event.GetPrincipal() != "system" || event.GetMethod() != "SettleBilling" {
		t.Errorf("audited %v", event)
	}
	// Nothing decided, nothing stored.
	before := w.revision()
	w.mustUpdate("acme", func(billing.Tx) error { return nil })
	if rev := w.revision(); rev != before {
		t.Errorf("an empty decision made revision %d after %d", rev, before)
	}
}

func TestCustomerIndex(t *testing.T) {
	w := newWorld(t)
	for i, customer := range []string{"cus_1", "cus_2", ""} {
		w.mustUpdate("acme", func(tx billing.Tx) error {
			tx.Record().Customer = customer
			return nil
		})
		want := []string{resource.CustomerIndex(customer)}
		if customer == "" {
			want = nil
		}
		if got := w.keys(resource.CustomerIndex("")); !slices.Equal(got, want) {
			t.Errorf("%d: %v", i, got)
		}
	}
}

func TestAccounts(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.mustUpdate(fmt.Sprintf("acct-%d", i), func(tx billing.Tx) error {
			tx.Record().NeedCustomer = true
			return nil
		})
	}
	first, err := w.payments.Accounts(t.Context(), "", 3)
	if err != nil || !slices.Equal(first, []string{"acct-0", "acct-1", "acct-2"}) {
		t.Fatalf("%v, %v", first, err)
	}
	rest, err := w.payments.Accounts(t.Context(), "acct-2", 3)
	if err != nil || !slices.Equal(rest, []string{"acct-3", "acct-4"}) {
		t.Fatalf("%v, %v", rest, err)
	}
}

func TestContactAndMail(t *testing.T) {
	w := newWorld(t)
	w.account("acme")
	w.put(resource.ForAccount("acme").Member("m0"), &storev1.MemberRecord{Member: &breakwaterv1.Member{
		Email: "invited@acme.example", Role: breakwaterv1.Member_OWNER, State: breakwaterv1.Member_INVITED,
	}})
	for _, test := range []struct {
		details     *breakwaterv1.Billing
		email, name string
	}{
		{nil, "owner@acme.example", "The acme"},
		{&breakwaterv1.Billing{Email: "pay@acme.example", LegalName: "Acme Inc."}, "pay@acme.example", "Acme Inc."},
	} {
		w.mustUpdate("acme", func(tx billing.Tx) error {
			tx.Record().Details = test.details
			if email, name, err := tx.Contact(); err != nil || email != test.email || name != test.name {
				t.Errorf("%s, %s, %v", email, name, err)
			}
			return tx.Mail("overdue.1", "Please pay", "Dear customer")
		})
		item, letter := &storev1.OutboxItem{}, &storev1.Mail{}
		if !w.get(resource.Outbox("mail-acme-overdue.1"), item) || proto.Unmarshal(item.GetPayload(), letter) != nil ||
			!slices.Equal(letter.GetTo(), []string{test.email}) {
			t.Errorf("%v", letter)
		}
	}
	w.mustUpdate("nobody", func(tx billing.Tx) error { return tx.Mail("x", "s", "t") })
}

func TestEntitle(t *testing.T) {
	w := newWorld(t)
	w.account("acme")
	config := &breakwaterv1.SiteConfig{Apps: map[string]*breakwaterv1.SiteApp{"prefetch": {Enabled: true}, "minify": {Enabled: true}}}
	w.site("acme", "shop.test", "business", config)
	entitle := func(plan, why string) {
		t.Helper()
		w.mustUpdate("acme", func(tx billing.Tx) error {
			if err := tx.Entitle("shop.test", plan, why); err != nil {
				return err
			}
			s, ok, err := tx.Site("shop.test")
			if !ok || s.Plan != plan || s.Deleted {
				t.Errorf("within the change: %v %v", s, ok)
			}
			return err
		})
	}
	entitle("free", "the period ended")
	rec := w.siteRecord("acme", "shop.test")
	if rec.GetSite().GetPlan() != "free" || rec.GetSite().GetVersion() != 2 || rec.GetConfig().GetApps()["prefetch"].GetEnabled() ||
		!rec.GetConfig().GetApps()["minify"].GetEnabled() || !slices.Equal(rec.GetParked().GetApps(), []string{"prefetch"}) {
		t.Fatalf("after the fall: %v", rec)
	}
	version := &breakwaterv1.Version{}
	if !w.get(resource.ForAccount("acme").Version("shop.test", 2), version) || version.GetCause() != "ChangePlan" ||
		!slices.Contains(version.GetChangedFields(), "plan") || !slices.Contains(version.GetChangedFields(), "apps.prefetch.enabled") {
		t.Errorf("version: %v", version)
	}
	event := &breakwaterv1.AuditEvent{}
	if keys := w.keys(resource.ForAccount("acme").AuditNewOf()); len(keys) != 1 || !w.get(keys[0], event) ||
		!strings.Contains(event.GetSummary(), "from business to free: the period ended") || event.GetVersion() != 2 {
		t.Errorf("audited %v", event)
	}
	entitle("free", "again") // Has it already.
	if v := w.siteRecord("acme", "shop.test").GetSite().GetVersion(); v != 2 {
		t.Errorf("nothing changed, and there is version %d", v)
	}
	entitle("business", "paid")
	if rec = w.siteRecord("acme", "shop.test"); !rec.GetConfig().GetApps()["prefetch"].GetEnabled() || rec.GetParked() != nil {
		t.Errorf("did not come back: %v", rec)
	}
	// A site that is gone is left alone.
	w.mustUpdate("acme", func(tx billing.Tx) error { return tx.Entitle("gone.test", "pro", "") })
}

// TestEntitleCompiles: what would come back stays aside where the site would not compile
// with it.
func TestEntitleCompiles(t *testing.T) {
	w := newWorld(t)
	w.put(resource.LimitsKey, &storev1.LimitsRecord{Limits: limitsOf(12)})
	entries := func(net, n int) (out []*breakwaterv1.ThreatSettings_FirewallEntry) {
		for i := range n {
			out = append(out, &breakwaterv1.ThreatSettings_FirewallEntry{
				Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: fmt.Sprintf("203.0.%d.%d", net, i)},
				Action: breakwaterv1.ThreatSettings_BLOCK,
			})
		}
		return out
	}
	w.site("acme", "shop.test", "pro", &breakwaterv1.SiteConfig{ThreatSettings: &breakwaterv1.ThreatSettings{FirewallEntries: entries(113, 12)}})
	w.mustUpdate("acme", func(tx billing.Tx) error { return tx.Entitle("shop.test", "free", "") })
	rec := w.siteRecord("acme", "shop.test")
	rec.Config.ThreatSettings.RateLimits = []*breakwaterv1.ThreatSettings_RateLimit{
		{Match: `path = "/x"`, Requests: 1, PeriodSeconds: 1, Action: breakwaterv1.ThreatSettings_BLOCK},
	}
	w.put(resource.ForAccount("acme").Site("shop.test"), rec)
	w.mustUpdate("acme", func(tx billing.Tx) error { return tx.Entitle("shop.test", "pro", "") })
	rec = w.siteRecord("acme", "shop.test")
	if rec.GetSite().GetPlan() != "pro" || len(rec.GetConfig().GetThreatSettings().GetFirewallEntries()) != 10 || len(rec.GetParked().GetFirewallEntries()) != 2 {
		t.Errorf("%v", rec)
	}
}

// TestEntitleIsBounded: one change never outgrows a transaction.
func TestEntitleIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.site("acme", fmt.Sprintf("s%d.test", i), "pro", nil)
	}
	err := w.update("acme", func(tx billing.Tx) error {
		for i := range 40 {
			if err := tx.Entitle(fmt.Sprintf("s%d.test", i), "free", ""); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, billing.ErrFull) || w.siteRecord("acme", "s0.test").GetSite().GetPlan() != "pro" {
		t.Errorf("40 sites in one change: %v", err)
	}
	// Large sites come one by one.
	large := &breakwaterv1.SiteConfig{Apps: map[string]*breakwaterv1.SiteApp{"minify": {Settings: &structpb.Struct{
		Fields: map[string]*structpb.Value{"x": structpb.NewStringValue(strings.Repeat("x", 3<<20))},
	}}}}
	for _, domain := range []string{"big1.test", "big2.test"} {
		w.site("acme", domain, "pro", large)
	}
	w.mustUpdate("acme", func(tx billing.Tx) error {
		if err := tx.Entitle("big1.test", "free", ""); err != nil {
			t.Errorf("the first site: %v", err)
		}
		if err := tx.Entitle("big2.test", "free", ""); !errors.Is(err, billing.ErrFull) {
			t.Errorf("the second site: %v", err)
		}
		return nil
	})
}

// TestPendingSites: a site that waits for its proof waits as long as it takes while it is
// paid for, and is given up in the end when it is not.
func TestPendingSites(t *testing.T) {
	w := newWorld(t)
	w.site("acme", "shop.test", "pro", nil)
	rec := w.siteRecord("acme", "shop.test")
	rec.Site.State = breakwaterv1.Site_PENDING
	w.put(resource.ForAccount("acme").Site("shop.test"), rec)
	w.mustUpdate("acme", func(tx billing.Tx) error { return tx.Entitle("shop.test", "free", "") })
	if w.siteRecord("acme", "shop.test").GetSite().GetExpireTime() == nil {
		t.Error("nobody pays for it, and it waits for ever")
	}
}
