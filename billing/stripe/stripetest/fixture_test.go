package stripetest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

// api is a customer of the fake that sends plain forms.
type api struct {
	*testing.T
	*Server
	clock  *clockwork.FakeClock
	client *http.Client
	prices map[string]string
}

var epoch = time.Date(2013, 3, 3, 9, 0, 0, 0, time.UTC)

func start(t *testing.T, at time.Time, config Config) *api {
	t.Helper()
	clock := clockwork.NewFakeClockAt(at)
	s := New(clock, config)
	a := &api{T: t, Server: s, clock: clock, client: &http.Client{Transport: s.Transport()}, prices: map[string]string{}}
	for name, cents := range map[string]string{"Pro": "2000", "Business": "20000", "Enterprise": "300000"} {
		product := a.post("/v1/products", "name", name)["id"].(string)
		a.prices[name] = a.post("/v1/prices", "currency", "usd", "unit_amount", cents, "recurring[interval]", "month",
			"product", product, "lookup_key", strings.ToLower(name))["id"].(string)
	}
	return a
}

// try sends a request and returns what came back, whatever it is.
func (a *api) try(method, path, key string, fields ...string) (int, object, http.Header) {
	a.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	var body io.Reader
	target := "http://stripe.test" + path
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	} else if len(form) > 0 {
		target += "?" + form.Encode()
	}
	r, err := http.NewRequestWithContext(a.Context(), method, target, body)
	if err != nil {
		a.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test_fake")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	response, err := a.client.Do(r)
	if err != nil {
		return 0, nil, nil
	}
	defer func() { _ = response.Body.Close() }()
	v := object{}
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil {
		a.Fatal(err)
	}
	return response.StatusCode, v, response.Header
}

func (a *api) do(method, path string, fields ...string) object {
	a.Helper()
	status, v, _ := a.try(method, path, "", fields...)
	if status != http.StatusOK {
		a.Fatalf("%s %s %v: %d %v", method, path, fields, status, v)
	}
	return v
}

func (a *api) post(path string, fields ...string) object {
	a.Helper()
	return a.do(http.MethodPost, path, fields...)
}

func (a *api) get(path string, fields ...string) object {
	a.Helper()
	return a.do(http.MethodGet, path, fields...)
}

// refused sends a request that must fail, and returns the error.
func (a *api) refused(want int, method, path string, fields ...string) object {
	a.Helper()
	status, v, _ := a.try(method, path, "", fields...)
	if status != want {
		a.Fatalf("%s %s %v: %d %v, want %d", method, path, fields, status, v, want)
	}
	return v["error"].(object)
}

// customer makes a customer with a card.
func (a *api) customer(card Card) string {
	a.Helper()
	id := a.post("/v1/customers", "email", "ann@example.com", "metadata[account]", "acme")["id"].(string)
	if _, err := a.AddCard(id, card); err != nil {
		a.Fatal(err)
	}
	return id
}

// subscribe makes a paid subscription for so many of each plan, in pairs.
func (a *api) subscribe(customer string, plans ...string) object {
	a.Helper()
	sub := a.post("/v1/subscriptions", append([]string{
		"customer", customer, "payment_behavior", "default_incomplete", "expand[0]", "latest_invoice.payment_intent",
	}, a.items(plans...)...)...)
	a.post("/v1/invoices/" + sub["latest_invoice"].(object)["id"].(string) + "/pay")
	return a.get("/v1/subscriptions/" + sub["id"].(string))
}

func (a *api) items(plans ...string) []string {
	var fields []string
	for i := 0; i < len(plans); i += 2 {
		n := decimal(int64(i / 2))
		fields = append(fields, "items["+n+"][price]", a.prices[plans[i]], "items["+n+"][quantity]", plans[i+1])
	}
	return fields
}

// item is the ID of a subscription's n-th item.
func item0(sub object, n int) string {
	return sub["items"].(object)["data"].([]any)[n].(object)["id"].(string)
}

func (a *api) latest(sub object) object {
	a.Helper()
	return a.get("/v1/subscriptions/"+sub["id"].(string), "expand[]", "latest_invoice.payment_intent")["latest_invoice"].(object)
}

// amounts are the amounts of an invoice's lines.
func amounts(invoice object) []int64 {
	var all []int64
	for _, l := range invoice["lines"].(object)["data"].([]any) {
		all = append(all, int64(l.(object)["amount"].(float64)))
	}
	return all
}

func cents(v object, key string) int64 { return int64(v[key].(float64)) }

func instant(v object, key string) time.Time { return time.Unix(cents(v, key), 0).UTC() }

// types are the types of events.
func types(events []Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Type)
	}
	return all
}
