package stripetest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// APIVersion is the version of Stripe's API whose shapes are answered.
const APIVersion = "2023-10-16"

// maxBody bounds what a request may bring.
const maxBody = 1 << 20

// object is a resource as JSON.
type object = map[string]any

// Config is what an account of Stripe has in its settings. The zero value is useful.
type Config struct {
	// Secret is the API key that requests must bring; sk_test_fake when empty.
	Secret string
	// Retries are the waits between attempts to collect an invoice: 3, 5 and 7 days when nil
	// (https://docs.stripe.com/invoicing/automatic-collection).
	Retries []time.Duration
	// AfterRetries is what becomes of the subscription when the last attempt failed:
	// past_due (when empty: it is left alone), unpaid or canceled.
	AfterRetries string
	// Fault is asked about every request; nil for no faults. It may block, and holds nothing
	// but the request's idempotency key while it does.
	Fault func(Request) Fault
}

// Server is the fake.
type Server struct {
	config Config
	clock  clockwork.Clock
	routes *http.ServeMux

	keys keyring

	mu     sync.Mutex
	at     time.Time // The time as of which things happen.
	serial int64

	customers     map[string]*customer
	methods       map[string]*paymentMethod
	sessions      map[string]*session
	setups        map[string]*setupIntent
	products      map[string]*product
	prices        map[string]*price
	portals       map[string]*portalConfiguration
	endpoints     map[string]*webhookEndpoint
	subscriptions map[string]*subscription
	invoices      map[string]*invoice
	intents       map[string]*paymentIntent
	events        []Event // All that there were, oldest first.
	taken         int     // How many of them left the queue.
	charges       []Charge
	making        *call // The request that is served, for its events.
}

// New makes an empty fake whose time is the clock's.
func New(clock clockwork.Clock, config Config) *Server {
	if config.Secret == "" {
		config.Secret = "sk_test_fake"
	}
	if config.Retries == nil {
		const day = 24 * time.Hour
		config.Retries = []time.Duration{3 * day, 5 * day, 7 * day}
	}
	if config.AfterRetries == "" {
		config.AfterRetries = statusPastDue
	}
	s := &Server{
		config:        config,
		clock:         clock,
		at:            clock.Now().UTC().Truncate(time.Second),
		customers:     map[string]*customer{},
		methods:       map[string]*paymentMethod{},
		sessions:      map[string]*session{},
		setups:        map[string]*setupIntent{},
		products:      map[string]*product{},
		prices:        map[string]*price{},
		portals:       map[string]*portalConfiguration{},
		endpoints:     map[string]*webhookEndpoint{},
		subscriptions: map[string]*subscription{},
		invoices:      map[string]*invoice{},
		intents:       map[string]*paymentIntent{},
	}
	s.keys.entries = map[string]*keyEntry{}
	s.routes = s.routeTable()
	return s
}

// Start serves the fake on a loopback port until the test closes what it returns.
func (s *Server) Start() *httptest.Server { return httptest.NewServer(s) }

// Transport serves requests in the same process, without a network, whatever host they are
// for. Time-outs by [Fault] come at once.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readBody(r)
	if r.Body != nil {
		_ = r.Body.Close() // Read to its end, or of no more use.
	}
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a := t.server.serve(r, body)
	if a.lost {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: errTimeout{}}
	}
	recorder := httptest.NewRecorder()
	a.write(recorder)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

// errTimeout is what a client sees of an answer that does not come.
type errTimeout struct{}

func (errTimeout) Error() string   { return "the answer did not come in time" }
func (errTimeout) Timeout() bool   { return true }
func (errTimeout) Temporary() bool { return true }

// ServeHTTP serves the API. Where a fault takes the answer away it cuts the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := s.serve(r, body)
	if a.lost {
		if hijacker, ok := w.(http.Hijacker); ok {
			if conn, _, err := hijacker.Hijack(); err == nil {
				_ = conn.Close() // The client is to see it broken.
			}
		}
		return
	}
	a.write(w)
}

func readBody(r *http.Request) (url.Values, error) {
	form := url.Values{}
	maps.Copy(form, r.URL.Query())
	if r.Body == nil {
		return form, nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	body, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	for name, values := range body {
		form[name] = append(form[name], values...)
	}
	return form, nil
}

// answer is what goes back to the client.
type answer struct {
	status   int
	body     []byte
	id       string
	key      string
	replayed bool
	// lost says that the client never sees it.
	lost bool
	// keep says whether the idempotency key remembers it.
	keep bool
	// retry is the Stripe-Should-Retry header; empty for none.
	retry string
}

func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", a.id)
	h.Set("Stripe-Version", APIVersion)
	if a.key != "" {
		h.Set("Idempotency-Key", a.key)
	}
	if a.replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if a.retry != "" {
		h.Set("Stripe-Should-Retry", a.retry)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // The client may be gone.
}

func fail(e *apiError) answer {
	a := encode(e.status, e.view())
	a.keep = !e.early && e.status != http.StatusTooManyRequests
	return a
}

func encode(status int, body object) answer {
	text, err := json.Marshal(body)
	if err != nil { // Everything that is encoded is made here of texts, numbers, maps and lists.
		text, status = []byte(`{"error":{"type":"api_error","message":"an answer could not be encoded"}}`), http.StatusInternalServerError
	}
	return answer{status: status, body: text, keep: true}
}

// enter begins whatever looks at the state or changes it, after what fell due. The caller
// unlocks.
func (s *Server) enter() {
	s.mu.Lock()
	s.catchUp(s.clock.Now().UTC().Truncate(time.Second))
}

// Sync does what fell due. Tests call it where they only want events to come.
func (s *Server) Sync() {
	s.enter()
	s.mu.Unlock()
}

// authorized checks the key and the version that a request brings.
func (s *Server) authorized(r *http.Request) *apiError {
	secret := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if user, _, ok := r.BasicAuth(); ok {
		secret = user
	}
	if secret != s.config.Secret {
		e := &apiError{status: http.StatusUnauthorized, kind: "invalid_request_error", words: "Invalid API Key provided", early: true}
		return e
	}
	if version := r.Header.Get("Stripe-Version"); version != "" && version != APIVersion {
		e := invalid("", "stripetest answers API version %s only, not %s", APIVersion, version)
		e.early = true
		return e
	}
	return nil
}
