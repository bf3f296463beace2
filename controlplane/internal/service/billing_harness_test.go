package service

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/local"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/outbox"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// billingWorld is a siteWorld with the real engine, the built-in provider, and the outbox's
// worker.
type billingWorld struct {
	*siteWorld
	engine        *billing.Engine
	payments      *payments.Payments
	provider      *local.Provider
	worker        *outbox.Worker
	subscriptions *Subscriptions
	billing       *Billing
	invoices      *Invoices
	accounts      *Accounts
}

const (
	shopSite         = "accounts/acme/sites/shop.test"
	shopSubscription = shopSite + "/subscription"
)

// newBillingWorld starts a world with one site. Without a worker nobody asks the provider.
func newBillingWorld(t *testing.T, works bool) *billingWorld {
	t.Helper()
	w := &billingWorld{siteWorld: newSiteWorld(t, "rival")}
	log := slog.New(slog.DiscardHandler)
	w.provider = local.New(local.Config{Store: payments.NewLedgers(w.writer), Plans: w.plans, ConfirmURL: "https://confirm.example/"})
	w.payments = payments.New(payments.Config{
		Writer: w.writer, Source: w.base.Source, Plans: w.plans, Apps: w.offer, Pending: time.Hour,
	})
	w.engine = billing.New(billing.Config{
		Plans: w.plans, Provider: w.provider, Store: w.payments, Clock: w.clock, NewID: w.base.NewID,
		QuoteKey: []byte("0123456789abcdef"), Logger: log,
	})
	ends := payments.NewLifecycle(w.payments, w.engine)
	w.sites.cfg.Billing = ends
	w.accounts = NewAccounts(AccountsConfig{Writer: w.writer, Source: w.base.Source, NewID: w.base.NewID, Billing: ends})
	base := BillingBase{SiteBase: w.base, Engine: w.engine, Payments: w.payments, Feed: w.cache, Patience: time.Minute}
	if !works {
		base.Patience = 10 * time.Millisecond
	}
	w.subscriptions = NewSubscriptions(SubscriptionsConfig{BillingBase: base, Apps: w.offer})
	w.billing = NewBilling(base)
	w.invoices = NewInvoices(InvoicesConfig{BillingBase: base, Seller: "Example CDN Ltd"})
	w.worker = outbox.New(outbox.Config{
		Store: w.store, Feed: w.cache, Clock: unticked{w.clock}, Logger: log, Rand: func() float64 { return 0.5 },
		Fence: func() (registry.Compare, bool) { return registry.Compare{Key: "fence"}, true },
		Handlers: map[string]outbox.Handler{
			payments.Kind: payments.Handler(w.engine, nil),
			"mail":        func(context.Context, outbox.Item) error { return nil },
		},
	})
	if works {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = w.worker.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	w.create("acme", "shop.test")
	return w
}

// unticked is a clock without ticks: a month has 13 million of the worker's.
type unticked struct{ clockwork.Clock }

func (unticked) NewTicker(d time.Duration) clockwork.Ticker {
	return clockwork.NewFakeClock().NewTicker(d)
}

// later moves the clock, and does what is due before and after.
func (w *billingWorld) later(d time.Duration) {
	w.t.Helper()
	for _, by := range []time.Duration{0, d} {
		w.clock.Advance(by)
		if err := w.worker.RunDue(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *billingWorld) card(card storev1.Ledger_Card) {
	w.t.Helper()
	if err := w.provider.SetCard(w.t.Context(), "acme", card); err != nil {
		w.t.Fatal(err)
	}
}

func (w *billingWorld) change(plan string) (*breakwaterv1.Subscription, error) {
	return w.subscriptions.ChangeSubscription(w.as("ChangeSubscription"), &breakwaterv1.ChangeSubscriptionRequest{
		Name: shopSubscription, Plan: plan,
	})
}

func (w *billingWorld) mustChange(plan string) *breakwaterv1.Subscription {
	w.t.Helper()
	s, err := w.change(plan)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *billingWorld) subscription() *breakwaterv1.Subscription {
	w.t.Helper()
	s, err := w.subscriptions.GetSubscription(w.as("GetSubscription"), &breakwaterv1.GetSubscriptionRequest{Name: shopSubscription})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *billingWorld) app(id string, enabled bool) error {
	_, err := w.apps.UpdateSiteApp(w.as("UpdateSiteApp"), &breakwaterv1.UpdateSiteAppRequest{
		SiteApp:    &breakwaterv1.SiteApp{Name: shopSite + "/apps/" + id, Enabled: enabled},
		UpdateMask: siteMask("enabled"),
	})
	return err
}
