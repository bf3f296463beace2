package stripetest

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

const aDay = 24 * time.Hour

// TestDunning: the renewal of April 3 fails, an hour later than it was made, and is tried
// again after 3, 5 and 7 days.
func TestDunning(t *testing.T) {
	for _, after := range []string{"past_due", "unpaid", "canceled"} {
		t.Run(after, func(t *testing.T) {
			a := start(t, epoch, Config{AfterRetries: after})
			customer := a.customer(Card{})
			sub := a.subscribe(customer, "Pro", "1")
			path := "/v1/subscriptions/" + sub["id"].(string)
			a.SetBehaviour(customer, InsufficientFunds)
			a.clock.Advance(31 * aDay)
			if got := a.latest(sub); got["status"] != "draft" || cents(got, "amount_due") != 2000 || a.get(path)["status"] != "active" {
				t.Errorf("at the renewal: %v", got)
			}
			for _, step := range []struct {
				wait     time.Duration
				attempts int64
				status   string
			}{{time.Hour, 1, "past_due"}, {3 * aDay, 2, "past_due"}, {5 * aDay, 3, "past_due"}, {7 * aDay, 4, after}} {
				a.clock.Advance(step.wait - time.Second)
				before := a.latest(sub)
				a.clock.Advance(time.Second)
				got := a.latest(sub)
				if cents(got, "attempt_count") != step.attempts || before["attempt_count"] != float64(step.attempts-1) ||
					a.get(path)["status"] != step.status || got["status"] != "open" {
					t.Errorf("attempt %d: %v, %v", step.attempts, got["attempt_count"], a.get(path)["status"])
				}
			}
			latest := a.latest(sub)
			if latest["next_payment_attempt"] != nil || latest["payment_intent"].(object)["last_payment_error"].(object)["decline_code"] != "insufficient_funds" {
				t.Errorf("%v", latest)
			}
			if after == "canceled" {
				return
			}
			a.SetBehaviour(customer, Accept)
			a.post("/v1/invoices/" + latest["id"].(string) + "/pay")
			if got := a.get(path)["status"]; got != "active" || a.Charged(customer) != 4000 {
				t.Errorf("%v, charged %d", got, a.Charged(customer))
			}
		})
	}
}

// TestMonthsUnpaid: invoices go on while a subscription is past due; unpaid, they stay drafts.
func TestMonthsUnpaid(t *testing.T) {
	for after, want := range map[string][]string{
		"past_due": {"open", "open", "open", "paid"}, "unpaid": {"draft", "draft", "open", "paid"},
	} {
		a := start(t, epoch, Config{AfterRetries: after})
		customer := a.customer(Card{})
		sub := a.subscribe(customer, "Pro", "1")
		a.SetBehaviour(customer, Decline)
		a.clock.Advance(31*aDay + 30*aDay + 31*aDay + 2*time.Hour)
		var got []string
		for _, i := range a.Invoices(customer) {
			got = append(got, i.Status)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", after, got, want)
		}
		// Giving the newest up makes the subscription active; what is open stays owed.
		for _, i := range a.Invoices(customer) {
			if i.Status == "open" {
				a.post("/v1/invoices/" + i.ID + "/mark_uncollectible")
				break
			}
		}
		if got := a.get("/v1/subscriptions/" + sub["id"].(string))["status"]; got != "active" {
			t.Errorf("%s: %v", after, got)
		}
	}
}

func TestExpiredCardAndNone(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{Expires: epoch.Add(40 * aDay)})
	sub := a.subscribe(customer, "Pro", "1")
	a.clock.Advance(62 * aDay)
	latest := a.latest(sub)
	if got := latest["payment_intent"].(object)["last_payment_error"].(object)["code"]; got != "expired_card" || a.Charged(customer) != 4000 {
		t.Errorf("%v, charged %d", got, a.Charged(customer))
	}
	a.RemoveCards(customer)
	e := a.refused(http.StatusBadRequest, http.MethodPost, "/v1/invoices/"+latest["id"].(string)+"/pay")
	if e["code"] != "resource_missing" {
		t.Errorf("%v", e)
	}
}

// TestBalance: credits are taken by the next invoices; a voided one gives its part back.
func TestBalance(t *testing.T) {
	a := start(t, epoch, Config{})
	customer := a.customer(Card{})
	credit := func(amount string) {
		a.post("/v1/customers/"+customer+"/balance_transactions", "amount", amount, "currency", "usd", "description", "sorry")
	}
	credit("-5000")
	sub := a.subscribeWithout(customer)
	if sub["status"] != "active" || a.Charged(customer) != 0 || a.Balance(customer) != -3000 {
		t.Errorf("%v, charged %d, balance %d", sub["status"], a.Charged(customer), a.Balance(customer))
	}
	a.SetBehaviour(customer, Decline)
	got := a.upgraded(sub)["latest_invoice"].(object) // 18000 less 3000
	if cents(got, "amount_due") != 15000 || cents(got, "starting_balance") != -3000 || a.Balance(customer) != 0 {
		t.Errorf("%v, balance %d", got, a.Balance(customer))
	}
	a.post("/v1/invoices/" + got["id"].(string) + "/void")
	if a.Balance(customer) != -3000 {
		t.Errorf("balance %d", a.Balance(customer))
	}
	// A change that is worth less than nothing is a credit, and no payment.
	a.SetBehaviour(customer, Accept)
	a.upgraded(sub)
	now := a.get("/v1/subscriptions/" + sub["id"].(string))
	a.post("/v1/subscriptions/"+sub["id"].(string), "items[0][id]", item0(now, 0), "items[0][price]", a.prices["Pro"],
		"proration_behavior", "always_invoice")
	if a.Charged(customer) != 15000 || a.Balance(customer) != -18000 {
		t.Errorf("charged %d, balance %d", a.Charged(customer), a.Balance(customer))
	}
	var sum int64
	for _, v := range a.get("/v1/customers/" + customer + "/balance_transactions")["data"].([]any) {
		sum += cents(v.(object), "amount")
	}
	if sum != -18000 {
		t.Errorf("the transactions are worth %d", sum)
	}
}

// subscribeWithout makes a subscription that needs no payment.
func (a *api) subscribeWithout(customer string) object {
	a.Helper()
	return a.post("/v1/subscriptions", append([]string{"customer", customer, "payment_behavior", "default_incomplete"}, a.items("Pro", "1")...)...)
}
