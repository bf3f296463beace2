package stripetest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/stripe"
	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
)

// fixture is the real client in front of the fake.
type fixture struct {
	*stripe.Provider
	fake     *stripetest.Server
	clock    *clockwork.FakeClock
	customer string
	fault    stripetest.Fault // Of requests that change something.
}

func connect(t *testing.T) *fixture {
	t.Helper()
	plans, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: clockwork.NewFakeClockAt(time.Date(2013, 3, 3, 9, 0, 0, 0, time.UTC))}
	f.fake = stripetest.New(f.clock, stripetest.Config{Fault: func(r stripetest.Request) stripetest.Fault {
		if r.Method != http.MethodPost {
			return stripetest.None
		}
		return f.fault
	}})
	f.Provider, err = stripe.New(stripe.Config{
		Key: "sk_test_fake", HTTPClient: &http.Client{Transport: f.fake.Transport()}, Plans: plans, Clock: f.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		diff, err := f.Sync(t.Context(), plans, false)
		if err != nil || round == 1 && len(diff.Changes) != 0 {
			t.Fatalf("sync %d: %v, %v", round, diff.Changes, err)
		}
	}
	customer, err := f.CreateCustomer(t.Context(), "bw-cus", billing.CustomerRequest{Account: "acme", Email: "ann@example.com"})
	if err != nil || customer.Account != "acme" {
		t.Fatal(customer, err)
	}
	f.customer = customer.ID
	return f
}

func (f *fixture) card(t *testing.T, card stripetest.Card) {
	t.Helper()
	if _, err := f.fake.AddCard(f.customer, card); err != nil {
		t.Fatal(err)
	}
}

// subscribe makes a subscription of one Pro and pays it.
func (f *fixture) subscribe(t *testing.T) *billing.Subscription {
	t.Helper()
	f.card(t, stripetest.Card{})
	sub, err := f.CreateSubscription(t.Context(), "bw-sub", billing.SubscriptionRequest{
		Customer: f.customer, Account: "acme", Quantities: billing.Quantities{"pro": 1},
	})
	if err != nil || sub.Status != billing.Incomplete || sub.Latest == nil || sub.Latest.AmountDue != 2000 {
		t.Fatalf("%+v, %v", sub, err)
	}
	if paid, err := f.PayInvoice(t.Context(), "bw-pay", sub.Latest.ID); err != nil || paid.State != breakwaterv1.Invoice_PAID {
		t.Fatalf("%+v, %v", paid, err)
	}
	sub, err = f.Subscription(t.Context(), sub.ID)
	if err != nil || sub.Status != billing.Active || sub.Quantities["pro"] != 1 {
		t.Fatalf("%+v, %v", sub, err)
	}
	return sub
}

func (f *fixture) upgrade(ctx context.Context, key string, sub *billing.Subscription) (*billing.Subscription, error) {
	return f.Upgrade(ctx, key, billing.UpgradeRequest{
		Subscription: sub.ID, Quantities: billing.Quantities{"business": 1}, ProrationTime: f.clock.Now(),
	})
}

// TestClientLife takes an account through a year, with the real client.
func TestClientLife(t *testing.T) {
	f, ctx := connect(t), t.Context()
	if _, err := f.CheckoutSession(ctx, "bw-s1", f.customer, "https://example.com/ok", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fake.CompleteCheckout(f.customer, stripetest.Card{Last4: "1881"}); err != nil {
		t.Fatal(err)
	}
	if c, err := f.Customer(ctx, f.customer); err != nil || c.PaymentMethod.GetLast4() != "1881" {
		t.Fatalf("%+v, %v", c, err)
	}
	sub := f.subscribe(t)
	f.clock.Advance(10 * 24 * time.Hour)
	want := billing.UpgradeRequest{Subscription: sub.ID, Quantities: billing.Quantities{"business": 1}, ProrationTime: f.clock.Now()}
	shown, err := f.Preview(ctx, want)
	// 21 of 31 days are left: 20000 × 21 ÷ 31 = 13548.39, 2000 × 21 ÷ 31 = 1354.84.
	if err != nil || shown.Total != 13548-1355 {
		t.Fatalf("%+v, %v", shown, err)
	}
	f.clock.Advance(14 * time.Minute)
	sub, err = f.Upgrade(ctx, "bw-up", want)
	if err != nil || sub.Pending != nil || sub.Quantities["business"] != 1 || sub.Latest.AmountPaid != shown.Total {
		t.Fatalf("%+v, %v", sub, err)
	}
	sub, err = f.SetQuantities(ctx, "bw-q1", sub.ID, billing.Quantities{"pro": 1, "business": 1})
	if err != nil || sub.Quantities["pro"] != 1 || f.fake.Charged(f.customer) != 2000+shown.Total {
		t.Fatalf("%+v, %v", sub, err)
	}
	if err := f.Credit(ctx, "bw-c1", f.customer, 500, "an outage"); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(31 * 24 * time.Hour)
	page, more, err := f.Invoices(ctx, f.customer, "", 2)
	if err != nil || !more || len(page) != 2 || page[0].Reason != billing.ReasonCycle || page[0].AmountPaid != 21500 {
		t.Fatalf("%+v, %v, %v", page[0], more, err)
	}
	if page, more, err = f.Invoices(ctx, f.customer, page[1].ID, 2); err != nil || more || len(page) != 1 {
		t.Fatalf("%d, %v, %v", len(page), more, err)
	}
	if sub, err = f.SetCancelAtPeriodEnd(ctx, "bw-x", sub.ID, true); err != nil || !sub.CancelAtPeriodEnd {
		t.Fatalf("%+v, %v", sub, err)
	}
	f.clock.Advance(31 * 24 * time.Hour)
	if sub, err = f.Subscription(ctx, sub.ID); err != nil || sub.Status != billing.Canceled {
		t.Fatalf("%+v, %v", sub, err)
	}
	if _, err = f.CancelSubscription(ctx, "bw-end", sub.ID); err != nil {
		t.Errorf("canceled twice: %v", err)
	}
	if live, err := f.CustomerSubscriptions(ctx, f.customer); err != nil || len(live) != 0 {
		t.Errorf("%+v, %v", live, err)
	}
}

// TestClientPending sees a declined and a waiting upgrade as they are.
func TestClientPending(t *testing.T) {
	f, ctx := connect(t), t.Context()
	sub := f.subscribe(t)
	f.fake.SetBehaviour(f.customer, stripetest.Decline)
	up, err := f.upgrade(ctx, "bw-up1", sub)
	if err != nil || up.Pending == nil || up.Quantities["pro"] != 1 || up.Pending.Quantities["business"] != 1 || up.Latest.Failure == "" {
		t.Fatalf("%+v, %v", up, err)
	}
	if void, err := f.VoidInvoice(ctx, "bw-v1", up.Latest.ID); err != nil || void.State != breakwaterv1.Invoice_VOID {
		t.Fatalf("%+v, %v", void, err)
	}
	if _, err := f.VoidInvoice(ctx, "bw-v2", up.Latest.ID); err != nil {
		t.Errorf("voided twice: %v", err)
	}
	f.fake.SetBehaviour(f.customer, stripetest.RequireAction)
	up, err = f.upgrade(ctx, "bw-up2", sub)
	if err != nil || up.Pending == nil || up.Latest.Action == nil || up.Latest.Action.ClientSecret == "" {
		t.Fatalf("%+v, %v", up, err)
	}
	waits, err := f.PayInvoice(ctx, "bw-p1", up.Latest.ID)
	if err != nil || waits.Action == nil {
		t.Errorf("%+v, %v", waits, err)
	}
	if err := f.fake.Confirm(up.Latest.ID); err != nil {
		t.Fatal(err)
	}
	if now, err := f.Subscription(ctx, sub.ID); err != nil || now.Pending != nil || now.Quantities["business"] != 1 {
		t.Errorf("%+v, %v", now, err)
	}
	if paid, err := f.PayInvoice(ctx, "bw-p2", up.Latest.ID); err != nil || paid.State != breakwaterv1.Invoice_PAID {
		t.Errorf("%+v, %v", paid, err)
	}
	if _, err := f.VoidInvoice(ctx, "bw-v3", up.Latest.ID); !errors.Is(err, billing.ErrRefused) {
		t.Errorf("a paid invoice was voided: %v", err)
	}
}

// TestClientFaults repeats an upgrade with its key through every fault: it is charged once.
func TestClientFaults(t *testing.T) {
	for fault := range stripetest.Fault(stripetest.Faults) {
		f, ctx := connect(t), t.Context()
		sub := f.subscribe(t)
		f.fault = fault
		_, err := f.upgrade(ctx, "bw-up", sub)
		if failed := err != nil; failed != (fault != stripetest.None) || failed && !errors.Is(err, billing.ErrRetry) {
			t.Errorf("fault %d: %v", fault, err)
		}
		f.fault = stripetest.None
		up, err := f.upgrade(ctx, "bw-up", sub)
		if fault == stripetest.ErrorBefore {
			// Stripe remembers that it failed: only another key does it.
			if !errors.Is(err, billing.ErrRetry) {
				t.Errorf("fault %d: %v", fault, err)
			}
			up, err = f.upgrade(ctx, "bw-up'", sub)
		}
		if err != nil || up.Quantities["business"] != 1 || f.fake.Charged(f.customer) != 20000 {
			t.Errorf("fault %d: %+v, %v, charged %d", fault, up, err, f.fake.Charged(f.customer))
		}
	}
}

// TestClientErrors sees declines, missing cards and missing things for what they are.
func TestClientErrors(t *testing.T) {
	f, ctx := connect(t), t.Context()
	sub := f.subscribe(t)
	f.fake.RemoveCards(f.customer)
	var declined *billing.PaymentError
	if _, err := f.upgrade(ctx, "bw-up", sub); !errors.As(err, &declined) {
		t.Errorf("without a card: %v", err)
	}
	f.clock.Advance(32 * 24 * time.Hour)
	now, err := f.Subscription(ctx, sub.ID)
	if err != nil || now.Status != billing.PastDue || now.Latest.State != breakwaterv1.Invoice_OPEN || now.Latest.NextAttempt.IsZero() {
		t.Fatalf("%+v, %v", now, err)
	}
	f.card(t, stripetest.Card{Behaviour: stripetest.Decline})
	if _, err := f.PayInvoice(ctx, "bw-p", now.Latest.ID); !errors.As(err, &declined) || declined.Code != "card_declined" {
		t.Errorf("declined: %v", err)
	}
	if given, err := f.MarkUncollectible(ctx, "bw-m", now.Latest.ID); err != nil || given.State != breakwaterv1.Invoice_UNCOLLECTIBLE {
		t.Errorf("%+v, %v", given, err)
	}
	if err := f.fake.DeleteCustomer(f.customer); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Customer(ctx, f.customer); !errors.Is(err, billing.ErrNotFound) {
		t.Errorf("a deleted customer: %v", err)
	}
	if _, err := f.Invoice(ctx, "in_none"); !errors.Is(err, billing.ErrNotFound) {
		t.Errorf("a missing invoice: %v", err)
	}
}

// TestClientWebhooks reads the fake's events as the server does.
func TestClientWebhooks(t *testing.T) {
	f := connect(t)
	f.subscribe(t)
	for _, e := range f.fake.TakeEvents() {
		header := stripetest.Sign(e.Payload, f.clock.Now(), "whsec_new")
		got, err := stripe.ParseEvent(e.Payload, header, []string{"whsec_old", "whsec_new"}, f.clock.Now(), stripe.Tolerance)
		if err != nil || got.ID != e.ID || got.Type != e.Type || got.OtherVersion() {
			t.Errorf("%s: %+v, %v", e.Type, got, err)
		}
		if e.Type == "invoice.paid" && got.Customer != f.customer {
			t.Errorf("%s is about %q", e.Type, got.Customer)
		}
	}
}
