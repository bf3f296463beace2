package server_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/billing/stripe/stripetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

// stripeWorld is a control plane with a fake Stripe, whose catalogue is as it should be.
type stripeWorld struct {
	*controlplanetest.ControlPlane
	t      *testing.T
	fake   *stripetest.Server
	base   string
	acme   *controlplanetest.REST
	stripe server.StripeConfig
}

func newStripeWorld(t *testing.T) *stripeWorld {
	t.Helper()
	w := &stripeWorld{t: t, fake: stripetest.New(clockwork.NewRealClock(), stripetest.Config{})}
	api := w.fake.Start()
	t.Cleanup(api.Close)
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	w.base = api.URL
	w.stripe = server.StripeConfig{
		APIBase: api.URL, KeyFile: file("key", "sk_test_fake\n"), WebhookSecretFile: file("webhook", "# rotated\nwhsec_old\nwhsec_new\n"),
	}
	var out bytes.Buffer
	sync := server.BillingSync{Stripe: w.stripe, PrivacyURL: "https://cdn.example/privacy", TermsURL: "https://cdn.example/terms"}
	for _, want := range []string{"+ price pro", "Stripe has what the plans say."} {
		out.Reset()
		if err := sync.Run(t.Context(), &out); err != nil || !strings.Contains(out.String(), want) {
			t.Fatalf("sync, want %q: %s, %v", want, out.String(), err)
		}
	}
	w.ControlPlane = controlplanetest.Start(t, controlplanetest.BakeScale(0), controlplanetest.SmallFleet(t, 3),
		func(c *server.Config) { c.Stripe = w.stripe })
	w.acme = w.Account("acme")
	w.Site(w.acme, "acme", "shop.test")
	return w
}

func (w *stripeWorld) customer(account string) string {
	w.t.Helper()
	found := w.fake.Customers("breakwater_account", account)
	if len(found) != 1 {
		w.t.Fatalf("%s is %d customers", account, len(found))
	}
	return found[0]
}

// webhook sends a body as Stripe would.
func (w *stripeWorld) webhook(body, signature string) int {
	w.t.Helper()
	r, err := w.REST("").Try(w.t.Context(), http.MethodPost, "/webhooks/stripe", body, "Stripe-Signature", signature)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Status
}

// seen is what would change with a webhook that is taken.
func (w *stripeWorld) seen() string {
	w.t.Helper()
	items := w.REST(w.Operator).Get("/v1/outboxItems")
	return w.acme.Get(subscription).Text("etag") + items.Text("outboxItems")
}

// A customer without a card enters one on Stripe's page, and upgrades at once, whether or not
// the webhook of the card came.
func TestStripe(t *testing.T) {
	w := newStripeWorld(t)
	if got := w.acme.Do(http.MethodPost, subscription+":change", `{"plan": "pro"}`); got.Status != http.StatusBadRequest || got.Reason() != "PAYMENT_METHOD_REQUIRED" {
		t.Fatalf("without a card: %d %s", got.Status, got.Raw)
	}
	page := w.acme.OK(http.MethodPost, "/v1/accounts/acme/billing:createCheckoutSession", `{"successUrl": "https://acme.example/"}`, "Idempotency-Key", "page")
	again := w.acme.OK(http.MethodPost, "/v1/accounts/acme/billing:createCheckoutSession", `{"successUrl": "https://acme.example/"}`, "Idempotency-Key", "page")
	if page.Text("url") == "" || again.Text("url") != page.Text("url") {
		t.Fatalf("the pages: %v, %v", page, again)
	}
	customer := w.customer("acme")
	if _, err := w.fake.CompleteCheckout(customer, stripetest.Card{}); err != nil {
		t.Fatal(err)
	}
	pro := change(w.ControlPlane, w.acme, `{"plan": "pro"}`)
	if pro.Text("plan") != "pro" || w.fake.Charged(customer) != 2000 {
		t.Fatalf("after the card was entered: %v, charged %d", pro, w.fake.Charged(customer))
	}
	w.Eventually("the account is settled until the renewal", func() bool {
		items := w.REST(w.Operator).Get("/v1/outboxItems").Objects("outboxItems")
		next, err := time.Parse(time.RFC3339, items[0].Text("nextTime"))
		return err == nil && time.Until(next) > 24*time.Hour
	})
	w.webhooks(customer)
	w.reconcile(customer)
}

// webhooks: what is not authentic is refused, what is nobody's is ignored, nothing changes by
// either; what is authentic is taken once.
func (w *stripeWorld) webhooks(customer string) {
	w.t.Helper()
	events := w.fake.TakeEvents()
	event := events[len(events)-1]
	for _, e := range events {
		if e.Type == "invoice.paid" {
			event = e
		}
	}
	now, body := time.Now(), string(event.Payload)
	stranger := strings.ReplaceAll(strings.ReplaceAll(body, customer, "cus_stranger"), event.ID, "evt_stranger")
	sign := func(body string, at time.Time, secrets ...string) string {
		return stripetest.Sign([]byte(body), at, secrets...)
	}
	for _, test := range []struct {
		name, body, signature string
		status                int
	}{
		{"unsigned", body, "", http.StatusBadRequest},
		{"forged", body, sign(body, now, "whsec_other"), http.StatusBadRequest},
		{"changed", body + " ", sign(body, now, "whsec_new"), http.StatusBadRequest},
		{"old", body, sign(body, now.Add(-6*time.Minute), "whsec_new"), http.StatusBadRequest},
		{"from the future", body, sign(body, now.Add(6*time.Minute), "whsec_new"), http.StatusBadRequest},
		{"oversized", strings.Repeat(" ", 256<<10+1), sign("", now, "whsec_new"), http.StatusRequestEntityTooLarge},
		{"another tenant's customer", stranger, sign(stranger, now, "whsec_new"), http.StatusOK},
	} {
		before := w.seen()
		if got := w.webhook(test.body, test.signature); got != test.status {
			w.t.Errorf("%s: %d, want %d", test.name, got, test.status)
		}
		if after := w.seen(); after != before {
			w.t.Errorf("%s: something changed: %s, was %s", test.name, after, before)
		}
	}
	for _, secret := range []string{"whsec_old", "whsec_new"} { // Replayed, while secrets are rotated.
		if got := w.webhook(body, sign(body, now, secret)); got != http.StatusOK {
			w.t.Errorf("signed by %s: %d", secret, got)
		}
	}
	if w.fake.Charged(customer) != 2000 || w.acme.Get(subscription).Text("plan") != "pro" {
		w.t.Error("a webhook charged somebody")
	}
}

// reconcile: a subscription that somebody ended in Stripe's dashboard is found.
func (w *stripeWorld) reconcile(customer string) {
	w.t.Helper()
	run := func(dry bool) (string, error) {
		var out bytes.Buffer
		err := server.BillingReconcile{
			URL: "http://" + w.Server.HTTPAddr(), TokenFile: filepath.Join(w.Config.DataDir, "operator.token"), DryRun: dry,
		}.Run(w.t.Context(), &out)
		return out.String(), err
	}
	if out, err := run(false); err != nil || out != "1 account compared\n" {
		w.t.Errorf("nothing differs: %s, %v", out, err)
	}
	id := w.fake.Subscriptions(customer)[0].ID
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodDelete, w.base+"/v1/subscriptions/"+id, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test_fake")
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if out, err := run(true); !errors.Is(err, server.ErrOperatorNeeded) || !strings.Contains(out, "accounts/acme") || !strings.Contains(out, "not repaired") {
		w.t.Errorf("a dry run: %s, %v", out, err)
	}
	if out, err := run(false); err != nil || !strings.Contains(out, "(repaired)") {
		w.t.Errorf("repaired: %s, %v", out, err)
	}
}
