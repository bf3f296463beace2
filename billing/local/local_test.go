package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// shelf keeps ledgers in memory.
type shelf struct {
	now      time.Time
	ledgers  map[string]*storev1.Ledger
	invoices map[string]*storev1.LedgerInvoice
}

type shelfTx struct {
	*shelf
	customer string
	ledger   *storev1.Ledger
	put      map[int64]*storev1.LedgerInvoice
}

func (s *shelf) Update(_ context.Context, customer string, fn func(Tx) error) error {
	ledger := &storev1.Ledger{}
	if kept, ok := s.ledgers[customer]; ok {
		ledger = proto.CloneOf(kept)
	}
	tx := &shelfTx{shelf: s, customer: customer, ledger: ledger, put: map[int64]*storev1.LedgerInvoice{}}
	if err := fn(tx); err != nil {
		return err
	}
	s.ledgers[customer] = tx.ledger
	for n, inv := range tx.put {
		s.invoices[invoiceID(customer, n)] = inv
	}
	return nil
}

func (tx *shelfTx) Ledger() *storev1.Ledger { return tx.ledger }

func (tx *shelfTx) Now() time.Time { return tx.now }

func (tx *shelfTx) Invoice(n int64) (*storev1.LedgerInvoice, error) {
	if inv, ok := tx.put[n]; ok {
		return proto.CloneOf(inv), nil
	}
	inv := tx.invoices[invoiceID(tx.customer, n)]
	if inv == nil {
		return nil, nil
	}
	return proto.CloneOf(inv), nil
}

func (tx *shelfTx) PutInvoice(inv *storev1.LedgerInvoice) error {
	tx.put[inv.GetNumber()] = proto.CloneOf(inv)
	return nil
}

// till is one account and what it pays with.
type till struct {
	t     *testing.T
	shelf *shelf
	p     *Provider
	cus   string
	keys  int
}

func open(t *testing.T, start time.Time) *till {
	t.Helper()
	plans, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{now: start, ledgers: map[string]*storev1.Ledger{}, invoices: map[string]*storev1.LedgerInvoice{}}
	b := &till{t: t, shelf: s, p: New(Config{Store: s, Plans: plans, ConfirmURL: "https://example.com/confirm"}), cus: CustomerOf("acme")}
	c, err := b.p.CreateCustomer(t.Context(), b.key(), billing.CustomerRequest{Account: "acme", Email: "ann@example.com"})
	if err != nil || c.ID != b.cus || c.Account != "acme" || c.PaymentMethod.GetLast4() != "4242" {
		t.Fatal(c, err)
	}
	return b
}

func (b *till) key() string {
	b.keys++
	return fmt.Sprintf("key-%d", b.keys)
}

func (b *till) to(year int, month time.Month, day int) {
	b.shelf.now = time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
}

func (b *till) card(c storev1.Ledger_Card) {
	b.t.Helper()
	if err := b.p.SetCard(b.t.Context(), "acme", c); err != nil {
		b.t.Fatal(err)
	}
}

func (b *till) sub(s *billing.Subscription, err error) *billing.Subscription {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// begin makes a subscription and pays for it.
func (b *till) begin(q billing.Quantities) *billing.Subscription {
	b.t.Helper()
	ctx := b.t.Context()
	s := b.sub(b.p.CreateSubscription(ctx, b.key(), billing.SubscriptionRequest{Customer: b.cus, Account: "acme", Quantities: q}))
	if s.Status != billing.Incomplete || s.Latest.State != breakwaterv1.Invoice_OPEN || s.Latest.Attempts != 0 {
		b.t.Fatalf("a new subscription: %+v, invoice %+v", s, s.Latest)
	}
	if _, err := b.p.PayInvoice(ctx, b.key(), s.Latest.ID); err != nil {
		b.t.Fatal(err)
	}
	return b.sub(b.p.Subscription(ctx, s.ID))
}

// charged is what was paid, invoice by invoice, oldest first.
func (b *till) charged() []int64 {
	b.t.Helper()
	page, more, err := b.p.Invoices(b.t.Context(), b.cus, "", 100)
	if err != nil || more {
		b.t.Fatal(more, err)
	}
	var out []int64
	for _, inv := range slices.Backward(page) {
		out = append(out, inv.AmountPaid)
	}
	return out
}

func (b *till) wantCharged(want ...int64) {
	b.t.Helper()
	if got := b.charged(); !slices.Equal(got, want) {
		b.t.Errorf("charged %v, not %v", got, want)
	}
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestMonths(t *testing.T) {
	var got []string
	for n := range int32(6) {
		got = append(got, month(noon, n).end.Format("01-02"))
	}
	if want := []string{"02-28", "03-31", "04-30", "05-31", "06-30", "07-31"}; !slices.Equal(got, want) {
		t.Errorf("periods from 31 January end on %v", got)
	}
	if end := month(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC), 11).end; end.Format(time.DateOnly) != "2025-02-28" {
		t.Errorf("a year after 29 February: %v", end)
	}
}

// Worked by hand: April has 30 days, 2,592,000 seconds.
func TestShare(t *testing.T) {
	april := period{time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	for _, c := range []struct {
		cents int64
		at    time.Time
		want  int64
	}{
		{2000, april.start, 2000},
		{2000, april.end, 0},
		{2000, april.start.Add(15 * day), 1000},
		{2000, april.start.Add(20 * day), 667},                       // 2000 × 10/30 = 666.67
		{2000, april.start.Add(10*day + time.Second), 1333},          // 2000 × 1,727,999/2,592,000 = 1333.33
		{20000, april.start.Add(time.Second), 20000},                 // 19999.992
		{1, april.start.Add(15 * day), 1},                            // 0.5 is rounded up
		{300000, april.start.Add(29*day + 12*time.Hour), 5000},       // 300000 × 0.5/30
		{2000, april.start.Add(-time.Hour), 2000},                    // before the period
		{10_000 * 300_000, april.start.Add(15 * day), 1_500_000_000}, // the most there can be
	} {
		if got := april.share(c.cents, c.at); got != c.want {
			t.Errorf("%d cents from %v: %d, not %d", c.cents, c.at, got, c.want)
		}
	}
}

func TestYear(t *testing.T) {
	b := open(t, noon)
	s := b.begin(billing.Quantities{"pro": 2})
	if s.Status != billing.Active || !s.PeriodEnd.Equal(time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", s)
	}
	// Half of 28 days later one of the two goes to business: 2 × $20 back and $20 + $200 for
	// the other half: -2000 + 1000 + 10000.
	b.shelf.now = noon.Add(14 * day)
	up := billing.UpgradeRequest{Subscription: s.ID, Quantities: billing.Quantities{"pro": 1, "business": 1}, ProrationTime: b.shelf.now}
	preview, err := b.p.Preview(t.Context(), up)
	if err != nil || preview.Total != 9000 || len(preview.Lines) != 3 || preview.Lines[0].Amount != -2000 {
		t.Errorf("preview: %+v, %v", preview, err)
	}
	s = b.sub(b.p.Upgrade(t.Context(), b.key(), up))
	if s.Pending != nil || s.Quantities["business"] != 1 || s.Latest.State != breakwaterv1.Invoice_PAID || s.Latest.Reason != billing.ReasonUpdate {
		t.Errorf("upgraded: %+v, invoice %+v", s, s.Latest)
	}
	b.wantCharged(4000, 9000)
	// The clock jumps over renewals: each is there, at its own time.
	b.sub(b.p.SetQuantities(t.Context(), b.key(), s.ID, billing.Quantities{"business": 1}))
	b.to(2026, 5, 2)
	s = b.sub(b.p.Subscription(t.Context(), s.ID))
	b.wantCharged(4000, 9000, 20000, 20000, 20000)
	if got := s.Latest.Created.Format(time.DateOnly); got != "2026-04-30" || s.PeriodEnd.Format(time.DateOnly) != "2026-05-31" {
		t.Errorf("renewed on %s until %v", got, s.PeriodEnd)
	}
	b.sub(b.p.SetCancelAtPeriodEnd(t.Context(), b.key(), s.ID, true))
	b.to(2026, 12, 24)
	if s = b.sub(b.p.Subscription(t.Context(), s.ID)); s.Status != billing.Canceled {
		t.Errorf("after its end: %+v", s)
	}
	b.wantCharged(4000, 9000, 20000, 20000, 20000)
	if all, err := b.p.CustomerSubscriptions(t.Context(), b.cus); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}

func TestDeclined(t *testing.T) {
	b := open(t, noon)
	ctx := t.Context()
	b.card(storev1.Ledger_DECLINES)
	s := b.sub(b.p.CreateSubscription(ctx, b.key(), billing.SubscriptionRequest{Customer: b.cus, Quantities: billing.Quantities{"pro": 1}}))
	key := b.key()
	for range 2 { // The same call declines once.
		_, err := b.p.PayInvoice(ctx, key, s.Latest.ID)
		var declined *billing.PaymentError
		if !errors.As(err, &declined) || declined.Code != "card_declined" || declined.Invoice != s.Latest.ID {
			t.Fatal(err)
		}
	}
	if inv, err := b.p.Invoice(ctx, s.Latest.ID); err != nil || inv.Attempts != 1 || inv.AmountRemaining != 2000 {
		t.Error(inv, err)
	}
	if inv, err := b.p.VoidInvoice(ctx, b.key(), s.Latest.ID); err != nil || inv.State != breakwaterv1.Invoice_VOID {
		t.Error(inv, err)
	}
	if s = b.sub(b.p.Subscription(ctx, s.ID)); s.Status != billing.IncompleteExpired {
		t.Errorf("%+v", s)
	}
	// With a card that pays, another one begins. An upgrade that is declined changes nothing.
	b.card(storev1.Ledger_ACCEPTS)
	s = b.begin(billing.Quantities{"pro": 1})
	b.card(storev1.Ledger_DECLINES)
	up := billing.UpgradeRequest{Subscription: s.ID, Quantities: billing.Quantities{"enterprise": 1}, ProrationTime: b.shelf.now}
	s = b.sub(b.p.Upgrade(ctx, b.key(), up))
	if s.Pending.Quantities["enterprise"] != 1 || s.Quantities["pro"] != 1 || s.Latest.Failure == "" || s.Status != billing.Active {
		t.Errorf("declined: %+v, invoice %+v", s, s.Latest)
	}
	if _, err := b.p.SetQuantities(ctx, b.key(), s.ID, billing.Quantities{"pro": 2}); !errors.Is(err, billing.ErrRefused) {
		t.Errorf("quantities of a subscription that waits: %v", err)
	}
	if _, err := b.p.VoidInvoice(ctx, b.key(), s.Latest.ID); err != nil {
		t.Error(err)
	}
	if s = b.sub(b.p.Subscription(ctx, s.ID)); s.Pending != nil || s.Quantities["pro"] != 1 {
		t.Errorf("after it was void: %+v", s)
	}
	b.wantCharged(0, 2000, 0)
}

func TestWaits(t *testing.T) {
	b := open(t, noon)
	s := b.begin(billing.Quantities{"pro": 1})
	up := billing.UpgradeRequest{Subscription: s.ID, Quantities: billing.Quantities{"business": 1}, ProrationTime: noon}
	b.card(storev1.Ledger_WAITS)
	s = b.sub(b.p.Upgrade(t.Context(), b.key(), up))
	if s.Latest.Action == nil || s.Latest.Action.URL == "" || s.Latest.Action.ClientSecret == "" {
		t.Fatalf("%+v", s.Latest)
	}
	// Nobody confirms it.
	b.shelf.now = noon.Add(confirmLife)
	s = b.sub(b.p.Subscription(t.Context(), s.ID))
	if s.Pending != nil || s.Latest.State != breakwaterv1.Invoice_VOID || s.Quantities["pro"] != 1 {
		t.Errorf("%+v, invoice %+v", s, s.Latest)
	}
	// The second one is confirmed.
	up.ProrationTime = b.shelf.now
	b.sub(b.p.Upgrade(t.Context(), b.key(), up))
	b.card(storev1.Ledger_ACCEPTS)
	s = b.sub(b.p.Subscription(t.Context(), s.ID))
	if s.Pending != nil || s.Latest.State != breakwaterv1.Invoice_PAID || s.Quantities["business"] != 1 {
		t.Errorf("%+v, invoice %+v", s, s.Latest)
	}
}

func TestDunning(t *testing.T) {
	b := open(t, noon)
	s := b.begin(billing.Quantities{"pro": 1})
	b.card(storev1.Ledger_DECLINES)
	b.to(2026, 3, 30) // The renewal of 28 February was tried on that day and 3, 5 and 7 days later.
	s = b.sub(b.p.Subscription(t.Context(), s.ID))
	if s.Status != billing.PastDue || s.Latest.Attempts != 4 || !s.Latest.NextAttempt.IsZero() {
		t.Errorf("%+v, invoice %+v", s, s.Latest)
	}
	overdue := s.Latest.ID
	tried, err := b.p.Customer(t.Context(), b.cus)
	if err != nil || tried.PaymentMethodID == "" || s.Latest.FailedMethodID != tried.PaymentMethodID {
		t.Errorf("tried with %q, not %+v: %v", s.Latest.FailedMethodID, tried, err)
	}
	b.card(storev1.Ledger_DECLINES)
	if now, err := b.p.Customer(t.Context(), b.cus); err != nil || now.PaymentMethodID == tried.PaymentMethodID {
		t.Errorf("a card that was entered again is %+v, %v", now, err)
	}
	b.to(2026, 4, 2) // The next renewal failed once so far.
	b.card(storev1.Ledger_ACCEPTS)
	if inv, err := b.p.PayInvoice(t.Context(), b.key(), overdue); err != nil || inv.State != breakwaterv1.Invoice_PAID {
		t.Error(inv, err)
	}
	if s = b.sub(b.p.Subscription(t.Context(), s.ID)); s.Status != billing.PastDue {
		t.Errorf("with one of two paid: %s", s.Status)
	}
	b.to(2026, 4, 5) // It is tried again by itself.
	if s = b.sub(b.p.Subscription(t.Context(), s.ID)); s.Status != billing.Active {
		t.Errorf("with both paid: %s", s.Status)
	}
	b.wantCharged(2000, 2000, 2000)
	// Given up, what is owed stays owed and is not tried again.
	b.card(storev1.Ledger_DECLINES)
	b.to(2026, 5, 1)
	s = b.sub(b.p.CancelSubscription(t.Context(), b.key(), s.ID))
	if inv, err := b.p.MarkUncollectible(t.Context(), b.key(), s.Latest.ID); err != nil || inv.State != breakwaterv1.Invoice_UNCOLLECTIBLE {
		t.Error(inv, err)
	}
	b.to(2027, 1, 1)
	b.wantCharged(2000, 2000, 2000, 0)
}

func TestBalance(t *testing.T) {
	b := open(t, noon)
	s := b.begin(billing.Quantities{"pro": 1})
	key := b.key()
	for range 3 { // One credit.
		if err := b.p.Credit(t.Context(), key, b.cus, 2500, "too much"); err != nil {
			t.Fatal(err)
		}
	}
	b.to(2026, 3, 1) // The renewal takes 2000 of it.
	if c, err := b.p.Customer(t.Context(), b.cus); err != nil || c.Balance != -500 {
		t.Error(c, err)
	}
	b.to(2026, 4, 1)
	b.wantCharged(2000, 0, 1500)
	// What an upgrade takes of the balance comes back when it is void.
	if err := b.p.Credit(t.Context(), b.key(), b.cus, 300, "sorry"); err != nil {
		t.Fatal(err)
	}
	b.card(storev1.Ledger_DECLINES)
	s = b.sub(b.p.Upgrade(t.Context(), b.key(), billing.UpgradeRequest{
		Subscription: s.ID, Quantities: billing.Quantities{"business": 1}, ProrationTime: b.shelf.now,
	}))
	if _, err := b.p.VoidInvoice(t.Context(), b.key(), s.Latest.ID); err != nil {
		t.Fatal(err)
	}
	if c, err := b.p.Customer(t.Context(), b.cus); err != nil || c.Balance != -300 {
		t.Error(c, err)
	}
}

func TestKeys(t *testing.T) {
	b := open(t, noon)
	ctx, key := t.Context(), b.key()
	r := billing.SubscriptionRequest{Customer: b.cus, Account: "acme", Quantities: billing.Quantities{"pro": 1}}
	first := b.sub(b.p.CreateSubscription(ctx, key, r))
	again := b.sub(b.p.CreateSubscription(ctx, key, r))
	if first.ID != again.ID {
		t.Errorf("one key made %s and %s", first.ID, again.ID)
	}
	r.Quantities = billing.Quantities{"pro": 2}
	if _, err := b.p.CreateSubscription(ctx, key, r); !errors.Is(err, billing.ErrRefused) {
		t.Errorf("the key with another request: %v", err)
	}
	if _, err := b.p.CreateSubscription(ctx, b.key(), r); !errors.Is(err, billing.ErrRefused) {
		t.Errorf("a second subscription: %v", err)
	}
	b.shelf.now = noon.Add(keyLife)
	if _, err := b.p.CreateSubscription(ctx, key, r); err != nil {
		t.Errorf("a day later, when the first has expired: %v", err)
	}
}

func TestNotThere(t *testing.T) {
	b := open(t, noon)
	ctx := t.Context()
	for name, err := range map[string]error{
		"customer":     second(b.p.Customer(ctx, CustomerOf("other"))),
		"subscription": second(b.p.Subscription(ctx, "sub_nothing_1")),
		"another":      second(b.p.Subscription(ctx, subscriptionID(b.cus, 7))),
		"invoice":      second(b.p.Invoice(ctx, invoiceID(b.cus, 7))),
		"credit":       b.p.Credit(ctx, b.key(), CustomerOf("other"), 1, ""),
		"portal":       second(b.p.PortalSession(ctx, b.key(), CustomerOf("other"), "https://example.com")),
	} {
		if !errors.Is(err, billing.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := b.p.CheckoutSession(ctx, b.key(), b.cus, "https://example.com/done", ""); err != nil || s.URL != "https://example.com/done" {
		t.Error(s, err)
	}
	for _, q := range []billing.Quantities{{}, {"pro": 0}, {"pro": -1}, {"free": 1}, {"gold": 1}} {
		if _, err := b.p.CreateSubscription(ctx, b.key(), billing.SubscriptionRequest{Customer: b.cus, Quantities: q}); !errors.Is(err, billing.ErrRefused) {
			t.Errorf("a subscription of %v: %v", q, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
