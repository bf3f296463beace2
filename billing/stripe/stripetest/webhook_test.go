package stripetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSign checks a signature that was made by hand:
// printf '1362301200.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
func TestSign(t *testing.T) {
	const want = "875ad2171d3240fa1ce4fd81c14af080f4afcfe11cbf9c00d67e07733375c5e5"
	got := Sign([]byte(`{"id":"evt_1"}`), epoch, "whsec_test")
	if got != "t=1362301200,v1="+want {
		t.Error(got)
	}
	if two := Sign([]byte(`{"id":"evt_1"}`), epoch, "whsec_old", "whsec_test"); !strings.HasSuffix(two, ",v1="+want) || strings.Count(two, "v1=") != 2 {
		t.Error(two)
	}
}

func TestEvents(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	a.TakeEvents()
	sub := a.subscribe(customer, "Pro", "1")
	events := a.TakeEvents()
	for _, want := range []string{"customer.subscription.created", "invoice.created", "invoice.finalized", "invoice.paid", "customer.subscription.updated"} {
		if !slices.Contains(types(events), want) {
			t.Errorf("no %s in %v", want, types(events))
		}
	}
	if again := a.TakeEvents(); len(again) != 0 {
		t.Errorf("taken twice: %v", types(again))
	}
	// Time brings events too, as of when they happened.
	a.SetBehaviour(customer, Decline)
	a.clock.Advance(40 * aDay)
	failed := 0
	for _, e := range a.TakeEvents() {
		if e.Type == "invoice.payment_failed" {
			failed++
			if e.Created.Before(epoch.Add(31*aDay+time.Hour)) || !strings.Contains(string(e.Payload), sub["id"].(string)) {
				t.Errorf("%v %s", e.Created, e.Payload)
			}
		}
	}
	if failed != 3 {
		t.Errorf("%d payments failed", failed)
	}
	// All can be asked for later.
	page := a.get("/v1/events", "type", "invoice.paid")
	if len(page["data"].([]any)) != 1 {
		t.Errorf("%v", page)
	}
	a.get("/v1/events/" + events[0].ID)
}

// TestDeliver sends events as the test likes; each has a signature that holds.
func TestDeliver(t *testing.T) {
	a := start(t, epoch, Config{})
	var got []string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Stripe-Signature") != Sign(body, a.clock.Now(), "whsec_test") {
			t.Error("the signature is wrong")
		}
		var e struct{ ID, Type string }
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&e); err != nil {
			t.Error(err)
		}
		got = append(got, e.Type)
		w.WriteHeader(status)
	}))
	defer server.Close()
	to := Endpoint{URL: server.URL, Secret: "whsec_test", Client: server.Client()}
	a.TakeEvents()
	a.customer(Card{})
	events := a.TakeEvents()
	slices.Reverse(events)
	if err := a.Deliver(t.Context(), to, append(events, events[0])...); err != nil {
		t.Fatal(err)
	}
	if want := types(append(events, events[0])); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	status = http.StatusInternalServerError
	if err := a.Deliver(t.Context(), to, events...); err == nil {
		t.Error("a refused event was taken")
	}
}
