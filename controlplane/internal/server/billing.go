package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/billing/local"
	"github.com/breakwater-cdn/breakwater/billing/stripe"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/mail"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// paying is everything that payments are made of.
type paying struct {
	payments   *payments.Payments
	engine     *billing.Engine
	lifecycle  *payments.Lifecycle
	reconciler *payments.Reconciler
	metrics    *payments.Metrics
	letters    mail.Sender
	// webhook takes Stripe's events; nil without Stripe.
	webhook http.Handler
	// ledger is the built-in provider; nil with Stripe.
	ledger *local.Provider
	// began makes an account's customer with the account, so that its card shows at once; nil
	// with Stripe, where customers come with a first payment.
	began func(tx *change.Tx, account string) error
}

// stripeCheck bounds the look at Stripe when the server starts.
const stripeCheck = 10 * time.Second

func openPaying(ctx context.Context, r *rooms, apps payments.Apps, pending time.Duration) (*paying, error) {
	p := &paying{}
	var err error
	if p.letters, err = r.letters(); err != nil {
		return nil, err
	}
	p.payments = payments.New(payments.Config{Writer: r.writer, Source: r.source, Plans: r.plans, Apps: apps, Pending: pending})
	p.metrics = payments.NewMetrics(func() change.View { return r.source.Cached() }, r.day.Now)
	provider, err := p.provider(ctx, r)
	if err != nil {
		return nil, err
	}
	quotes, err := r.keys.derived("quotes")
	if err != nil {
		return nil, err
	}
	p.engine = billing.New(billing.Config{
		Plans: r.plans, Provider: provider, Store: p.payments, Clock: r.day, NewID: newID, QuoteKey: quotes, Logger: r.log,
	})
	p.lifecycle = payments.NewLifecycle(p.payments, p.engine)
	p.reconciler = payments.NewReconciler(payments.ReconcilerConfig{
		Payments: p.payments, Engine: p.engine, Ticker: r.machine, Logger: r.log, Metrics: p.metrics,
	})
	if p.ledger == nil {
		p.webhook, err = p.stripeWebhook(r)
		return p, err
	}
	p.began = func(tx *change.Tx, account string) error {
		return p.payments.Within(tx, account, func(b billing.Tx) error { return p.engine.Ask(b, true) })
	}
	return p, nil
}

// provider is Stripe where there is a key, and the built-in one where there is none.
func (p *paying) provider(ctx context.Context, r *rooms) (billing.Provider, error) {
	key, err := r.cfg.Stripe.key()
	if err != nil {
		return nil, err
	}
	if key == "" {
		p.ledger = local.New(local.Config{Store: payments.NewLedgers(r.writer), Plans: r.plans, ConfirmURL: "http://" + r.cfg.HTTP + "/docs"})
		return p.ledger, nil
	}
	provider, err := stripe.New(stripe.Config{
		Key: key, APIBase: r.cfg.Stripe.APIBase, Plans: r.plans, Logger: r.log, Clock: r.machine,
	})
	if err != nil {
		return nil, fmt.Errorf("stripe: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, stripeCheck)
	defer cancel()
	if err := provider.Check(within); err != nil {
		// Customers are served without Stripe, too; what they pay for waits in the outbox.
		r.log.Warn("Stripe is not as it should be: run `breakwaterd billing sync`", "error", err)
	}
	return provider, nil
}

// stripeWebhook takes Stripe's events, signed with one of the secrets of a file.
func (p *paying) stripeWebhook(r *rooms) (http.Handler, error) {
	secrets, err := lines(r.cfg.Stripe.WebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("stripe-webhook-secret-file: %w", err)
	}
	if len(secrets) == 0 {
		r.log.Warn("stripe-webhook-secret-file is not given: Stripe's webhooks are not taken, so what happens there is noticed late")
		return nil, nil //nolint:nilnil // Without a secret there is no route.
	}
	var otherVersion sync.Once
	return payments.NewWebhook(payments.WebhookConfig{
		Payments: p.payments, Engine: p.engine, Now: r.machine.Now, Logger: r.log, Metrics: p.metrics,
		Verify: func(payload []byte, header http.Header, now time.Time) (payments.Event, error) {
			e, err := stripe.ParseEvent(payload, header.Get("Stripe-Signature"), secrets, now, stripe.Tolerance)
			if err != nil {
				return payments.Event{}, err
			}
			if e.OtherVersion() {
				otherVersion.Do(func() {
					r.log.Warn("Stripe sends events of another API version: make the webhook endpoint by `breakwaterd billing sync`",
						slog.String("version", e.APIVersion), slog.String("spoken", stripe.APIVersion))
				})
			}
			return payments.Event{ID: e.ID, Type: e.Type, Customer: e.Customer}, nil
		},
	}), nil
}

// lines are the lines of a file of secrets, without empty ones and those that begin with #;
// none without a file.
func lines(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it holds no secret")
	}
	return out, nil
}

// key is Stripe's key: of the file, or of the environment; empty where there is none.
func (c StripeConfig) key() (stripe.Secret, error) {
	found, err := lines(c.KeyFile)
	if err != nil {
		return "", fmt.Errorf("stripe-key-file: %w", err)
	}
	switch {
	case len(found) > 1:
		return "", errors.New("stripe-key-file: it holds more than one line")
	case len(found) == 1:
		return stripe.Secret(found[0]), nil
	}
	return stripe.Secret(strings.TrimSpace(c.Key)), nil
}

// letters is how letters are sent: files in a folder in development, a mail server where one
// is given.
func (r *rooms) letters() (mail.Sender, error) {
	m := r.cfg.Mail
	switch {
	case m.SMTPAddr == "" && r.cfg.Dev:
		return mail.NewFolder(r.cfg.path("mail"), r.day), nil
	case m.SMTPAddr == "":
		return unsent{r.log}, nil
	}
	var password string
	if m.SMTPPasswordFile != "" {
		found, err := lines(m.SMTPPasswordFile)
		if err != nil {
			return nil, fmt.Errorf("smtp-password-file: %w", err)
		}
		password = found[0]
	}
	sender, err := mail.NewSMTP(mail.SMTPConfig{
		Addr: m.SMTPAddr, Username: m.SMTPUsername, Password: password, From: m.From, Clock: r.machine,
	})
	if err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return sender, nil
}

// unsent drops letters and says so.
type unsent struct{ log *slog.Logger }

// Send implements mail.Sender.
func (u unsent) Send(ctx context.Context, letter *storev1.Mail) error {
	u.log.WarnContext(ctx, "a letter was not sent, since no mail server is configured (smtp-addr)", "subject", letter.GetSubject())
	return nil
}

// testCards gives accounts test cards of the built-in provider.
type testCards struct{ server *Server }

// HasAccount implements ops.Cards.
func (c testCards) HasAccount(ctx context.Context, account string) (bool, error) {
	view, err := c.server.rooms.source.Read(ctx)
	if err != nil {
		return false, err
	}
	_, ok := view.Get(resource.ForAccount(account).Record())
	return ok, nil
}

// cardOf says which card of the ledger behaves so.
var cardOf = map[opsv1.Card_Behavior]storev1.Ledger_Card{
	opsv1.Card_ACCEPT:          storev1.Ledger_ACCEPTS,
	opsv1.Card_DECLINE:         storev1.Ledger_DECLINES,
	opsv1.Card_REQUIRES_ACTION: storev1.Ledger_WAITS,
}

// SetCard implements ops.Cards. What waits for a better card goes on at once.
func (c testCards) SetCard(ctx context.Context, account string, behavior opsv1.Card_Behavior) error {
	p := c.server.paying
	if err := p.ledger.SetCard(ctx, account, cardOf[behavior]); err != nil || !p.payments.Pays(account) {
		return err
	}
	return p.payments.Update(ctx, account, func(tx billing.Tx) error { return p.engine.Ask(tx, false) })
}
