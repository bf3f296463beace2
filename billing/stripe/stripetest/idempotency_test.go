package stripetest

import (
	"net/http"
	"testing"
	"time"
)

func TestIdempotency(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	credit := func(key string, fields ...string) (int, object, http.Header) {
		return a.try(http.MethodPost, "/v1/customers/"+customer+"/balance_transactions", key, fields...)
	}
	status, first, h := credit("k1", "amount", "-100", "currency", "usd")
	if status != 200 || h.Get("Idempotent-Replayed") != "" || h.Get("Request-Id") == "" {
		t.Fatalf("%d %v %v", status, first, h)
	}
	a.clock.Advance(24*time.Hour - time.Second)
	status, again, h := credit("k1", "amount", "-100", "currency", "usd")
	if status != 200 || h.Get("Idempotent-Replayed") != "true" || again["id"] != first["id"] || a.Balance(customer) != -100 {
		t.Errorf("%d %v, balance %d", status, again, a.Balance(customer))
	}
	if status, v, _ := credit("k1", "amount", "-200", "currency", "usd"); status != 400 || v["error"].(object)["type"] != "idempotency_error" {
		t.Errorf("%d %v", status, v)
	}
	// The key is forgotten a day after its first use, and the work done again.
	a.clock.Advance(time.Second)
	status, later, _ := credit("k1", "amount", "-100", "currency", "usd")
	if status != 200 || later["id"] == first["id"] || a.Balance(customer) != -200 {
		t.Errorf("%d %v, balance %d", status, later, a.Balance(customer))
	}
	// What is refused for its form frees the key.
	if status, _, _ := credit("k2", "amount", "x", "currency", "usd"); status != 400 {
		t.Error(status)
	}
	if status, _, _ := credit("k2", "amount", "-1", "currency", "usd"); status != 200 {
		t.Error(status)
	}
}

// TestIdempotentFailure: a declined card is remembered, also once the card is good.
func TestIdempotentFailure(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{Behaviour: Decline})
	sub := a.post("/v1/subscriptions", append([]string{"customer", customer, "payment_behavior", "default_incomplete"}, a.items("Pro", "1")...)...)
	pay := "/v1/invoices/" + sub["latest_invoice"].(string) + "/pay"
	if status, _, _ := a.try(http.MethodPost, pay, "k"); status != 402 {
		t.Fatal(status)
	}
	a.SetBehaviour(customer, Accept)
	if status, _, h := a.try(http.MethodPost, pay, "k"); status != 402 || h.Get("Idempotent-Replayed") != "true" {
		t.Error(status)
	}
	if status, _, _ := a.try(http.MethodPost, pay, "k'"); status != 200 || a.Charged(customer) != 2000 {
		t.Error(status)
	}
}

// TestFaults lets each fault happen to a request, which is then repeated with its key.
func TestFaults(t *testing.T) {
	for fault, want := range map[Fault]struct{ first, done, again, total int }{
		RateLimit:     {429, 0, 200, 1},
		LockTimeout:   {409, 0, 200, 1},
		Unavailable:   {503, 0, 200, 1},
		ErrorBefore:   {500, 0, 500, 0},
		ErrorAfter:    {500, 1, 500, 1},
		TimeoutBefore: {0, 0, 200, 1},
		TimeoutAfter:  {0, 1, 200, 1},
	} {
		next := None
		a := start(t, epoch, Config{Fault: func(Request) Fault { return next }})
		customer := a.customer(Card{})
		path := "/v1/customers/" + customer + "/balance_transactions"
		next = fault
		first, _, _ := a.try(http.MethodPost, path, "k", "amount", "-1", "currency", "usd")
		done := -int(a.Balance(customer))
		next = None
		again, _, _ := a.try(http.MethodPost, path, "k", "amount", "-1", "currency", "usd")
		total := -int(a.Balance(customer))
		if first != want.first || done != want.done || again != want.again || total != want.total {
			t.Errorf("fault %d: %d, %d done, %d, %d done; want %v", fault, first, done, again, total, want)
		}
	}
}

// TestInFlight sends a request again while the first is under way.
func TestInFlight(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	var hold bool
	a := start(t, epoch, Config{Fault: func(r Request) Fault {
		if hold && r.Key == "k" {
			entered <- true
			<-leave
		}
		return None
	}})
	customer := a.customer(Card{})
	path := "/v1/customers/" + customer + "/balance_transactions"
	hold = true
	done := make(chan int)
	go func() {
		status, _, _ := a.try(http.MethodPost, path, "k", "amount", "-1", "currency", "usd")
		done <- status
	}()
	<-entered
	status, v, _ := a.try(http.MethodPost, path, "k", "amount", "-1", "currency", "usd")
	if status != http.StatusConflict || v["error"].(object)["code"] != "idempotency_key_in_use" {
		t.Errorf("%d %v", status, v)
	}
	close(leave)
	if status := <-done; status != 200 || a.Balance(customer) != -1 {
		t.Errorf("%d, balance %d", status, a.Balance(customer))
	}
}

// TestHTTP goes over a real connection, which a lost answer cuts.
func TestHTTP(t *testing.T) {
	next := None
	a := start(t, epoch, Config{Fault: func(Request) Fault { return next }})
	server := a.Start()
	defer server.Close()
	get := func(secret string) (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/prices", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(secret, "")
		response, err := server.Client().Do(r)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	if status, err := get("sk_test_fake"); status != 200 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if status, err := get("sk_test_other"); status != 401 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	next = TimeoutAfter
	if _, err := get("sk_test_fake"); err == nil {
		t.Error("an answer came")
	}
}
