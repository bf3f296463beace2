package stripetest

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestAddMonths(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	anchor := at("2012-01-31 23:59:59")
	for n, want := range []string{
		"2012-01-31 23:59:59", "2012-02-29 23:59:59", "2012-03-31 23:59:59", "2012-04-30 23:59:59", "2012-05-31 23:59:59",
	} {
		if got := addMonths(anchor, n); !got.Equal(at(want)) {
			t.Errorf("%d months: %v, want %s", n, got, want)
		}
	}
	if got := addMonths(anchor, 13); !got.Equal(at("2013-02-28 23:59:59")) {
		t.Errorf("13 months: %v", got)
	}
	if got := addMonths(at("2013-12-05 00:00:00"), 1); !got.Equal(at("2014-01-05 00:00:00")) {
		t.Errorf("over the year: %v", got)
	}
}

// TestRenewals lets a year go by at once: every month is billed as of its own time.
func TestRenewals(t *testing.T) {
	a := start(t, time.Date(2013, 1, 31, 12, 0, 0, 0, time.UTC), Config{})
	customer := a.customer(Card{})
	a.subscribe(customer, "Pro", "2")
	a.clock.Advance(time.Date(2014, 1, 31, 13, 0, 0, 0, time.UTC).Sub(a.clock.Now()))
	charges := a.Charges(customer)
	var days []int
	for _, c := range charges {
		if c.Amount != 4000 {
			t.Errorf("%v", c)
		}
		days = append(days, c.Time.Day())
	}
	if want := []int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31}; !slices.Equal(days, want) {
		t.Errorf("charged on %v, want %v", days, want)
	}
	// The invoice was a draft for an hour.
	if got := charges[1].Time; !got.Equal(time.Date(2013, 2, 28, 13, 0, 0, 0, time.UTC)) {
		t.Errorf("the first renewal was collected at %v", got)
	}
}

func TestCancelAtPeriodEnd(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	sub := a.subscribe(customer, "Pro", "1")
	path := "/v1/subscriptions/" + sub["id"].(string)
	if got := a.post(path, "cancel_at_period_end", "true"); got["status"] != "active" || got["cancel_at_period_end"] != true {
		t.Fatal(got)
	}
	a.refused(http.StatusNotFound, http.MethodGet, "/v1/invoices/upcoming", "subscription", sub["id"].(string))
	a.post(path, "cancel_at_period_end", "false")
	a.get("/v1/invoices/upcoming", "subscription", sub["id"].(string))
	a.post(path, "cancel_at_period_end", "true")
	a.clock.Advance(31 * 24 * time.Hour)
	if got := a.get(path); got["status"] != "canceled" || a.Charged(customer) != 2000 {
		t.Errorf("%v, charged %d", got["status"], a.Charged(customer))
	}
	a.refused(http.StatusBadRequest, http.MethodPost, path, "cancel_at_period_end", "false")
	a.refused(http.StatusNotFound, http.MethodDelete, path)
	if got := a.get("/v1/subscriptions", "customer", customer); len(got["data"].([]any)) != 0 {
		t.Error("a canceled subscription is listed")
	}
	if got := a.get("/v1/subscriptions", "customer", customer, "status", "all"); len(got["data"].([]any)) != 1 {
		t.Error("a canceled subscription is not listed under all")
	}
}

// TestFirstInvoice: nothing is charged before somebody pays; 23 hours later it is over.
func TestFirstInvoice(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	create := append([]string{"customer", customer, "payment_behavior", "default_incomplete"}, a.items("Pro", "1")...)
	sub := a.post("/v1/subscriptions", create...)
	path := "/v1/subscriptions/" + sub["id"].(string)
	if sub["status"] != "incomplete" || a.Charged(customer) != 0 {
		t.Fatalf("%v, charged %d", sub["status"], a.Charged(customer))
	}
	a.refused(http.StatusBadRequest, http.MethodPost, path, "items[0][id]", item0(sub, 0), "items[0][quantity]", "2")
	a.clock.Advance(23*time.Hour - time.Second)
	if got := a.get(path); got["status"] != "incomplete" {
		t.Errorf("%v", got["status"])
	}
	a.clock.Advance(time.Second)
	if got := a.get(path); got["status"] != "incomplete_expired" || a.latest(sub)["status"] != "void" {
		t.Errorf("%v", got["status"])
	}
	a.refused(http.StatusBadRequest, http.MethodPost, "/v1/invoices/"+sub["latest_invoice"].(string)+"/pay")

	// A voided first invoice ends it too; so does canceling.
	second := a.post("/v1/subscriptions", create...)
	a.post("/v1/invoices/" + second["latest_invoice"].(string) + "/void")
	third := a.post("/v1/subscriptions", create...)
	a.do(http.MethodDelete, "/v1/subscriptions/"+third["id"].(string))
	for _, v := range []object{second, third} {
		if got := a.get("/v1/subscriptions/" + v["id"].(string)); got["status"] != "incomplete_expired" {
			t.Errorf("%v", got["status"])
		}
		if got := a.latest(v); got["status"] != "void" || got["payment_intent"].(object)["status"] != "canceled" {
			t.Errorf("%v", got)
		}
	}
	if a.Charged(customer) != 0 {
		t.Errorf("charged %d", a.Charged(customer))
	}
}
