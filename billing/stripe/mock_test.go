package stripe

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"
	specification "github.com/stripe/stripe-mock/spec"

	"github.com/breakwater-cdn/breakwater/billing"
)

// stub is Stripe's own mock: it checks each request against Stripe's specification and
// answers with fixtures.
var stub = sync.OnceValues(func() (*server.StubServer, error) {
	spec, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		return nil, err
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		return nil, err
	}
	// A validator is made for each path, which is most of the time that this takes.
	maps.DeleteFunc(spec.Paths, func(path specification.Path, _ map[specification.HTTPVerb]*specification.Operation) bool {
		return !slices.ContainsFunc(used, func(prefix string) bool { return strings.HasPrefix(string(path), prefix) })
	})
	return server.NewStubServer(fixtures, spec, false, false)
})

// used are the parts of Stripe's API that requests may be for.
var used = []string{
	"/v1/billing_portal/", "/v1/checkout/", "/v1/customers", "/v1/invoices", "/v1/prices", "/v1/products", "/v1/subscriptions",
	"/v1/webhook_endpoints",
}

// seen is a request as it went out.
type seen struct {
	method, path string
	form         url.Values
	header       http.Header
}

func (s seen) line() string { return s.method + " " + s.path }

// mock is stripe-mock with answers that the test chose. Chosen answers too are given only to
// requests that the specification accepts.
type mock struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string][]string // By method and path: JSON, the last one for good.
	status  map[string]int
	seen    []seen
	refused []string
}

func newMock(t *testing.T) *mock {
	t.Helper()
	spec, err := stub()
	if err != nil {
		t.Fatal(err)
	}
	m := &mock{answers: map[string][]string{}, status: map[string]int{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(spec, w, r) }))
	t.Cleanup(func() {
		m.CloseClientConnections()
		m.Close()
	})
	return m
}

func (m *mock) serve(spec *server.StubServer, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	text := string(body)
	if r.Method == http.MethodGet || text == "" {
		text = r.URL.RawQuery
	}
	form, _ := url.ParseQuery(text)
	one := seen{r.Method, r.URL.Path, form, r.Header.Clone()}
	byMock := httptest.NewRecorder()
	spec.HandleRequest(byMock, r)

	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, one)
	answer, code := byMock.Body.String(), byMock.Code
	if code >= http.StatusBadRequest {
		m.refused = append(m.refused, one.line()+": "+answer)
	} else if chosen := m.answers[one.line()]; len(chosen) > 0 {
		answer = chosen[0]
		if len(chosen) > 1 {
			m.answers[one.line()] = chosen[1:]
		}
		if status := m.status[answer]; status != 0 {
			code = status
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, answer)
}

// answer chooses the answers of a method and path, in order.
func (m *mock) answer(line string, answers ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[line] = answers
}

// failure makes an answer that fails, of a status and an error object.
func (m *mock) failure(status int, object string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer := `{"error": ` + object + `}`
	m.status[answer] = status
	return answer
}

// take returns what was asked since the last time, and fails for what the specification
// refused.
func (m *mock) take(t *testing.T) []seen {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, refused := range m.refused {
		t.Errorf("the specification refuses %s", refused)
	}
	all := m.seen
	m.seen, m.refused = nil, nil
	return all
}

const testKey = "sk_test_abcdefghijklmnop"

func load(t *testing.T) *billing.Plans {
	t.Helper()
	plans, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	return plans
}

func newProvider(t *testing.T, m *mock, edit ...func(*Config)) *Provider {
	t.Helper()
	cfg := Config{Key: testKey, APIBase: m.URL, Plans: load(t), HTTPClient: m.Client()}
	for _, e := range edit {
		e(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func listOf(objects ...string) string {
	return `{"object": "list", "has_more": false, "url": "/v1/x", "data": [` + strings.Join(objects, ",") + `]}`
}

func priceObject(plan, id string, amount int64) string {
	return object(map[string]any{
		"id": id, "object": "price", "active": true, "currency": "usd", "unit_amount": amount, "product": productID(plan),
		"lookup_key": lookupKey(plan), "metadata": map[string]string{planKey: plan}, "billing_scheme": "per_unit",
		"recurring": map[string]any{"interval": "month", "interval_count": 1, "usage_type": "licensed"},
	})
}

func object(fields map[string]any) string {
	text, err := json.Marshal(fields)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stock gives the mock a catalogue and the portal's configuration.
func (m *mock) stock() {
	m.answer("GET /v1/prices", listOf(
		priceObject("pro", "price_pro", 2000), priceObject("business", "price_business", 20000), priceObject("enterprise", "price_enterprise", 300000)))
	m.answer("GET /v1/billing_portal/configurations", listOf(portalObject(false)))
	m.answer("GET /v1/customers/cus_1/tax_ids", listOf())
}

func portalObject(updates bool) string {
	on, off := map[string]any{"enabled": true}, map[string]any{"enabled": false}
	return object(map[string]any{
		"id": "bpc_1", "object": "billing_portal.configuration", "active": true, "metadata": map[string]string{portalKey: "1"},
		"business_profile": map[string]any{},
		"features": map[string]any{
			"invoice_history": on, "payment_method_update": on, "customer_update": off, "subscription_cancel": off,
			"subscription_update": map[string]any{"enabled": updates},
		},
	})
}

// TestMockCanRefuse shows that the mock tells a request that Stripe's specification does not
// know from one that it does.
func TestMockCanRefuse(t *testing.T) {
	m := newMock(t)
	for form, want := range map[string]int{"email=a%40example.com": http.StatusOK, "colour=red": http.StatusBadRequest} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.URL+"/v1/customers", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+testKey)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := m.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", form, answer.StatusCode)
		}
	}
}
