package payments_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// asker notes that it was asked in the record itself.
type asker struct{}

func (asker) Ask(tx billing.Tx, _ bool) error {
	tx.Record().Refetch = true
	tx.Record().Generation++
	tx.Work()
	return nil
}

// verify takes deliveries of the form "signature id type customer".
func verify(payload []byte, header http.Header, _ time.Time) (payments.Event, error) {
	parts := strings.Split(string(payload), " ")
	if len(parts) != 3 || header.Get("Stripe-Signature") != "good" {
		return payments.Event{}, errors.New("forged")
	}
	event := payments.Event{ID: parts[0], Type: parts[1], Customer: strings.Trim(parts[2], "-")}
	return event, nil
}

func (w *world) metrics() (*payments.Metrics, *prometheus.Registry) {
	m := payments.NewMetrics(func() change.View { return w.cache.Cached() }, w.clock.Now)
	r := prometheus.NewRegistry()
	m.Register(r)
	return m, r
}

func (w *world) webhook() http.Handler {
	m, _ := w.metrics()
	return payments.NewWebhook(payments.WebhookConfig{
		Payments: w.payments, Verify: verify, Engine: asker{}, Now: w.clock.Now,
		Logger: slog.New(slog.DiscardHandler), Metrics: m,
	})
}

func deliver(h http.Handler, signature, body string) int {
	req := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
	req.Header.Set("Stripe-Signature", signature)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Code
}

func TestWebhook(t *testing.T) {
	w := newWorld(t)
	for _, account := range []string{"acme", "rival"} {
		w.mustUpdate(account, func(tx billing.Tx) error {
			tx.Record().Customer = "cus_" + account
			return nil
		})
	}
	h := w.webhook()
	for _, test := range []struct {
		name, signature, body string
		status                int
		asked                 int64
	}{
		{"forged", "bad", "evt_1 invoice.paid cus_acme", 400, 0},
		{"not an event", "good", "{}", 400, 0},
		{"oversized", "good", "evt_1 invoice.paid cus_acme" + strings.Repeat(" ", 256<<10), 413, 0},
		{"an ID that is too long", "good", strings.Repeat("x", 201) + " invoice.paid cus_acme", 400, 0},
		{"about nobody", "good", "evt_2 product.updated -", 200, 0},
		{"about somebody who is no account", "good", "evt_3 invoice.paid cus_stranger", 200, 0},
		{"taken", "good", "evt_6 invoice.paid cus_acme", 200, 1},
		{"replayed", "good", "evt_6 invoice.paid cus_acme", 200, 1},
		{"another one", "good", "evt_7 customer.updated cus_acme", 200, 2},
	} {
		before := w.revision()
		if got := deliver(h, test.signature, test.body); got != test.status {
			t.Errorf("%s: %d, want %d", test.name, got, test.status)
		}
		rec, err := w.payments.Record(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if rec.GetGeneration() != test.asked {
			t.Errorf("%s: asked %d times, want %d", test.name, rec.GetGeneration(), test.asked)
		}
		if after := w.revision(); test.asked == 0 && after != before {
			t.Errorf("%s: something changed", test.name)
		}
	}
	if rec, err := w.payments.Record(t.Context(), "rival"); err != nil || rec.GetRefetch() {
		t.Errorf("an event of acme's touched rival: %v, %v", rec, err)
	}
	if !w.get(resource.Outbox("billing-acme"), &storev1.OutboxItem{}) {
		t.Error("no work was asked for")
	}
}

func TestWebhookStoreDown(t *testing.T) {
	w := newWorld(t)
	w.mustUpdate("acme", func(tx billing.Tx) error {
		tx.Record().Customer = "cus_acme"
		return nil
	})
	w.store.Close()
	if got := deliver(w.webhook(), "good", "evt_1 invoice.paid cus_acme"); got != http.StatusServiceUnavailable {
		t.Errorf("%d, want 503, so that it comes again", got)
	}
}

type settler struct {
	again time.Time
	err   error
}

func (s settler) Settle(context.Context, string) (time.Time, error) { return s.again, s.err }

func TestHandler(t *testing.T) {
	w := newWorld(t)
	m, reg := w.metrics()
	run := func(s settler) error {
		return payments.Handler(s, m)(t.Context(), outbox.Item{ID: "billing-acme", Subject: "acme"})
	}
	if err := run(settler{}); err != nil {
		t.Errorf("done: %v", err)
	}
	if err := run(settler{again: start}); err == nil || err.Error() != outbox.After(start).Error() {
		t.Errorf("later: %v", err)
	}
	failed := errors.New("no answer")
	if err := run(settler{err: failed}); !errors.Is(err, failed) {
		t.Errorf("failed: %v", err)
	}
	if err := run(settler{err: &billing.HopelessError{Operation: "x", Err: failed}}); !errors.Is(err, failed) || err.Error() == failed.Error() {
		t.Errorf("hopeless: %v", err)
	}
	w.put(resource.Outbox("a"), &storev1.OutboxItem{Kind: "billing", Dead: true})
	w.put(resource.Outbox("b"), &storev1.OutboxItem{Kind: "billing", Attempts: 2})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	for name, want := range map[string]int{
		"breakwater_outbox_items": 2, "breakwater_outbox_overdue_seconds": 1, "breakwater_billing_settle_failures_total": 2,
	} {
		if series[name] != want {
			t.Errorf("%s has %d series, want %d", name, series[name], want)
		}
	}
}

// comparer finds one difference in every account but one that fails.
type comparer struct{ seen chan string }

func (c *comparer) Reconcile(_ context.Context, account string, _ bool) ([]billing.Difference, error) {
	c.seen <- account
	if account == "acct-broken" {
		return nil, errors.New("broken")
	}
	return []billing.Difference{{Kind: "quantity", Ours: "1", Theirs: "2", Repaired: true}}, nil
}

func TestReconciler(t *testing.T) {
	w := newWorld(t)
	for _, account := range []string{"acct-a", "acct-broken", "acct-c"} {
		w.mustUpdate(account, func(tx billing.Tx) error {
			tx.Record().Refetch = true
			return nil
		})
	}
	m, _ := w.metrics()
	c := &comparer{seen: make(chan string, 100)}
	r := payments.NewReconciler(payments.ReconcilerConfig{
		Payments: w.payments, Engine: c, Ticker: w.clock, Logger: slog.New(slog.DiscardHandler), Metrics: m,
	})
	all := payments.Limit{Accounts: 10, Findings: 10, Time: time.Minute}
	got, err := r.Some(t.Context(), "", all, true)
	if err != nil || len(got.Findings) != 1 || got.Accounts != 1 || got.Last != "acct-a" || !got.More {
		t.Errorf("before one that can't be compared: %+v, %v", got, err)
	}
	if _, err = r.Some(t.Context(), "acct-a", all, true); err == nil {
		t.Error("an account that can't be compared is no success")
	}
	if got, err = r.Some(t.Context(), "acct-broken", all, true); err != nil || got.Accounts != 1 || got.More {
		t.Errorf("the rest: %+v, %v", got, err)
	}
	if got, err = r.Some(t.Context(), "", payments.Limit{Accounts: 1, Findings: 10, Time: time.Minute}, true); err != nil || !got.More {
		t.Errorf("one account: %+v, %v", got, err)
	}
	for len(c.seen) > 0 {
		<-c.seen
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	wait := func(n int, d time.Duration) {
		t.Helper()
		within, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.clock.BlockUntilContext(within, n); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(d)
	}
	wait(1, 5*time.Minute)
	for _, want := range []string{"acct-a", "acct-broken", "acct-c"} {
		wait(1, 200*time.Millisecond)
		if got := <-c.seen; got != want {
			t.Errorf("compared %s, want %s", got, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
