package stripe

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

const firstSync = `+ product pro "Pro"
+ price pro $20.00/month
+ product business "Business"
+ price business $200.00/month
+ product enterprise "Enterprise"
+ price enterprise $3000.00/month
+ portal configuration
+ webhook https://a.example/webhooks/stripe
`

func (w *world) printSync(t *testing.T, plans *billing.Plans, dryRun bool, want string) Diff {
	t.Helper()
	var out bytes.Buffer
	diff, err := w.PrintSync(t.Context(), plans, dryRun, &out)
	if err != nil || out.String() != want {
		t.Fatalf("printed\n%sinstead of\n%s%v", &out, want, err)
	}
	return diff
}

func TestSync(t *testing.T) {
	w := newWorld(t)
	if err := w.Check(t.Context()); !errors.Is(err, billing.ErrRefused) || !strings.Contains(err.Error(), "breakwaterd billing sync") {
		t.Errorf("an empty account passes: %v", err)
	}
	w.printSync(t, w.plans, true, firstSync)
	if len(w.posts) > 0 {
		t.Fatalf("a dry run sent %v", w.posts)
	}
	if made := w.printSync(t, w.plans, false, firstSync); made.WebhookSecret == "" || strings.Contains(fmt.Sprint(made), string(made.WebhookSecret)) {
		t.Error("the webhook's secret is lost, or shows")
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
	sent := len(w.posts)
	if again := w.printSync(t, w.plans, false, ""); len(again.Changes) > 0 || len(w.posts) != sent {
		t.Errorf("the second sync sent %v", w.posts[sent:])
	}
}

func TestSyncChangesAPrice(t *testing.T) {
	w, _, sub := subscribed(t, billing.Quantities{"pro": 1})
	dearer := load(t)
	for _, plan := range dearer.All() {
		if planID(plan) == "pro" {
			plan.Price.Units, plan.DisplayName = 25, "Pro+"
		}
	}
	const want = "~ product pro \"Pro+\", was \"Pro\"\n+ price pro $25.00/month\n- price pro $20.00/month\n"
	w.printSync(t, dearer, true, want)
	w.printSync(t, dearer, false, want)
	w.printSync(t, dearer, false, "")
	// Who subscribed before pays the old price, also for more sites, and it is still pro.
	up, err := w.Upgrade(t.Context(), "u", billing.UpgradeRequest{Subscription: sub.ID, Quantities: billing.Quantities{"pro": 2}, ProrationTime: w.clock.Now()})
	if err != nil || up.Quantities["pro"] != 2 || up.Latest.AmountPaid != 2000 {
		t.Fatalf("%+v, %v", up, err)
	}
	prices, err := w.todaysPrices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, err := w.prices.Get(prices["pro"], &stripego.PriceParams{Params: stripego.Params{Context: t.Context()}})
	if err != nil || one.UnitAmount != 2500 {
		t.Errorf("%+v, %v", one, err)
	}
	w.printSync(t, load(t), false, "~ product pro \"Pro\", was \"Pro+\"\n+ price pro $20.00/month\n- price pro $25.00/month\n")
}

func TestSyncRepairs(t *testing.T) {
	w := newWorld(t)
	w.printSync(t, w.plans, false, firstSync)
	params := stripego.Params{Context: t.Context()}
	if _, err := w.products.Update(productID("business"), &stripego.ProductParams{Params: params, Active: new(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.products.New(&stripego.ProductParams{
		Params: params, ID: new(productID("gold")), Name: new("Gold"), Metadata: map[string]string{planKey: "gold"},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.products.New(&stripego.ProductParams{Params: params, Name: new("Mugs")}); err != nil {
		t.Fatal(err)
	}
	portal, err := w.findPortal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.portalConfigs.Update(portal.ID, &stripego.BillingPortalConfigurationParams{
		Params: params,
		Features: &stripego.BillingPortalConfigurationFeaturesParams{
			SubscriptionUpdate: &stripego.BillingPortalConfigurationFeaturesSubscriptionUpdateParams{Enabled: new(true)},
		},
	}); err != nil {
		t.Fatal(err)
	}
	w.printSync(t, w.plans, false, "~ product business sold again\n- product gold\n~ portal configuration\n")
	w.printSync(t, w.plans, false, "")
}

// TestSyncIsCompleted cuts a sync short at each of its calls; the next completes it.
func TestSyncIsCompleted(t *testing.T) {
	for cut := range 8 {
		w, n := newWorld(t), 0
		w.fault = func(r stripetest.Request) stripetest.Fault {
			if r.Method == http.MethodPost {
				if n++; n == cut+1 {
					return stripetest.TimeoutAfter
				}
			}
			return stripetest.None
		}
		first, err := w.Sync(t.Context(), w.plans, false)
		if !errors.Is(err, billing.ErrRetry) || len(first.Changes) != cut {
			t.Fatalf("cut at %d: %v, %v", cut, first, err)
		}
		second, err := w.Sync(t.Context(), w.plans, false)
		if err != nil || len(first.Changes)+1+len(second.Changes) != 8 {
			t.Errorf("cut at %d: %v, then %v, %v", cut, first, second, err)
		}
		if again, err := w.Sync(t.Context(), w.plans, false); err != nil || len(again.Changes) > 0 {
			t.Errorf("cut at %d: %v is left, %v", cut, again, err)
		}
	}
}

// TestSyncRequests has Stripe's specification look at every request of a sync.
func TestSyncRequests(t *testing.T) {
	withURLs := func(c *Config) {
		c.PrivacyURL, c.TermsURL, c.WebhookURL = "https://a.example/p", "https://a.example/t", "https://a.example/w"
	}
	missing := func(m *mock) string {
		return m.failure(http.StatusNotFound, `{"type":"invalid_request_error","code":"resource_missing","message":"No such product"}`)
	}
	for name, test := range map[string]struct {
		prepare func(*mock)
		want    []string
	}{
		"all is new": {func(m *mock) {
			for _, plan := range []string{"pro", "business", "enterprise"} {
				m.answer("GET /v1/products/"+productID(plan), missing(m))
			}
			m.answer("GET /v1/prices", listOf())
			m.answer("GET /v1/billing_portal/configurations", listOf())
		}, []string{"POST /v1/products", "POST /v1/prices", "POST /v1/billing_portal/configurations", "POST /v1/webhook_endpoints"}},
		"all is different": {func(m *mock) {
			m.answer("GET /v1/products/"+productID("pro"), object(map[string]any{
				"id": productID("pro"), "object": "product", "active": false, "name": "x", "default_price": "price_old",
			}))
			m.answer("GET /v1/prices", listOf(priceObject("pro", "price_old", 1)))
			m.answer("GET /v1/products", listOf(object(map[string]any{
				"id": productID("gold"), "object": "product", "active": true, "metadata": map[string]string{planKey: "gold"},
			})))
			m.answer("GET /v1/billing_portal/configurations", listOf(portalObject(true)))
			m.answer("GET /v1/webhook_endpoints", listOf(object(map[string]any{
				"id": "we_1", "object": "webhook_endpoint", "url": "https://a.example/w", "status": "disabled", "enabled_events": []string{"*"},
				"api_version": APIVersion,
			}), object(map[string]any{
				"id": "we_2", "object": "webhook_endpoint", "url": "https://a.example/w", "status": "enabled", "api_version": "2022-11-15",
			}), object(map[string]any{
				"id": "we_3", "object": "webhook_endpoint", "url": "https://b.example/w", "status": "enabled", "api_version": "2022-11-15",
			})))
		}, []string{
			"POST /v1/products/breakwater_pro", "POST /v1/products/breakwater_gold", "POST /v1/prices", "POST /v1/prices/price_old",
			"POST /v1/billing_portal/configurations/bpc_1", "POST /v1/webhook_endpoints/we_1", "POST /v1/webhook_endpoints/we_2",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMock(t)
			test.prepare(m)
			p := newProvider(t, m, withURLs)
			if _, err := p.Sync(t.Context(), p.plans, false); err != nil {
				t.Fatal(err)
			}
			sent := map[string]bool{}
			for _, one := range m.take(t) {
				sent[one.line()] = true
			}
			if sent["POST /v1/webhook_endpoints/we_3"] {
				t.Error("somebody else's endpoint is changed")
			}
			for _, line := range test.want {
				if !sent[line] {
					t.Errorf("no %s", line)
				}
			}
		})
	}
}
