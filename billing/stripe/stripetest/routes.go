package stripetest

import (
	"net/http"
	"net/url"
)

// call is one request while it is served; the server's lock is held.
type call struct {
	*Server
	request *http.Request
	*params
	key string
}

// handler reads its parameters and ends with them before it changes anything, so that a
// request that is refused for its form has no effect.
type handler func(*call) (object, error)

// routeTable is what there is of Stripe's API (https://docs.stripe.com/api).
func (s *Server) routeTable() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"POST /v1/customers":                           createCustomer,
		"GET /v1/customers":                            listCustomers,
		"GET /v1/customers/{id}":                       getCustomer,
		"POST /v1/customers/{id}":                      updateCustomer,
		"DELETE /v1/customers/{id}":                    deleteCustomer,
		"GET /v1/customers/search":                     searchCustomers,
		"POST /v1/customers/{id}/balance_transactions": createBalanceTransaction,
		"GET /v1/customers/{id}/balance_transactions":  listBalanceTransactions,
		"POST /v1/customers/{id}/tax_ids":              createTaxID,
		"GET /v1/customers/{id}/tax_ids":               listTaxIDs,
		"DELETE /v1/customers/{id}/tax_ids/{tax}":      deleteTaxID,
		"GET /v1/customers/{id}/payment_methods":       listCustomerMethods,
		"GET /v1/payment_methods":                      listMethods,
		"GET /v1/payment_methods/{id}":                 getMethod,
		"POST /v1/payment_methods/{id}/detach":         detachMethod,
		"POST /v1/payment_methods/{id}/attach":         attachMethod,
		"GET /v1/setup_intents/{id}":                   getSetupIntent,
		"POST /v1/checkout/sessions":                   createCheckoutSession,
		"GET /v1/checkout/sessions/{id}":               getCheckoutSession,
		"GET /v1/checkout/sessions":                    listCheckoutSessions,
		"POST /v1/checkout/sessions/{id}/expire":       expireCheckoutSession,
		"POST /v1/billing_portal/sessions":             createPortalSession,
		"POST /v1/billing_portal/configurations":       createPortalConfiguration,
		"GET /v1/billing_portal/configurations":        listPortalConfigurations,
		"GET /v1/billing_portal/configurations/{id}":   getPortalConfiguration,
		"POST /v1/billing_portal/configurations/{id}":  updatePortalConfiguration,
		"POST /v1/products":                            createProduct,
		"GET /v1/products":                             listProducts,
		"GET /v1/products/{id}":                        getProduct,
		"POST /v1/products/{id}":                       updateProduct,
		"POST /v1/prices":                              createPrice,
		"GET /v1/prices":                               listPrices,
		"GET /v1/prices/{id}":                          getPrice,
		"POST /v1/prices/{id}":                         updatePrice,
		"POST /v1/subscriptions":                       createSubscription,
		"GET /v1/subscriptions":                        listSubscriptions,
		"GET /v1/subscriptions/{id}":                   getSubscription,
		"POST /v1/subscriptions/{id}":                  updateSubscription,
		"DELETE /v1/subscriptions/{id}":                cancelSubscription,
		"GET /v1/invoices":                             listInvoices,
		"GET /v1/invoices/upcoming":                    upcomingInvoice,
		"GET /v1/invoices/{id}":                        getInvoice,
		"GET /v1/invoices/{id}/lines":                  listInvoiceLines,
		"POST /v1/invoices/{id}/finalize":              finalizeInvoice,
		"POST /v1/invoices/{id}/pay":                   payInvoice,
		"POST /v1/invoices/{id}/void":                  voidInvoice,
		"POST /v1/invoices/{id}/mark_uncollectible":    markUncollectible,
		"GET /v1/payment_intents/{id}":                 getIntent,
		"POST /v1/webhook_endpoints":                   createEndpoint,
		"GET /v1/webhook_endpoints":                    listEndpoints,
		"GET /v1/webhook_endpoints/{id}":               getEndpoint,
		"POST /v1/webhook_endpoints/{id}":              updateEndpoint,
		"DELETE /v1/webhook_endpoints/{id}":            deleteEndpoint,
		"GET /v1/events":                               listEvents,
		"GET /v1/events/{id}":                          getEvent,
	} {
		mux.Handle(pattern, route{h})
	}
	return mux
}

// route is a handler as the ServeMux knows it: asked to serve, it only says that it is the
// one, since the ServeMux also finds the values in the path.
type route struct{ handler }

func (h route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m, ok := w.(*match); ok {
		m.handler, m.request = h.handler, r
	}
}

// match is what the ServeMux found. What it writes where it finds nothing is not needed.
type match struct {
	handler
	request *http.Request
	header  http.Header
}

func (m *match) Header() http.Header         { return m.header }
func (m *match) Write(b []byte) (int, error) { return len(b), nil }
func (m *match) WriteHeader(int)             {}

// serve answers one request: who asks, what became of its key, what the test wants to go
// wrong, then the work.
func (s *Server) serve(r *http.Request, form url.Values) answer {
	id := s.requestID()
	a := s.answerOf(r, form, id)
	a.id = id
	return a
}

func (s *Server) answerOf(r *http.Request, form url.Values, id string) answer {
	if e := s.authorized(r); e != nil {
		return fail(e)
	}
	key := ""
	if r.Method == http.MethodPost { // Keys of other methods have no effect.
		key = r.Header.Get("Idempotency-Key")
	}
	entry, earlier := s.keys.begin(key, r.Method+" "+r.URL.Path+"?"+form.Encode(), s.clock.Now())
	if earlier != nil {
		earlier.key = key
		return *earlier
	}
	fault := None
	if s.config.Fault != nil {
		fault = s.config.Fault(Request{Method: r.Method, Path: r.URL.Path, Key: key, Form: form})
	}
	a := fault.apply(func() answer { return s.work(r, form, key) })
	s.keys.end(key, entry, a)
	a.key = key
	return a
}

func (s *Server) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newID("req")
}

func (s *Server) work(r *http.Request, form url.Values, key string) answer {
	s.enter()
	defer s.mu.Unlock()
	found := &match{header: http.Header{}}
	s.routes.ServeHTTP(found, r)
	if found.handler == nil {
		e := invalid("", "Unrecognized request URL (%s: %s).", r.Method, r.URL.Path)
		e.status, e.early = http.StatusNotFound, true
		return fail(e)
	}
	p, problem := parseParams(form)
	if problem != nil {
		return fail(problem)
	}
	c := &call{Server: s, request: found.request, params: p, key: key}
	s.making = c
	defer func() { s.making = nil }()
	paths := p.texts("expand")
	result, err := found.handler(c)
	if err != nil {
		return fail(asAPIError(err))
	}
	if err := s.expand(result, paths); err != nil {
		return fail(asAPIError(err))
	}
	return encode(http.StatusOK, result)
}
