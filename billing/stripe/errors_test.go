package stripe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/billing"
)

// failing is a Stripe that answers everything with one error.
func failing(t *testing.T, status int, body string, headers ...string) (*Provider, *atomic.Int32, *bytes.Buffer) {
	t.Helper()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Request-Id", "req_1")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	log := &bytes.Buffer{}
	p, err := New(Config{
		Key: testKey, APIBase: s.URL, Plans: load(t),
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, &calls, log
}

func TestErrorTable(t *testing.T) {
	const secret = "pi_1_secret_S3CR3T"
	var payment error // Nil stands for a billing.PaymentError.
	for name, test := range map[string]struct {
		status  int
		err     string
		want    error
		says    string
		headers []string
	}{
		"declined":                   {402, `{"type":"card_error","code":"card_declined","decline_code":"stolen_card","message":"Your card was declined.","payment_intent":{"id":"pi_1","client_secret":"` + secret + `"}}`, payment, "card_declined: Your card was declined.", nil},
		"needs action":               {402, `{"type":"card_error","code":"invoice_payment_intent_requires_action","message":"More is needed."}`, payment, "requires_action", nil},
		"expired card by 400":        {400, `{"type":"card_error","code":"expired_card","message":"Your card has expired."}`, payment, "expired_card", nil},
		"declined without a code":    {402, `{"type":"card_error","message":"No."}`, nil, "card_error: No.", nil},
		"no card":                    {400, `{"type":"invalid_request_error","code":"resource_missing","message":"This customer has no attached payment source or default payment method."}`, payment, "There is no card to charge.", nil},
		"not there":                  {404, `{"type":"invalid_request_error","code":"resource_missing","param":"id","message":"No such subscription: 'sub_1'"}`, billing.ErrNotFound, "No such subscription", nil},
		"customer not there":         {400, `{"type":"invalid_request_error","code":"resource_missing","param":"customer","message":"No such customer: 'cus_1'"}`, billing.ErrNotFound, "", nil},
		"price not there":            {400, `{"type":"invalid_request_error","code":"resource_missing","param":"items[0][price]","message":"No such price"}`, billing.ErrRefused, "items[0][price]", nil},
		"no such URL":                {404, `{"type":"invalid_request_error","message":"Unrecognized request URL"}`, billing.ErrRefused, "", nil},
		"bad parameter":              {400, `{"type":"invalid_request_error","code":"parameter_unknown","param":"colour","message":"Received unknown parameter: colour"}`, billing.ErrRefused, "param=colour request=req_1", nil},
		"key with other parameters":  {400, `{"type":"idempotency_error","message":"Keys for idempotent requests can only be used with the same parameters they were first used with."}`, billing.ErrRefused, "same parameters", nil},
		"key in use":                 {409, `{"type":"idempotency_error","code":"idempotency_key_in_use","message":"in use"}`, billing.ErrRetry, "idempotency_key_in_use", nil},
		"key in use by 400":          {400, `{"type":"invalid_request_error","code":"idempotency_key_in_use","message":"in use"}`, billing.ErrRetry, "", nil},
		"lock by 429":                {429, `{"type":"invalid_request_error","code":"lock_timeout","message":"locked"}`, billing.ErrRetry, "lock_timeout", nil},
		"lock by 400":                {400, `{"type":"invalid_request_error","code":"lock_timeout","message":"locked"}`, billing.ErrRetry, "", nil},
		"conflict":                   {409, `{"type":"invalid_request_error","message":"conflict"}`, billing.ErrRetry, "", nil},
		"too much":                   {429, `{"type":"invalid_request_error","code":"rate_limit","message":"slow down"}`, billing.ErrRetry, "", nil},
		"failed":                     {500, `{"type":"api_error","message":"Sorry"}`, billing.ErrRetry, "500 api_error", nil},
		"failed before":              {500, `{"type":"api_error","message":"Sorry"}`, billing.ErrSpent, "replayed", []string{"Idempotent-Replayed: true"}},
		"unavailable":                {503, `{"type":"api_error","message":"Sorry"}`, billing.ErrRetry, "", nil},
		"wrong key":                  {401, `{"type":"invalid_request_error","message":"Invalid API Key provided: sk_test_****"}`, billing.ErrRetry, "", nil},
		"key without the permission": {403, `{"type":"invalid_request_error","message":"The provided key does not have the required permissions"}`, billing.ErrRetry, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, calls, log := failing(t, test.status, `{"error":`+test.err+`}`, test.headers...)
			_, err := p.SetCancelAtPeriodEnd(t.Context(), "k", "sub_1", true)
			var declined *billing.PaymentError
			if payment := test.want == nil; errors.As(err, &declined) != payment || !payment && !errors.Is(err, test.want) {
				t.Fatalf("%v instead of %v", err, test.want)
			}
			if errors.Is(err, billing.ErrSpent) != (len(test.headers) > 0) {
				t.Errorf("%v: is the key spent?", err)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
			if calls.Load() != 1 {
				t.Errorf("%d calls: repeating is the caller's", calls.Load())
			}
			for _, text := range []string{err.Error(), log.String()} {
				if strings.Contains(text, "S3CR3T") || strings.Contains(text, testKey) || strings.Contains(text, "stolen") {
					t.Errorf("a secret is in %q", text)
				}
			}
			if log.Len() == 0 {
				t.Error("nothing is logged")
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":   "<html>pi_1_secret_S3CR3T</html>",
		"half JSON": `{"id": "sub_1", "secret": "pi_1_secret_S3CR3T`,
		"nothing":   "",
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{200, 502} {
				p, _, log := failing(t, status, body)
				_, err := p.Subscription(t.Context(), "sub_1")
				if !errors.Is(err, billing.ErrRetry) {
					t.Errorf("%d: %v", status, err)
				}
				if strings.Contains(err.Error()+log.String(), "S3CR3T") {
					t.Errorf("%d: a secret is in %v, %s", status, err, log)
				}
			}
		})
	}
	t.Run("redirected", func(t *testing.T) {
		var followed atomic.Int32
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
		t.Cleanup(elsewhere.Close)
		p, _, _ := failing(t, 307, "", "Location: "+elsewhere.URL)
		if _, err := p.Subscription(t.Context(), "sub_1"); !errors.Is(err, billing.ErrRetry) || followed.Load() != 0 {
			t.Errorf("the key went elsewhere %d times: %v", followed.Load(), err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		s := httptest.NewServer(http.NotFoundHandler())
		s.Close()
		p, err := New(Config{Key: testKey, APIBase: s.URL, Plans: load(t)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Customer(t.Context(), "cus_1"); !errors.Is(err, billing.ErrRetry) {
			t.Error(err)
		}
	})
}

// TestDeadlines has a server that never answers: a call ends with its own deadline, and with
// its caller's.
func TestDeadlines(t *testing.T) {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(over) })
	p, err := New(Config{Key: testKey, APIBase: s.URL, Plans: load(t), Timeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.PayInvoice(t.Context(), "k", "in_1"); !errors.Is(err, billing.ErrRetry) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	p.timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.PayInvoice(ctx, "k", "in_1"); !errors.Is(err, billing.ErrRetry) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestKeysAndIDs(t *testing.T) {
	p, calls, _ := failing(t, 500, "")
	for _, key := range []string{"", strings.Repeat("k", maxKey+1)} {
		if err := p.Credit(t.Context(), key, "cus_1", 1, "why"); !errors.Is(err, billing.ErrRefused) {
			t.Errorf("key of %d characters: %v", len(key), err)
		}
	}
	for _, id := range []string{"", "upcoming", "in_1/pay", "../in_1", "in_", "in_1?x=y", "IN_1", strings.Repeat("a", 400)} {
		if _, err := p.Invoice(t.Context(), id); !errors.Is(err, billing.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestConfig(t *testing.T) {
	plans := load(t)
	for name, cfg := range map[string]Config{
		"no plans":        {Key: testKey},
		"no key":          {Plans: plans},
		"line break":      {Plans: plans, Key: testKey + "\n"},
		"publishable key": {Plans: plans, Key: "pk_test_abc"},
		"webhook secret":  {Plans: plans, Key: "whsec_abc"},
		"in the clear":    {Plans: plans, Key: testKey, APIBase: "http://stripe.example"},
		"no URL":          {Plans: plans, Key: testKey, APIBase: "api.stripe.com"},
		"with a password": {Plans: plans, Key: testKey, APIBase: "https://u:S3CR3T@api.stripe.com"},
		"no time":         {Plans: plans, Key: testKey, Timeout: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), testKey) || strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, base := range []string{"", "https://stripe.example/", "http://127.0.0.1:12111", "http://localhost:1", "http://[::1]:1/v1"} {
		if _, err := New(Config{Plans: plans, Key: "rk_live_abc", APIBase: base}); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestSecretDoesNotShow(t *testing.T) {
	s := Secret("sk_live_S3CR3T")
	cfg := Config{Key: s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", s, "cfg", struct{ Key Secret }{s})
	text := fmt.Sprint(s, &s, cfg.Key) + fmt.Sprintf("%v %+v %#v %s %q %x", s, cfg, cfg, s, s, s) + log.String()
	if strings.Contains(text, "S3CR3T") || strings.Contains(text, fmt.Sprintf("%x", string(s))) {
		t.Error(text)
	}
}
