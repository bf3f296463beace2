package stripe

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	stripego "github.com/stripe/stripe-go/v76"
	"google.golang.org/genproto/googleapis/type/postaladdress"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

func TestUnpaidInvoices(t *testing.T) {
	const hosted = `"status": "open", "hosted_invoice_url": "https://invoice.example/1"`
	for name, test := range map[string]struct {
		text    string
		action  *billing.Action
		failure string
		method  string
	}{
		"not tried":      {text: hosted},
		"not expanded":   {text: hosted + `, "payment_intent": "pi_1"`},
		"no card yet":    {text: hosted + `, "payment_intent": {"id": "pi_1", "status": "requires_payment_method"}`},
		"declined":       {text: hosted + `, "payment_intent": {"id": "pi_1", "status": "requires_payment_method", "last_payment_error": {"code": "card_declined", "message": "Your card was declined.", "payment_method": {"id": "pm_1"}}}`, failure: "Your card was declined.", method: "pm_1"},
		"without words":  {text: hosted + `, "payment_intent": {"id": "pi_1", "status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}}`, failure: "card_declined"},
		"by Stripe.js":   {text: hosted + `, "payment_intent": {"id": "pi_1", "status": "requires_action", "payment_method": "pm_2", "client_secret": "cs", "next_action": {"type": "use_stripe_sdk"}}`, action: &billing.Action{URL: "https://invoice.example/1", ClientSecret: "cs"}, method: "pm_2"},
		"by redirection": {text: hosted + `, "payment_intent": {"id": "pi_1", "status": "requires_action", "client_secret": "cs", "next_action": {"redirect_to_url": {"url": "https://bank.example"}}}`, action: &billing.Action{URL: "https://bank.example", ClientSecret: "cs"}},
		"paid since":     {text: `"status": "paid", "payment_intent": {"id": "pi_1", "status": "succeeded", "last_payment_error": {"message": "Your card was declined."}}`},
		"void since":     {text: `"status": "void", "payment_intent": {"id": "pi_1", "status": "requires_action", "client_secret": "cs"}`},
	} {
		t.Run(name, func(t *testing.T) {
			i := &stripego.Invoice{}
			if err := json.Unmarshal([]byte(`{"id": "in_1", "object": "invoice", `+test.text+`}`), i); err != nil {
				t.Fatal(err)
			}
			got := asInvoice(i)
			if (got.Action == nil) != (test.action == nil) || got.Action != nil && *got.Action != *test.action || got.Failure != test.failure || got.FailedMethodID != test.method {
				t.Errorf("action %+v, failure %q of %q", got.Action, got.Failure, got.FailedMethodID)
			}
		})
	}
}

func TestInvoiceStates(t *testing.T) {
	for text, want := range map[string]breakwaterv1.Invoice_State{
		"draft": breakwaterv1.Invoice_DRAFT, "open": breakwaterv1.Invoice_OPEN, "paid": breakwaterv1.Invoice_PAID,
		"void": breakwaterv1.Invoice_VOID, "uncollectible": breakwaterv1.Invoice_UNCOLLECTIBLE,
		"something new": breakwaterv1.Invoice_STATE_UNSPECIFIED,
	} {
		if got := asInvoice(&stripego.Invoice{Status: stripego.InvoiceStatus(text)}).State; got != want {
			t.Errorf("%s is %s", text, got)
		}
	}
}

func TestInvoiceFields(t *testing.T) {
	i := &stripego.Invoice{}
	if err := json.Unmarshal([]byte(`{"id": "in_1", "object": "invoice", "customer": "cus_1", "subscription": "sub_1", "number": "A-1",
		"billing_reason": "subscription_cycle", "status": "paid", "created": 10, "status_transitions": {"paid_at": 20},
		"subtotal": 100, "tax": 19, "total": 119, "amount_due": 109, "amount_paid": 109, "amount_remaining": 0, "attempt_count": 2,
		"customer_name": "Acme", "customer_email": "a@x.example", "customer_address": {"line1": "Street 1", "country": "DE"},
		"customer_tax_ids": [{"type": "eu_vat", "value": "DE1"}],
		"next_payment_attempt": null, "hosted_invoice_url": "h", "invoice_pdf": "p", "lines": {"object": "list", "data": [
			{"id": "il_1", "description": "1 × Pro", "amount": 100, "quantity": 1, "proration": true, "period": {"start": 1, "end": 2},
			 "price": {"id": "price_1", "lookup_key": "breakwater_monthly_pro"}},
			{"id": "il_2", "description": "a mug", "amount": 0, "price": {"id": "price_2"}}]}}`), i); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", *asInvoice(i))
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	want := fmt.Sprintf("%+v", billing.Invoice{
		ID: "in_1", Customer: "cus_1", Subscription: "sub_1", Number: "A-1", Reason: billing.ReasonCycle, State: breakwaterv1.Invoice_PAID,
		Created: at(10), Paid: at(20), Subtotal: 100, Tax: 19, Total: 119, AmountDue: 109, AmountPaid: 109, Attempts: 2, HostedURL: "h", PDFURL: "p",
		Lines: []billing.InvoiceLine{
			{Description: "1 × Pro", Plan: "pro", Quantity: 1, Amount: 100, Proration: true, PeriodStart: at(1), PeriodEnd: at(2)},
			{Description: "a mug"},
		},
		Email: "a@x.example", Details: &breakwaterv1.Billing{
			LegalName: "Acme", Address: &postaladdress.PostalAddress{RegionCode: "DE", AddressLines: []string{"Street 1"}},
			TaxIds: []*breakwaterv1.Billing_TaxId{{Type: "eu_vat", Value: "DE1"}},
		},
	})
	if got != want {
		t.Errorf("%s\ninstead of\n%s", got, want)
	}
}

func TestPlanOfAPrice(t *testing.T) {
	for want, price := range map[string]*stripego.Price{
		"":         nil,
		"pro":      {ID: "price_1", Metadata: map[string]string{planKey: "pro"}},
		"business": {ID: "price_1", LookupKey: "breakwater_monthly_business"},
		"price_1":  {ID: "price_1", LookupKey: "monthly"},
	} {
		if got := planOf(price); got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

func linesOf(from, n int) []string {
	var lines []string
	for k := range n {
		lines = append(lines, fmt.Sprintf(`{"id": "il_%d", "object": "line_item", "amount": %d, "proration": true, "period": {"start": %d, "end": 9}}`, from+k, from+k, (from+k)%2))
	}
	return lines
}

// TestManyLines has an invoice with more lines than are read.
func TestManyLines(t *testing.T) {
	m := newMock(t)
	more := func(list string) string { return strings.Replace(list, `"has_more": false`, `"has_more": true`, 1) }
	m.answer("GET /v1/invoices/in_1", `{"id": "in_1", "object": "invoice", "lines": `+more(listOf(linesOf(0, 10)...))+`}`)
	m.answer("GET /v1/invoices/in_1/lines", more(listOf(linesOf(10, 100)...)), more(listOf(linesOf(110, 100)...)), more(listOf(linesOf(210, 40)...)))
	i, err := newProvider(t, m).Invoice(t.Context(), "in_1")
	if err != nil || len(i.Lines) != maxLines {
		t.Fatalf("%d lines, %v", len(i.Lines), err)
	}
	for n, l := range i.Lines {
		if l.Amount != int64(n) {
			t.Fatalf("line %d is %+v", n, l)
		}
	}
	var asked []string
	for _, one := range m.take(t)[1:] {
		asked = append(asked, one.form.Get("starting_after")+" "+one.form.Get("limit"))
	}
	if got := strings.Join(asked, ", "); got != "il_9 100, il_109 100, il_209 40" {
		t.Errorf("asked for %s", got)
	}
}

// TestPreviewCountsItsOwn has an upcoming invoice that shows more than the upgrade.
func TestPreviewCountsItsOwn(t *testing.T) {
	m := newMock(t)
	m.stock()
	m.answer("GET /v1/subscriptions/sub_1", subscriptionObject(itemObject("si_1", "pro", 1)))
	m.answer("GET /v1/invoices/upcoming", object(map[string]any{
		"object": "invoice", "amount_due": 99999, "lines": map[string]any{"object": "list", "data": []any{
			map[string]any{"id": "il_1", "amount": -1000, "proration": true, "period": map[string]any{"start": 50, "end": 99}},
			map[string]any{"id": "il_2", "amount": 10000, "proration": true, "period": map[string]any{"start": 50, "end": 99}},
			map[string]any{"id": "il_3", "amount": 7, "proration": true, "period": map[string]any{"start": 40, "end": 99}},
			map[string]any{"id": "il_4", "amount": 20000, "proration": false, "period": map[string]any{"start": 50, "end": 199}},
		}},
	}))
	p := newProvider(t, m)
	u := billing.UpgradeRequest{Subscription: "sub_1", Quantities: billing.Quantities{"business": 1}, ProrationTime: time.Unix(50, 0)}
	i, err := p.Preview(t.Context(), u)
	if err != nil || len(i.Lines) != 2 || i.Total != 9000 || i.AmountDue != 9000 || i.Customer != "cus_1" {
		t.Fatalf("%+v, %v", i, err)
	}
	u.Quantities = billing.Quantities{"pro": 1}
	if i, err = p.Preview(t.Context(), u); err != nil || i.Total != 0 || len(i.Lines) != 0 {
		t.Fatalf("%+v, %v", i, err)
	}
	m.take(t)
}

func TestSubscriptionsOfACustomer(t *testing.T) {
	m := newMock(t)
	of := func(id, status string) string {
		return object(map[string]any{"id": id, "object": "subscription", "status": status})
	}
	list := []string{of("sub_over", "incomplete_expired"), of("sub_gone", "canceled")}
	for n := range 12 {
		list = append(list, of(fmt.Sprintf("sub_%d", n), "active"))
	}
	m.answer("GET /v1/subscriptions", listOf(list...))
	live, err := newProvider(t, m).CustomerSubscriptions(t.Context(), "cus_1")
	if err != nil || len(live) != maxSubscriptions || live[0].ID != "sub_0" {
		t.Errorf("%v, %v", live, err)
	}
}

// TestRememberedPrices asks once for some minutes, and again after a refusal.
func TestRememberedPrices(t *testing.T) {
	m, clock := newMock(t), clockwork.NewFakeClock()
	m.stock()
	p := newProvider(t, m, func(c *Config) { c.Clock = clock })
	create := func(ctx context.Context) error {
		_, err := p.CreateSubscription(ctx, "k", billing.SubscriptionRequest{Customer: "cus_1", Quantities: billing.Quantities{"pro": 1}})
		return err
	}
	asked := func() (n int) {
		for _, one := range m.take(t) {
			if one.path == "/v1/prices" {
				n++
			}
		}
		return n
	}
	for range 3 {
		if err := create(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	good := subscriptionObject(itemObject("si_1", "pro", 1))
	m.answer("POST /v1/subscriptions", m.failure(http.StatusBadRequest, `{"type":"invalid_request_error","message":"The price specified is inactive."}`), good)
	if err := create(t.Context()); err == nil {
		t.Error("a refusal is lost")
	}
	if err := create(t.Context()); err != nil {
		t.Error(err)
	}
	if n := asked(); n != 1 {
		t.Errorf("asked %d times after a refusal", n)
	}
	clock.Advance(rememberFor)
	if err := create(t.Context()); err != nil {
		t.Error(err)
	}
	if n := asked(); n != 1 {
		t.Errorf("asked %d times some minutes later", n)
	}
	if prices, err := p.todaysPrices(t.Context()); err != nil || !maps.Equal(prices, todays) {
		t.Errorf("%v, %v", prices, err)
	}
}
