package stripe

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// world is a provider before the stateful fake: what becomes of requests, where stripe-mock
// says that they are well formed.
type world struct {
	*Provider
	fake  *stripetest.Server
	clock *clockwork.FakeClock
	fault func(stripetest.Request) stripetest.Fault
	posts []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clockwork.NewFakeClockAt(time.Date(2013, 3, 3, 9, 0, 0, 0, time.UTC))}
	w.fake = stripetest.New(w.clock, stripetest.Config{Secret: testKey, Fault: func(r stripetest.Request) stripetest.Fault {
		if r.Method != http.MethodGet {
			w.posts = append(w.posts, r.Path)
		}
		if w.fault != nil {
			return w.fault(r)
		}
		return stripetest.None
	}})
	p, err := New(Config{
		Key: testKey, APIBase: "https://stripe.test", Plans: load(t), Clock: w.clock,
		HTTPClient: &http.Client{Transport: w.fake.Transport()},
		PrivacyURL: "https://a.example/privacy", TermsURL: "https://a.example/terms", WebhookURL: "https://a.example/webhooks/stripe",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Provider = p
	return w
}

// subscribed is a world with a customer whose card accepts, and who pays for quantities.
func subscribed(t *testing.T, q billing.Quantities) (*world, string, *billing.Subscription) {
	t.Helper()
	w := newWorld(t)
	if _, err := w.Sync(t.Context(), w.plans, false); err != nil {
		t.Fatal(err)
	}
	c, err := w.CreateCustomer(t.Context(), "c", billing.CustomerRequest{Account: "acme", Email: "a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fake.AddCard(c.ID, stripetest.Card{}); err != nil {
		t.Fatal(err)
	}
	sub, err := w.CreateSubscription(t.Context(), "s", billing.SubscriptionRequest{Customer: c.ID, Account: "acme", Quantities: q})
	if err != nil {
		t.Fatal(err)
	}
	if sub.Status != billing.Incomplete || sub.Latest == nil || sub.Latest.State != breakwaterv1.Invoice_OPEN || w.fake.Charged(c.ID) != 0 {
		t.Fatalf("made %+v", sub)
	}
	paid, err := w.PayInvoice(t.Context(), "p", sub.Latest.ID)
	if err != nil || paid.State != breakwaterv1.Invoice_PAID {
		t.Fatalf("%+v, %v", paid, err)
	}
	if sub, err = w.Subscription(t.Context(), sub.ID); err != nil || sub.Status != billing.Active || sub.Account != "acme" {
		t.Fatalf("%+v, %v", sub, err)
	}
	return w, c.ID, sub
}

func TestUpgradeIsChargedOnce(t *testing.T) {
	w, customer, sub := subscribed(t, billing.Quantities{"pro": 2})
	w.clock.Advance(10 * 24 * time.Hour)
	u := billing.UpgradeRequest{Subscription: sub.ID, Quantities: billing.Quantities{"pro": 1, "business": 1}, ProrationTime: w.clock.Now()}
	quote, err := w.Preview(t.Context(), u)
	if err != nil || quote.Total <= 0 || len(quote.Lines) < 2 {
		t.Fatalf("%+v, %v", quote, err)
	}
	// The answer is lost, twice; what is repeated has the same key.
	lost := 2
	w.fault = func(r stripetest.Request) stripetest.Fault {
		if strings.Contains(r.Path, "/v1/subscriptions/") && r.Method == http.MethodPost && lost > 0 {
			lost--
			return stripetest.TimeoutAfter
		}
		return stripetest.None
	}
	if _, err := w.Upgrade(t.Context(), "u", u); !errors.Is(err, billing.ErrRetry) {
		t.Fatal(err)
	}
	up, err := w.Upgrade(t.Context(), "u", u)
	if err != nil || !maps.Equal(up.Quantities, u.Quantities) || up.Pending != nil || up.Latest.AmountPaid != quote.Total ||
		up.Latest.Reason != billing.ReasonUpdate || up.Latest.State != breakwaterv1.Invoice_PAID {
		t.Fatalf("%+v, %v", up, err)
	}
	if got := w.fake.Charged(customer); got != 4000+quote.Total {
		t.Errorf("charged %d, quoted %d", got, quote.Total)
	}
	for _, l := range up.Latest.Lines {
		if l.Plan == "" || !l.Proration || l.Description == "" {
			t.Errorf("line %+v", l)
		}
	}
}

func TestLastOfAPlanJoinsOthers(t *testing.T) {
	w, _, sub := subscribed(t, billing.Quantities{"pro": 1, "business": 2})
	u := billing.UpgradeRequest{Subscription: sub.ID, Quantities: billing.Quantities{"business": 3}, ProrationTime: w.clock.Now()}
	up, err := w.Upgrade(t.Context(), "u", u)
	if err != nil || !maps.Equal(up.Quantities, u.Quantities) {
		t.Fatalf("%+v, %v", up, err)
	}
	// The item at zero is used again, or goes with the next change that is not paid for.
	u = billing.UpgradeRequest{Subscription: sub.ID, Quantities: billing.Quantities{"business": 3, "pro": 1}, ProrationTime: w.clock.Now()}
	if up, err = w.Upgrade(t.Context(), "u2", u); err != nil || !maps.Equal(up.Quantities, u.Quantities) {
		t.Fatalf("%+v, %v", up, err)
	}
	down, err := w.SetQuantities(t.Context(), "d", sub.ID, billing.Quantities{"business": 2})
	if err != nil || !maps.Equal(down.Quantities, billing.Quantities{"business": 2}) || down.Latest.ID != up.Latest.ID {
		t.Fatalf("%+v, %v", down, err)
	}
}

func TestDeclinedUpgrade(t *testing.T) {
	w, customer, sub := subscribed(t, billing.Quantities{"pro": 1})
	w.fake.SetBehaviour(customer, stripetest.Decline)
	u := billing.UpgradeRequest{Subscription: sub.ID, Quantities: billing.Quantities{"business": 1}, ProrationTime: w.clock.Now()}
	for range 2 {
		up, err := w.Upgrade(t.Context(), "u", u)
		if err != nil || !maps.Equal(up.Quantities, sub.Quantities) || up.Pending == nil || !maps.Equal(up.Pending.Quantities, u.Quantities) {
			t.Fatalf("%+v, %v", up, err)
		}
		if up.Latest.State != breakwaterv1.Invoice_OPEN || up.Latest.Failure == "" || up.Latest.Action != nil {
			t.Fatalf("%+v", up.Latest)
		}
		sub.Latest = up.Latest
	}
	var declined *billing.PaymentError
	if _, err := w.PayInvoice(t.Context(), "again", sub.Latest.ID); !errors.As(err, &declined) || declined.Invoice != sub.Latest.ID || declined.Code != "card_declined" {
		t.Fatal(err)
	}
	for _, key := range []string{"v", "v", "another"} {
		if void, err := w.VoidInvoice(t.Context(), key, sub.Latest.ID); err != nil || void.State != breakwaterv1.Invoice_VOID {
			t.Fatalf("%+v, %v", void, err)
		}
	}
	if now, err := w.Subscription(t.Context(), sub.ID); err != nil || now.Pending != nil || !maps.Equal(now.Quantities, billing.Quantities{"pro": 1}) {
		t.Errorf("%+v, %v", now, err)
	}
	if w.fake.Charged(customer) != 2000 {
		t.Errorf("charged %d", w.fake.Charged(customer))
	}
}

func TestPaymentThatNeedsThePerson(t *testing.T) {
	w, customer, sub := subscribed(t, billing.Quantities{"pro": 1})
	w.fake.SetBehaviour(customer, stripetest.RequireAction)
	up, err := w.Upgrade(t.Context(), "u", billing.UpgradeRequest{
		Subscription: sub.ID, Quantities: billing.Quantities{"business": 1}, ProrationTime: w.clock.Now(),
	})
	if err != nil || up.Pending == nil || up.Latest.Action == nil || up.Latest.Action.URL == "" || up.Latest.Action.ClientSecret == "" {
		t.Fatalf("%+v, %v", up, err)
	}
	// Paying again asks the person again, which is no decline.
	if open, err := w.PayInvoice(t.Context(), "p2", up.Latest.ID); err != nil || open.State != breakwaterv1.Invoice_OPEN || open.Action == nil {
		t.Fatalf("%+v, %v", open, err)
	}
	if err := w.fake.Confirm(up.Latest.ID); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"p2", "p3"} { // The first is an old answer, the second is refused.
		if paid, err := w.PayInvoice(t.Context(), key, up.Latest.ID); err != nil || paid.State != breakwaterv1.Invoice_PAID || paid.Action != nil {
			t.Fatalf("%s: %+v, %v", key, paid, err)
		}
	}
	if _, err := w.VoidInvoice(t.Context(), "v", up.Latest.ID); !errors.Is(err, billing.ErrRefused) {
		t.Error(err)
	}
}

func TestTheEnd(t *testing.T) {
	w, customer, sub := subscribed(t, billing.Quantities{"pro": 1})
	for _, cancel := range []bool{true, false} {
		if now, err := w.SetCancelAtPeriodEnd(t.Context(), "c"+string(rune('0'+len(w.posts))), sub.ID, cancel); err != nil || now.CancelAtPeriodEnd != cancel {
			t.Fatalf("%+v, %v", now, err)
		}
	}
	if _, err := w.SetQuantities(t.Context(), "none", sub.ID, nil); !errors.Is(err, billing.ErrRefused) {
		t.Error(err)
	}
	if live, err := w.CustomerSubscriptions(t.Context(), customer); err != nil || len(live) != 1 || live[0].ID != sub.ID || live[0].Latest == nil {
		t.Fatalf("%v, %v", live, err)
	}
	for _, key := range []string{"x", "x", "y"} {
		if over, err := w.CancelSubscription(t.Context(), key, sub.ID); err != nil || over.Status != billing.Canceled {
			t.Fatalf("%+v, %v", over, err)
		}
	}
	if live, err := w.CustomerSubscriptions(t.Context(), customer); err != nil || len(live) != 0 {
		t.Fatalf("%v, %v", live, err)
	}
	if _, err := w.CancelSubscription(t.Context(), "z", "sub_nobodys"); !errors.Is(err, billing.ErrNotFound) {
		t.Error(err)
	}
	if err := w.fake.DeleteCustomer(customer); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Customer(t.Context(), customer); !errors.Is(err, billing.ErrNotFound) {
		t.Error(err)
	}
}

func TestWrittenOff(t *testing.T) {
	w, customer, sub := subscribed(t, billing.Quantities{"pro": 1})
	w.fake.SetBehaviour(customer, stripetest.InsufficientFunds)
	w.clock.Advance(32 * 24 * time.Hour)
	due, err := w.Subscription(t.Context(), sub.ID)
	if err != nil || due.Status != billing.PastDue || due.Latest.Reason != billing.ReasonCycle || due.Latest.Attempts != 1 || due.Latest.NextAttempt.IsZero() {
		t.Fatalf("%+v, %v", due, err)
	}
	for _, key := range []string{"m", "m", "n"} {
		if off, err := w.MarkUncollectible(t.Context(), key, due.Latest.ID); err != nil || off.State != breakwaterv1.Invoice_UNCOLLECTIBLE {
			t.Fatalf("%+v, %v", off, err)
		}
	}
	page, more, err := w.Invoices(t.Context(), customer, "", 1)
	if err != nil || !more || len(page) != 1 || page[0].ID != due.Latest.ID {
		t.Fatalf("%v %v, %v", page, more, err)
	}
	page, more, err = w.Invoices(t.Context(), customer, page[0].ID, 100)
	if err != nil || more || len(page) != 1 || page[0].Reason != billing.ReasonCreate || page[0].Paid.IsZero() || page[0].AmountPaid != 2000 {
		t.Fatalf("%v %v, %v", page, more, err)
	}
}

func TestCustomerDetails(t *testing.T) {
	w := newWorld(t)
	details := &breakwaterv1.Billing{
		LegalName: "Acme GmbH", Address: &postaladdress.PostalAddress{RegionCode: "DE", AddressLines: []string{"Street 1", "Yard"}},
		TaxIds: []*breakwaterv1.Billing_TaxId{{Type: "eu_vat", Value: "DE123456789"}},
	}
	req := billing.CustomerRequest{Account: "acme", Email: "a@example.com", Details: details}
	c, err := w.CreateCustomer(t.Context(), "k", req)
	if err != nil || c.Account != "acme" || c.PaymentMethod != nil {
		t.Fatalf("%+v, %v", c, err)
	}
	if again, err := w.CreateCustomer(t.Context(), "k", req); err != nil || again.ID != c.ID {
		t.Fatalf("%+v, %v", again, err)
	}
	ids := func(want ...string) {
		t.Helper()
		have, err := w.listTaxIDs(t.Context(), c.ID)
		if err != nil || len(have) != len(want) {
			t.Fatalf("%v, %v", have, err)
		}
		for n := range want {
			if have[n].Value != want[n] {
				t.Errorf("%s instead of %s", have[n].Value, want[n])
			}
		}
	}
	ids("DE123456789")
	// One that is refused keeps nothing else from Stripe, and takes no other away.
	bad := proto.CloneOf(details)
	bad.LegalName, bad.TaxIds[0].Value = "Acme AG", "invalid"
	bad.Address.AddressLines = []string{"Acme House", "Street 1", "Yard"}
	for range 2 {
		told, err := w.UpdateCustomer(t.Context(), "bad", c.ID, billing.CustomerRequest{Account: "acme", Email: "b@example.com", Details: bad})
		if err != nil || told.DetailsFailure != "The tax ID eu_vat invalid was refused: Invalid value for eu_vat." {
			t.Fatalf("%+v, %v", told, err)
		}
	}
	ids("DE123456789")
	now, err := w.Customer(t.Context(), c.ID)
	if err != nil || now.Email != "b@example.com" || now.Details.GetLegalName() != "Acme AG" ||
		!slices.Equal(now.Details.GetAddress().GetAddressLines(), []string{"Acme House", "Street 1, Yard"}) ||
		now.Details.GetTaxIds()[0].GetValue() != "DE123456789" || now.DetailsFailure != "" {
		t.Fatalf("%+v, %v", now, err)
	}
	bad.Address.RegionCode = "nowhere"
	var refused *billing.RefusedError
	_, err = w.UpdateCustomer(t.Context(), "worse", c.ID, billing.CustomerRequest{Account: "acme", Details: bad})
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.Message, "Country 'nowhere'") || !errors.Is(err, billing.ErrRefused) {
		t.Fatal(err)
	}
	// A new customer is made all the same.
	bad.Address.RegionCode = "DE"
	if other, err := w.CreateCustomer(t.Context(), "other", billing.CustomerRequest{Account: "ecma", Details: bad}); err != nil || other.DetailsFailure == "" {
		t.Fatalf("%+v, %v", other, err)
	}
	details.TaxIds = []*breakwaterv1.Billing_TaxId{{Type: "eu_vat", Value: "DE987654321"}}
	for range 2 {
		if _, err := w.UpdateCustomer(t.Context(), "k2", c.ID, req); err != nil {
			t.Fatal(err)
		}
		ids("DE987654321")
	}
	if _, err := w.UpdateCustomer(t.Context(), "k3", c.ID, billing.CustomerRequest{Account: "acme"}); err != nil {
		t.Fatal(err)
	}
	ids()
	if err := w.Credit(t.Context(), "cr", c.ID, 500, "given back"); err != nil {
		t.Fatal(err)
	}
	if now, err := w.Customer(t.Context(), c.ID); err != nil || now.Balance != -500 {
		t.Errorf("%+v, %v", now, err)
	}
	if err := w.Credit(t.Context(), "cr2", c.ID, -1, "taken"); !errors.Is(err, billing.ErrRefused) {
		t.Error(err)
	}
}
