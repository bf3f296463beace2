package stripe

import (
	"errors"
	"strings"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

func TestCardOfASessionIsAdopted(t *testing.T) {
	w := newWorld(t)
	c, err := w.CreateCustomer(t.Context(), "c", billing.CustomerRequest{Account: "acme", Email: "a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	enter := func(key, last4 string) string {
		t.Helper()
		session, err := w.CheckoutSession(t.Context(), key, c.ID, "https://a.example/ok", "https://a.example/no")
		if err != nil || session.URL == "" || session.Expires.IsZero() {
			t.Fatalf("%+v, %v", session, err)
		}
		card, err := w.fake.CompleteCheckout(c.ID, stripetest.Card{Last4: last4})
		if err != nil {
			t.Fatal(err)
		}
		return card
	}
	look := func(last4 string) {
		t.Helper()
		for range 2 {
			now, err := w.Customer(t.Context(), c.ID)
			if err != nil || now.PaymentMethod.GetLast4() != last4 {
				t.Fatalf("%+v, %v", now, err)
			}
		}
	}
	look("")
	first := enter("one", "1111")
	look("1111")
	enter("two", "2222") // A new card takes the place of the old one.
	look("2222")
	adoptions := strings.Count(strings.Join(w.posts, "\n"), "/v1/customers/"+c.ID)
	if adoptions != 2 {
		t.Errorf("the customer was changed %d times", adoptions)
	}
	// What is chosen in the portal stays chosen, also once Stripe forgot the keys.
	if _, err := w.customers.Update(c.ID, &stripego.CustomerParams{
		Params:          stripego.Params{Context: t.Context()},
		InvoiceSettings: &stripego.CustomerInvoiceSettingsParams{DefaultPaymentMethod: new(first)},
	}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(25 * time.Hour)
	look("1111")
	w.fake.RemoveCards(c.ID)
	look("")
	enter("three", "4444")
	w.fake.RemoveCards(c.ID) // Before anybody looked.
	sent := len(w.posts)
	look("")
	if len(w.posts) != sent {
		t.Errorf("a card that is gone is adopted: %v", w.posts[sent:])
	}
}

func TestAdoptionIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	c, err := w.CreateCustomer(t.Context(), "c", billing.CustomerRequest{Account: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.CheckoutSession(t.Context(), "k", c.ID, "https://a.example/ok", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fake.CompleteCheckout(c.ID, stripetest.Card{}); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []stripetest.Fault{stripetest.TimeoutBefore, stripetest.ErrorBefore} {
		w.fault = func(r stripetest.Request) stripetest.Fault {
			if r.Path == "/v1/customers/"+c.ID && r.Key != "" {
				return fault
			}
			return stripetest.None
		}
		if _, err := w.Customer(t.Context(), c.ID); !errors.Is(err, billing.ErrRetry) {
			t.Fatal(err)
		}
	}
	w.fault = nil // But the failure is kept for the key.
	if now, err := w.Customer(t.Context(), c.ID); err != nil || now.PaymentMethod.GetLast4() != "4242" {
		t.Errorf("%+v, %v", now, err)
	}
}
