package stripe

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	stripego "github.com/stripe/stripe-go/v76"
	portalconfig "github.com/stripe/stripe-go/v76/billingportal/configuration"
	portalsession "github.com/stripe/stripe-go/v76/billingportal/session"
	checkout "github.com/stripe/stripe-go/v76/checkout/session"
	"github.com/stripe/stripe-go/v76/customer"
	"github.com/stripe/stripe-go/v76/customerbalancetransaction"
	"github.com/stripe/stripe-go/v76/invoice"
	"github.com/stripe/stripe-go/v76/price"
	"github.com/stripe/stripe-go/v76/product"
	"github.com/stripe/stripe-go/v76/subscription"
	"github.com/stripe/stripe-go/v76/taxid"
	"github.com/stripe/stripe-go/v76/webhookendpoint"

	"github.com/breakwater-cdn/breakwater/billing"
)

// APIVersion is the version of Stripe's API that is spoken, and that webhooks should have.
const APIVersion = stripego.APIVersion

// defaultTimeout bounds one HTTP request. Stripe itself gives up on most after 80 seconds
// and answers almost all within two; past this a repeat with the same key finds out.
const defaultTimeout = 40 * time.Second

// Config is what a [Provider] is made of.
type Config struct {
	// Key is the secret (sk_…) or restricted (rk_…) key.
	Key Secret
	// APIBase is where the API is; Stripe's own when empty. Only an address of this machine
	// may be without TLS.
	APIBase string
	// HTTPClient makes the requests; one of its own when nil. Redirects are never followed.
	HTTPClient *http.Client
	// Plans are the plans that are sold.
	Plans *billing.Plans
	// Logger gets a line for each call; none when nil.
	Logger *slog.Logger
	// Clock says when remembered prices are too old; the real one when nil.
	Clock clockwork.Clock
	// Timeout bounds one HTTP request; 40 seconds when zero.
	Timeout time.Duration
	// PrivacyURL and TermsURL are linked from the portal; those of the Stripe account when
	// empty. Sync sets them.
	PrivacyURL, TermsURL string
	// WebhookURL is where Sync has Stripe send events; it leaves webhooks alone when empty.
	WebhookURL string
}

// Provider is Stripe as a [billing.Provider].
type Provider struct {
	plans   *billing.Plans
	logger  *slog.Logger
	clock   clockwork.Clock
	timeout time.Duration

	privacyURL, termsURL, webhookURL string

	customers     customer.Client
	balances      customerbalancetransaction.Client
	taxIDs        taxid.Client
	checkouts     checkout.Client
	portals       portalsession.Client
	portalConfigs portalconfig.Client
	subscriptions subscription.Client
	invoices      invoice.Client
	products      product.Client
	prices        price.Client
	webhooks      webhookendpoint.Client

	remembered catalogue
}

var _ billing.Provider = (*Provider)(nil)

// New returns a provider. It makes no call: see [Provider.Check].
func New(cfg Config) (*Provider, error) {
	if cfg.Plans == nil {
		return nil, errors.New("stripe: no plans are given")
	}
	if err := cfg.Key.check(); err != nil {
		return nil, err
	}
	base, err := apiBase(cfg.APIBase)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 {
		return nil, errors.New("stripe: the timeout is negative")
	}
	p := &Provider{
		plans: cfg.Plans, logger: cfg.Logger, clock: cfg.Clock, timeout: cfg.Timeout,
		privacyURL: cfg.PrivacyURL, termsURL: cfg.TermsURL, webhookURL: cfg.WebhookURL,
	}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	if p.clock == nil {
		p.clock = clockwork.NewRealClock()
	}
	if p.timeout == 0 {
		p.timeout = defaultTimeout
	}
	p.connect(string(cfg.Key), stripego.GetBackendWithConfig(stripego.APIBackend, &stripego.BackendConfig{
		URL:               new(base),
		HTTPClient:        withoutRedirects(cfg.HTTPClient),
		LeveledLogger:     silent{},
		MaxNetworkRetries: new(int64(0)),
		EnableTelemetry:   new(false),
	}))
	return p, nil
}

// connect gives every client the key and the backend: the library's global ones are shared
// by a whole process.
func (p *Provider) connect(key string, api stripego.Backend) {
	p.customers = customer.Client{B: api, Key: key}
	p.balances = customerbalancetransaction.Client{B: api, Key: key}
	p.taxIDs = taxid.Client{B: api, Key: key}
	p.checkouts = checkout.Client{B: api, Key: key}
	p.portals = portalsession.Client{B: api, Key: key}
	p.portalConfigs = portalconfig.Client{B: api, Key: key}
	p.subscriptions = subscription.Client{B: api, Key: key}
	p.invoices = invoice.Client{B: api, Key: key}
	p.products = product.Client{B: api, Key: key}
	p.prices = price.Client{B: api, Key: key}
	p.webhooks = webhookendpoint.Client{B: api, Key: key}
}

// apiBase checks the address of the API: the key goes there with every request.
func apiBase(text string) (string, error) {
	if text == "" {
		return stripego.APIURL, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("stripe: the API base must be a URL such as https://api.stripe.com")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !ownMachine(u.Hostname())) {
		return "", fmt.Errorf("stripe: the API base %s would carry the key in the clear", u.Redacted())
	}
	return strings.TrimSuffix(text, "/"), nil
}

func ownMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withoutRedirects copies a client: an API does not redirect, and a request that carries the
// key goes nowhere but to its base.
func withoutRedirects(given *http.Client) *http.Client {
	c := &http.Client{}
	if given != nil {
		*c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}
