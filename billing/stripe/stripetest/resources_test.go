package stripetest

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestCustomers(t *testing.T) {
	a := start(t, epoch, Config{})
	cus := a.post("/v1/customers", "email", "ann@example.com", "name", "Ann", "address[country]", "CH", "address[city]", "Bern",
		"metadata[account]", "acme", "tax_id_data[0][type]", "eu_vat", "tax_id_data[0][value]", "DE123456789", "expand[]", "tax_ids")
	id := cus["id"].(string)
	if got := cus["tax_ids"].(object)["data"].([]any); len(got) != 1 || cus["address"].(object)["country"] != "CH" {
		t.Errorf("%v", cus)
	}
	got := a.post("/v1/customers/"+id, "name", "", "metadata[account]", "", "metadata[b]", "c")
	if got["name"] != nil || got["metadata"].(object)["account"] != nil || got["metadata"].(object)["b"] != "c" || got["email"] != "ann@example.com" {
		t.Errorf("%v", got)
	}
	if e := a.refused(400, http.MethodPost, "/v1/customers/"+id+"/tax_ids", "type", "eu_vat", "value", "1"); e["code"] != "tax_id_invalid" {
		t.Errorf("%v", e)
	}
	tax := a.post("/v1/customers/"+id+"/tax_ids", "type", "eu_vat", "value", "ATU12345678")
	a.do(http.MethodDelete, "/v1/customers/"+id+"/tax_ids/"+tax["id"].(string))
	if got := a.get("/v1/customers/" + id + "/tax_ids"); len(got["data"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	for _, wrong := range [][]string{{"colour", "red"}, {"address[street]", "x"}, {"address[country]", "Switzerland"}, {"balance", "x"}, {"expand[]", "colour"}} {
		a.refused(400, http.MethodPost, "/v1/customers", wrong...)
	}
	if err := a.DeleteCustomer(id); err != nil {
		t.Fatal(err)
	}
	if got := a.get("/v1/customers/" + id); got["deleted"] != true {
		t.Errorf("%v", got)
	}
	a.refused(404, http.MethodPost, "/v1/customers/"+id, "name", "x")
	a.refused(404, http.MethodGet, "/v1/customers/cus_none")
	a.refused(404, http.MethodGet, "/v1/colours")
}

// TestCheckout: the card is saved but is not the default before somebody makes it so.
func TestCheckout(t *testing.T) {
	a := start(t, epoch, Config{})
	id := a.post("/v1/customers")["id"].(string)
	session := a.post("/v1/checkout/sessions", "mode", "setup", "customer", id, "success_url", "https://example.com/ok",
		"cancel_url", "https://example.com/no", "payment_method_types[0]", "card")
	if session["status"] != "open" || session["url"] == nil || !instant(session, "expires_at").Equal(epoch.Add(24*time.Hour)) {
		t.Errorf("%v", session)
	}
	method, err := a.CompleteCheckout(id, Card{Last4: "1881"})
	if err != nil {
		t.Fatal(err)
	}
	session = a.get("/v1/checkout/sessions/"+session["id"].(string), "expand[]", "setup_intent.payment_method")
	if got := session["setup_intent"].(object)["payment_method"].(object)["card"].(object)["last4"]; got != "1881" {
		t.Errorf("%v", got)
	}
	if got := a.get("/v1/customers/" + id)["invoice_settings"].(object)["default_payment_method"]; got != nil {
		t.Errorf("the default is %v", got)
	}
	got := a.post("/v1/customers/"+id, "invoice_settings[default_payment_method]", method,
		"expand[]", "invoice_settings.default_payment_method")
	if got["invoice_settings"].(object)["default_payment_method"].(object)["id"] != method {
		t.Errorf("%v", got)
	}
	if _, err := a.CompleteCheckout(id, Card{}); err == nil {
		t.Error("a session was completed twice")
	}
	a.refused(400, http.MethodPost, "/v1/checkout/sessions", "mode", "payment", "customer", id, "success_url", "https://example.com/ok")
	late := a.post("/v1/checkout/sessions", "mode", "setup", "customer", id, "success_url", "https://example.com/ok")
	a.clock.Advance(24 * time.Hour)
	if got := a.get("/v1/checkout/sessions/" + late["id"].(string)); got["status"] != "expired" || got["url"] != nil {
		t.Errorf("%v", got)
	}
	if got := a.post("/v1/billing_portal/sessions", "customer", id, "return_url", "https://example.com"); got["url"] == nil {
		t.Errorf("%v", got)
	}
}

// TestLookupKeys: a new price takes a lookup key over only when asked to.
func TestLookupKeys(t *testing.T) {
	a := start(t, epoch, Config{})
	product := a.post("/v1/products", "id", "bw_pro", "name", "Pro")["id"].(string)
	a.refused(400, http.MethodPost, "/v1/products", "id", "bw_pro", "name", "Pro")
	fields := []string{"currency", "usd", "unit_amount", "2500", "recurring[interval]", "month", "product", product, "lookup_key", "pro"}
	a.refused(400, http.MethodPost, "/v1/prices", fields...)
	p := a.post("/v1/prices", append(fields, "transfer_lookup_key", "true")...)
	got := a.get("/v1/prices", "lookup_keys[]", "pro", "expand[]", "data.product")
	if data := got["data"].([]any); len(data) != 1 || data[0].(object)["id"] != p["id"] || data[0].(object)["product"].(object)["name"] != "Pro" {
		t.Errorf("%v", got)
	}
	a.post("/v1/prices/"+p["id"].(string), "active", "false")
	customer := a.customer(Card{})
	a.refused(400, http.MethodPost, "/v1/subscriptions", "customer", customer, "items[0][price]", p["id"].(string))
}

func TestPages(t *testing.T) {
	a := start(t, epoch, Config{})
	for n := range 25 {
		a.post("/v1/customers", "name", strconv.Itoa(n))
	}
	var names []string
	after := ""
	for {
		fields := []string{"limit", "10"}
		if after != "" {
			fields = append(fields, "starting_after", after)
		}
		page := a.get("/v1/customers", fields...)
		data := page["data"].([]any)
		for _, v := range data {
			names = append(names, v.(object)["name"].(string))
			after = v.(object)["id"].(string)
		}
		if page["has_more"] != true {
			break
		}
	}
	if len(names) != 25 || names[0] != "24" || names[24] != "0" {
		t.Errorf("%v", names)
	}
	a.refused(400, http.MethodGet, "/v1/customers", "limit", "101")
}

func TestPortalConfiguration(t *testing.T) {
	a := start(t, epoch, Config{})
	p := a.post("/v1/billing_portal/configurations", "features[invoice_history][enabled]", "true",
		"features[payment_method_update][enabled]", "true", "features[subscription_update][enabled]", "false",
		"business_profile[headline]", "Breakwater")
	id := p["id"].(string)
	got := a.post("/v1/billing_portal/configurations/"+id, "features[subscription_cancel][enabled]", "false", "metadata[a]", "b")
	if got["features"].(object)["invoice_history"].(object)["enabled"] != true || got["is_default"] != true {
		t.Errorf("%v", got)
	}
	if list := a.get("/v1/billing_portal/configurations", "is_default", "true"); len(list["data"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
}
