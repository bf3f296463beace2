package stripetest

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// upgraded asks for Business instead of Pro, as a pending update.
func (a *api) upgraded(sub object) object {
	a.Helper()
	return a.post("/v1/subscriptions/"+sub["id"].(string), "items[0][id]", item0(sub, 0), "items[0][price]", a.prices["Business"],
		"items[0][quantity]", "1", "proration_behavior", "always_invoice", "payment_behavior", "pending_if_incomplete",
		"expand[]", "latest_invoice.payment_intent")
}

func (a *api) plan(sub object) string {
	a.Helper()
	now := a.get("/v1/subscriptions/" + sub["id"].(string))
	return now["items"].(object)["data"].([]any)[0].(object)["price"].(object)["lookup_key"].(string)
}

func TestPendingUpdate(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "1")
	a.SetBehaviour(customer, Decline)
	// 18000 = 20000 − 2000: the whole period is left.
	got := a.upgraded(sub)
	latest := got["latest_invoice"].(object)
	if got["status"] != "active" || got["pending_update"] == nil || a.plan(sub) != "pro" || latest["status"] != "open" ||
		cents(latest, "amount_due") != 18000 || latest["payment_intent"].(object)["status"] != "requires_payment_method" {
		t.Fatalf("%v", got)
	}
	if expires := instant(got["pending_update"].(object), "expires_at"); !expires.Equal(epoch.Add(23 * time.Hour)) {
		t.Errorf("expires %v", expires)
	}
	// Paying with the same card fails again; with another it applies the update.
	e := a.refused(http.StatusPaymentRequired, http.MethodPost, "/v1/invoices/"+latest["id"].(string)+"/pay")
	if e["code"] != "card_declined" || e["payment_intent"] == nil {
		t.Errorf("%v", e)
	}
	if _, err := a.AddCard(customer, Card{}); err != nil {
		t.Fatal(err)
	}
	a.TakeEvents()
	if got := a.post("/v1/invoices/" + latest["id"].(string) + "/pay"); got["status"] != "paid" {
		t.Errorf("%v", got)
	}
	if a.plan(sub) != "business" || a.Charged(customer) != 2000+18000 {
		t.Errorf("plan %s, charged %d", a.plan(sub), a.Charged(customer))
	}
	if got := types(a.TakeEvents()); !slices.Contains(got, "customer.subscription.pending_update_applied") {
		t.Errorf("%v", got)
	}
	a.refused(http.StatusBadRequest, http.MethodPost, "/v1/invoices/"+latest["id"].(string)+"/pay")
	a.refused(http.StatusBadRequest, http.MethodPost, "/v1/invoices/"+latest["id"].(string)+"/void")
}

func TestPendingUpdateEnds(t *testing.T) {
	for name, end := range map[string]func(a *api, sub object, invoice string){
		"expired":  func(a *api, _ object, _ string) { a.clock.Advance(23 * time.Hour) },
		"voided":   func(a *api, _ object, invoice string) { a.post("/v1/invoices/" + invoice + "/void") },
		"replaced": func(a *api, sub object, _ string) { a.SetBehaviour("", Accept); a.upgradedTo(sub, "Enterprise") },
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, epoch, Config{})
			customer := a.customer(Card{})
			sub := a.subscribe(customer, "Pro", "1")
			a.SetBehaviour(customer, Decline)
			first := a.upgraded(sub)["latest_invoice"].(object)["id"].(string)
			end(a, sub, first)
			if got := a.get("/v1/invoices/" + first); got["status"] != "void" {
				t.Errorf("the invoice is %v", got["status"])
			}
			now := a.get("/v1/subscriptions/" + sub["id"].(string))
			if pending := now["pending_update"] != nil; pending != (name == "replaced") || now["status"] != "active" {
				t.Errorf("%v", now["pending_update"])
			}
			if a.plan(sub) != "pro" || a.Charged(customer) != 2000 {
				t.Errorf("plan %s, charged %d", a.plan(sub), a.Charged(customer))
			}
			if !slices.Contains(types(a.TakeEvents()), "customer.subscription.pending_update_expired") {
				t.Error("no event says so")
			}
			a.SetBehaviour(customer, Accept)
			a.refused(http.StatusBadRequest, http.MethodPost, "/v1/invoices/"+first+"/pay")
		})
	}
}

func (a *api) upgradedTo(sub object, plan string) {
	a.Helper()
	a.post("/v1/subscriptions/"+sub["id"].(string), "items[0][id]", item0(sub, 0), "items[0][price]", a.prices[plan],
		"proration_behavior", "always_invoice", "payment_behavior", "pending_if_incomplete")
}

// TestPendingAtPeriodEnd: an update expires with the period, before the renewal bills.
func TestPendingAtPeriodEnd(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "1")
	a.clock.Advance(31*24*time.Hour - 12*time.Hour)
	a.SetBehaviour(customer, RequireAction)
	got := a.upgraded(sub)
	invoice := got["latest_invoice"].(object)["id"].(string)
	if expires := instant(got["pending_update"].(object), "expires_at"); !expires.Equal(instant(sub, "current_period_end")) {
		t.Errorf("expires %v", expires)
	}
	a.clock.Advance(12 * time.Hour)
	if err := a.Confirm(invoice); !errors.Is(err, ErrNoAction) {
		t.Errorf("confirmed after the end: %v", err)
	}
	latest := a.latest(sub)
	if a.plan(sub) != "pro" || latest["billing_reason"] != "subscription_cycle" || cents(latest, "total") != 2000 {
		t.Errorf("%v", latest)
	}
}

func TestRequiresAction(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "1")
	a.SetBehaviour(customer, RequireAction)
	latest := a.upgraded(sub)["latest_invoice"].(object)
	intent := latest["payment_intent"].(object)
	if intent["status"] != "requires_action" || intent["next_action"] == nil || !strings.HasPrefix(intent["client_secret"].(string), intent["id"].(string)) {
		t.Fatalf("%v", intent)
	}
	id := latest["id"].(string)
	e := a.refused(http.StatusPaymentRequired, http.MethodPost, "/v1/invoices/"+id+"/pay")
	if e["code"] != "invoice_payment_intent_requires_action" || e["payment_intent"].(object)["client_secret"] != intent["client_secret"] {
		t.Errorf("%v", e)
	}
	if err := a.FailAction(id); err != nil {
		t.Fatal(err)
	}
	if err := a.Confirm(id); !errors.Is(err, ErrNoAction) {
		t.Errorf("confirmed after the failure: %v", err)
	}
	a.refused(http.StatusPaymentRequired, http.MethodPost, "/v1/invoices/"+id+"/pay")
	if err := a.Confirm(id); err != nil {
		t.Fatal(err)
	}
	if a.plan(sub) != "business" || a.Charged(customer) != 20000 {
		t.Errorf("plan %s, charged %d", a.plan(sub), a.Charged(customer))
	}
}

// TestPendingRefuses: only what the documentation lists goes with pending_if_incomplete.
func TestPendingRefuses(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "1", "Business", "1")
	path := "/v1/subscriptions/" + sub["id"].(string)
	for _, extra := range [][]string{
		{"metadata[a]", "b"},
		{"cancel_at_period_end", "false"},
		{"description", "x"},
		{"off_session", "true"},
		{"items[0][id]", item0(sub, 0), "items[0][deleted]", "true"},
		{"items[0][id]", item0(sub, 0), "items[0][metadata][a]", "b"},
		{"payment_settings[payment_method_types][0]", "card"},
	} {
		e := a.refused(http.StatusBadRequest, http.MethodPost, path, append([]string{
			"payment_behavior", "pending_if_incomplete", "proration_behavior", "always_invoice",
			"items[1][id]", item0(sub, 1), "items[1][quantity]", "2",
		}, extra...)...)
		if !strings.Contains(e["message"].(string), "you can only pass supported params") {
			t.Errorf("%v: %v", extra, e)
		}
	}
	if e := a.refused(http.StatusBadRequest, http.MethodPost, "/v1/subscriptions", append([]string{
		"customer", customer, "payment_behavior", "pending_if_incomplete",
	}, a.items("Pro", "1")...)...); e["param"] != "payment_behavior" {
		t.Errorf("%v", e)
	}
	if a.Charged(customer) != 22000 {
		t.Errorf("charged %d", a.Charged(customer))
	}
}

// TestItems checks what Stripe refuses of items, and that a new price loses the quantity.
func TestItems(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "3", "Business", "1")
	path := "/v1/subscriptions/" + sub["id"].(string)
	for name, fields := range map[string][]string{
		"the price of another item": {"items[0][id]", item0(sub, 0), "items[0][price]", a.prices["Business"]},
		"a price that is there":     {"items[0][price]", a.prices["Pro"]},
		"no item left":              {"items[0][id]", item0(sub, 0), "items[0][deleted]", "true", "items[1][id]", item0(sub, 1), "items[1][deleted]", "true"},
		"an unknown price":          {"items[0][price]", "price_none"},
		"less than none":            {"items[0][id]", item0(sub, 0), "items[0][quantity]", "-1"},
		"an unknown parameter":      {"items[0][id]", item0(sub, 0), "items[0][colour]", "red"},
	} {
		if status, v, _ := a.try(http.MethodPost, path, "", append(fields, "proration_behavior", "none")...); status < 400 || status >= 500 {
			t.Errorf("%s: %d %v", name, status, v)
		}
	}
	got := a.post(path, "proration_behavior", "none", "items[0][id]", item0(sub, 0), "items[0][price]", a.prices["Enterprise"])
	if n := got["items"].(object)["data"].([]any)[0].(object)["quantity"]; n != 1.0 {
		t.Errorf("the quantity is %v", n)
	}
	if e := a.refused(http.StatusBadRequest, http.MethodPost, path, "colour", "red"); e["code"] != "parameter_unknown" || e["param"] != "colour" {
		t.Errorf("%v", e)
	}
}
