package stripe

import (
	"context"
	"net/url"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/type/postaladdress"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

func subscriptionObject(items ...map[string]any) string {
	return object(map[string]any{
		"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active",
		"current_period_start": 1_700_000_000, "current_period_end": 1_702_592_000,
		"metadata": map[string]string{accountKey: "acme"},
		"items":    map[string]any{"object": "list", "data": items},
	})
}

func itemObject(id, plan string, quantity int) map[string]any {
	return map[string]any{
		"id": id, "object": "subscription_item", "quantity": quantity,
		"price": map[string]any{"id": "price_" + plan, "object": "price", "metadata": map[string]string{planKey: plan}},
	}
}

const expandLatest = "&expand[0]=latest_invoice.payment_intent"

// TestRequests calls every method and looks at each request: Stripe's specification accepts
// it, and it has exactly the parameters that it should have.
func TestRequests(t *testing.T) {
	when := time.Unix(1_701_000_000, 0)
	upgrade := billing.UpgradeRequest{Subscription: "sub_1", ProrationTime: when, Quantities: billing.Quantities{"pro": 1, "business": 1}}
	details := &breakwaterv1.Billing{LegalName: "Acme GmbH", Address: &postaladdress.PostalAddress{
		RegionCode: "DE", PostalCode: "10115", Locality: "Berlin", AddressLines: []string{"Street 1"},
	}}
	const customerForm = "email=a%40example.com&name=Acme+GmbH&address[line1]=Street+1&address[line2]=&address[city]=Berlin" +
		"&address[state]=&address[postal_code]=10115&address[country]=DE&metadata[breakwater_account]=acme" +
		"&expand[0]=invoice_settings.default_payment_method&expand[1]=tax_ids"
	const prices = "GET /v1/prices?active=true&limit=100&lookup_keys[0]=breakwater_monthly_pro" +
		"&lookup_keys[1]=breakwater_monthly_business&lookup_keys[2]=breakwater_monthly_enterprise"
	const getSubscription = "GET /v1/subscriptions/sub_1?" + expandLatest

	for name, test := range map[string]struct {
		call func(context.Context, *Provider) error
		want []string
	}{
		"CreateCustomer": {func(ctx context.Context, p *Provider) error {
			_, err := p.CreateCustomer(ctx, "k", billing.CustomerRequest{Account: "acme", Email: "a@example.com", Details: details})
			return err
		}, []string{"POST /v1/customers?" + customerForm}},
		"CreateCustomer without details": {func(ctx context.Context, p *Provider) error {
			_, err := p.CreateCustomer(ctx, "k", billing.CustomerRequest{Account: "acme", Email: "a@example.com"})
			return err
		}, []string{"POST /v1/customers?email=a%40example.com&name=&address=&metadata[breakwater_account]=acme&expand[0]=invoice_settings.default_payment_method&expand[1]=tax_ids"}},
		"UpdateCustomer": {func(ctx context.Context, p *Provider) error {
			_, err := p.UpdateCustomer(ctx, "k", "cus_1", billing.CustomerRequest{Account: "acme", Email: "a@example.com", Details: details})
			return err
		}, []string{"POST /v1/customers/cus_1?" + customerForm, "GET /v1/customers/cus_1/tax_ids?limit=100"}},
		"Customer": {func(ctx context.Context, p *Provider) error {
			_, err := p.Customer(ctx, "cus_1")
			return err
		}, []string{
			"GET /v1/customers/cus_1?expand[0]=invoice_settings.default_payment_method&expand[1]=tax_ids",
			"GET /v1/checkout/sessions?customer=cus_1&limit=20&expand[0]=data.setup_intent.payment_method",
		}},
		"Credit": {func(ctx context.Context, p *Provider) error { return p.Credit(ctx, "k", "cus_1", 1234, "too much") }, []string{
			"POST /v1/customers/cus_1/balance_transactions?amount=-1234&currency=usd&description=too+much",
		}},
		"CheckoutSession": {func(ctx context.Context, p *Provider) error {
			_, err := p.CheckoutSession(ctx, "k", "cus_1", "https://a.example/ok", "")
			return err
		}, []string{"POST /v1/checkout/sessions?mode=setup&customer=cus_1&payment_method_types[0]=card" +
			"&success_url=https%3A%2F%2Fa.example%2Fok&cancel_url=https%3A%2F%2Fa.example%2Fok"}},
		"PortalSession": {func(ctx context.Context, p *Provider) error {
			_, err := p.PortalSession(ctx, "k", "cus_1", "https://a.example/")
			return err
		}, []string{
			"GET /v1/billing_portal/configurations?active=true&limit=100",
			"POST /v1/billing_portal/sessions?customer=cus_1&configuration=bpc_1&return_url=https%3A%2F%2Fa.example%2F",
		}},
		"CreateSubscription": {func(ctx context.Context, p *Provider) error {
			_, err := p.CreateSubscription(ctx, "k", billing.SubscriptionRequest{
				Customer: "cus_1", Account: "acme", Quantities: billing.Quantities{"pro": 2, "business": 1},
			})
			return err
		}, []string{prices, "POST /v1/subscriptions?customer=cus_1&items[0][price]=price_business&items[0][quantity]=1" +
			"&items[1][price]=price_pro&items[1][quantity]=2&collection_method=charge_automatically&payment_behavior=default_incomplete" +
			"&payment_settings[payment_method_types][0]=card&metadata[breakwater_account]=acme" + expandLatest}},
		"Subscription": {func(ctx context.Context, p *Provider) error {
			_, err := p.Subscription(ctx, "sub_1")
			return err
		}, []string{getSubscription}},
		"CustomerSubscriptions": {func(ctx context.Context, p *Provider) error {
			_, err := p.CustomerSubscriptions(ctx, "cus_1")
			return err
		}, []string{"GET /v1/subscriptions?customer=cus_1&limit=100&expand[0]=data.latest_invoice.payment_intent"}},
		"Upgrade": {func(ctx context.Context, p *Provider) error {
			_, err := p.Upgrade(ctx, "k", upgrade)
			return err
		}, []string{prices, getSubscription, "POST /v1/subscriptions/sub_1?items[0][id]=si_1&items[0][quantity]=1" +
			"&items[1][price]=price_business&items[1][quantity]=1&proration_behavior=always_invoice&proration_date=1701000000" +
			"&payment_behavior=pending_if_incomplete" + expandLatest}},
		"SetQuantities": {func(ctx context.Context, p *Provider) error {
			_, err := p.SetQuantities(ctx, "k", "sub_1", billing.Quantities{"pro": 1})
			return err
		}, []string{prices, getSubscription, "POST /v1/subscriptions/sub_1?items[0][id]=si_1&items[0][quantity]=1&proration_behavior=none" + expandLatest}},
		"SetCancelAtPeriodEnd": {func(ctx context.Context, p *Provider) error {
			_, err := p.SetCancelAtPeriodEnd(ctx, "k", "sub_1", true)
			return err
		}, []string{"POST /v1/subscriptions/sub_1?cancel_at_period_end=true" + expandLatest}},
		"SetCancelAtPeriodEnd back": {func(ctx context.Context, p *Provider) error {
			_, err := p.SetCancelAtPeriodEnd(ctx, "k", "sub_1", false)
			return err
		}, []string{"POST /v1/subscriptions/sub_1?cancel_at_period_end=false" + expandLatest}},
		"CancelSubscription": {func(ctx context.Context, p *Provider) error {
			_, err := p.CancelSubscription(ctx, "k", "sub_1")
			return err
		}, []string{"DELETE /v1/subscriptions/sub_1?invoice_now=false&prorate=false" + expandLatest}},
		"PayInvoice": {func(ctx context.Context, p *Provider) error {
			_, err := p.PayInvoice(ctx, "k", "in_1")
			return err
		}, []string{"POST /v1/invoices/in_1/pay?off_session=false&expand[0]=payment_intent"}},
		"VoidInvoice": {func(ctx context.Context, p *Provider) error {
			_, err := p.VoidInvoice(ctx, "k", "in_1")
			return err
		}, []string{"POST /v1/invoices/in_1/void?expand[0]=payment_intent"}},
		"MarkUncollectible": {func(ctx context.Context, p *Provider) error {
			_, err := p.MarkUncollectible(ctx, "k", "in_1")
			return err
		}, []string{"POST /v1/invoices/in_1/mark_uncollectible?expand[0]=payment_intent"}},
		"Invoice": {func(ctx context.Context, p *Provider) error {
			_, err := p.Invoice(ctx, "in_1")
			return err
		}, []string{"GET /v1/invoices/in_1?expand[0]=payment_intent"}},
		"Invoices": {func(ctx context.Context, p *Provider) error {
			_, _, err := p.Invoices(ctx, "cus_1", "in_9", 20)
			return err
		}, []string{"GET /v1/invoices?customer=cus_1&limit=20&starting_after=in_9&expand[0]=data.payment_intent"}},
		"Preview": {func(ctx context.Context, p *Provider) error {
			_, err := p.Preview(ctx, upgrade)
			return err
		}, []string{prices, getSubscription, "GET /v1/invoices/upcoming?subscription=sub_1&subscription_items[0][id]=si_1" +
			"&subscription_items[0][quantity]=1&subscription_items[1][price]=price_business&subscription_items[1][quantity]=1" +
			"&subscription_proration_behavior=always_invoice&subscription_proration_date=1701000000"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMock(t)
			m.stock()
			m.answer("GET /v1/subscriptions/sub_1", subscriptionObject(itemObject("si_1", "pro", 2)))
			if err := test.call(t.Context(), newProvider(t, m)); err != nil {
				t.Fatal(err)
			}
			compare(t, m.take(t), test.want)
		})
	}
}

// compare fails for requests that are not the wanted ones, to the parameter, and looks at
// the headers of all.
func compare(t *testing.T, got []seen, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d requests instead of %d: %v", len(got), len(want), got)
	}
	for n, one := range got {
		u, err := url.Parse(want[n][len(one.method)+1:])
		if err != nil {
			t.Fatal(err)
		}
		form := u.Query()
		if one.method+" "+u.Path != one.line() || form.Encode() != one.form.Encode() {
			t.Errorf("request %d is\n%s?%s instead of\n%s %s?%s", n, one.line(), one.form.Encode(), one.method, u.Path, form.Encode())
		}
		if one.header.Get("Stripe-Version") != APIVersion || one.header.Get("Authorization") != "Bearer "+testKey {
			t.Errorf("request %d has version %q", n, one.header.Get("Stripe-Version"))
		}
		if key := one.header.Get("Idempotency-Key"); (key == "k") != (one.method != "GET") {
			t.Errorf("%s has the idempotency key %q", one.line(), key)
		}
		if one.header.Get("X-Stripe-Client-Telemetry") != "" {
			t.Error("telemetry is on")
		}
	}
}
