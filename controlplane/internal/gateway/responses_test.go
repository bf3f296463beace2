package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func mustRequest(t testing.TB, method, target string) *http.Request {
	t.Helper()
	return httptest.NewRequest(method, target, http.NoBody)
}

func answer(m proto.Message) func(string, proto.Message) ([]proto.Message, error) {
	return func(string, proto.Message) ([]proto.Message, error) { return []proto.Message{m}, nil }
}

func failing(err error, before ...proto.Message) func(string, proto.Message) ([]proto.Message, error) {
	return func(string, proto.Message) ([]proto.Message, error) { return before, rpcerr.Status(err).Err() }
}

func TestResponse(t *testing.T) {
	a, h := start(t, Config{})
	a.reset(answer(&breakwaterv1.Site{Name: "n", Version: 7, State: breakwaterv1.Site_ACTIVE, Etag: "e1"}))
	got := do(t, h, "GET", site, "")
	if !strings.HasSuffix(got.body, "}\n") {
		t.Errorf("an answer that does not end its line: %q", got.body)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(got.body), &body); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"version": "7", "servingVersion": "0", "state": "ACTIVE", "paused": false, "displayDomain": "", "origin": nil,
	} {
		if value, ok := body[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	for name, want := range map[string]string{
		"ETag": `"e1"`, "Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "RateLimit-Limit": "",
	} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	a.reset(answer(&breakwaterv1.ListSitesResponse{NextPageToken: "x"}))
	got = do(t, h, "GET", "/v1/accounts/acme/sites", "")
	if got.code != 200 || !strings.Contains(strings.ReplaceAll(got.body, " ", ""), `"sites":[]`) || got.header.Get("ETag") != "" {
		t.Errorf("got %v", got)
	}
}

func TestHeadersIn(t *testing.T) {
	a, h := start(t, Config{})
	got := do(t, h, "POST", site+":pause?validateOnly=true", "",
		"Authorization", "Bearer s3cret", "Idempotency-Key", "k 1", "If-Match", `W/"e1"`, "Breakwater-On-Behalf-Of", "a@b.test",
		"X-Request-Id", "req-1", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "a=b",
		"X-Forwarded-For", "198.51.100.7", "X-Forwarded-For", "203.0.113.9",
		// None of these is anyone's business.
		"Grpc-Metadata-Authorization", "Bearer evil", "Grpc-Metadata-Breakwater-Gateway-Peer", "10.0.0.1:1", "Breakwater-Gateway-Peer", "10.0.0.1:1",
		"Breakwater-Validate-Only", "false", "Cookie", "x=y", "X-Forwarded-Host", "evil.test", "Grpc-Timeout", "1n", "Te", "trailers", "User-Agent", "evil")
	if got.code != 200 || got.header.Get("X-Request-Id") != "req-1" {
		t.Fatalf("got %v", got)
	}
	_, _, md := a.last()
	for _, key := range []string{":authority", "content-type", "user-agent", "grpc-accept-encoding", "x-forwarded-host", "grpc-timeout"} {
		if slices.ContainsFunc(md.Get(key), func(v string) bool { return strings.Contains(v, "evil") }) {
			t.Errorf("%s is %v", key, md.Get(key))
		}
		md.Delete(key)
	}
	want := metadata.Pairs(
		"authorization", "Bearer s3cret", "idempotency-key", "k 1", "if-match", "e1", "breakwater-on-behalf-of", "a@b.test",
		"x-request-id", "req-1", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate", "a=b",
		"x-forwarded-for", "198.51.100.7, 203.0.113.9", "breakwater-gateway-peer", "192.0.2.1:1234", "breakwater-validate-only", "true")
	for key, values := range md {
		if !slices.Equal(values, want.Get(key)) {
			t.Errorf("%s is %v, want %v", key, values, want.Get(key))
		}
	}
	if len(md) != len(want) {
		t.Errorf("got %v", md)
	}
	a.reset(nil)
	do(t, h, "GET", site, "", "If-Match", "*", "X-Request-Id", "no spaces")
	_, _, md = a.last()
	if len(md.Get("if-match")) != 0 || len(md.Get("x-forwarded-for")) != 0 || len(md.Get("authorization")) != 0 || md.Get("x-request-id")[0] == "no spaces" {
		t.Errorf("got %v", md)
	}
	for _, header := range [][]string{
		{"Idempotency-Key", ""},
		{"Idempotency-Key", strings.Repeat("k", 256)},
		{"Idempotency-Key", "ü"},
		{"Idempotency-Key", "a", "Idempotency-Key", "b"},
		{"If-Match", `"a", "b"`},
		{"If-Match", `""`},
		{"Breakwater-On-Behalf-Of", "a@b.test\n"},
	} {
		got := do(t, h, "POST", site+":pause", "", header...)
		if got.code != 400 || got.fields(t) != header[0] {
			t.Errorf("%q: got %d %s", header, got.code, got.body)
		}
	}
}

func TestErrors(t *testing.T) {
	a, h := start(t, Config{})
	for _, test := range []struct {
		err    error
		code   int
		reason string
	}{
		{rpcerr.NotFound("accounts/acme"), 404, "NOT_FOUND"},
		{rpcerr.AlreadyExists("accounts/acme"), 409, "ALREADY_EXISTS"},
		{rpcerr.EtagMismatch("accounts/acme"), 409, "ETAG_MISMATCH"},
		{rpcerr.PermissionDenied("sites.get", "accounts/acme"), 403, "PERMISSION_DENIED"},
		{rpcerr.Unauthenticated("no"), 401, "UNAUTHENTICATED"},
		{rpcerr.PlanRequired("enabled", "pro", "no"), 400, "PLAN_REQUIRED"},
		{rpcerr.QuotaExceeded("sites", 1, "pro", "no"), 400, "QUOTA_EXCEEDED"},
		{rpcerr.RateLimited("calls", 1500*time.Millisecond, "no"), 429, "RATE_LIMITED"},
		{rpcerr.Unavailable(time.Second, "no"), 503, "UNAVAILABLE"},
		{status.Error(codes.Unknown, "secret words"), 500, "INTERNAL"},
	} {
		a.reset(failing(test.err))
		a.header = metadata.Pairs("ratelimit-limit", "100", "ratelimit-remaining", "0", "ratelimit-reset", "2")
		for _, target := range []string{site, "/v1/accounts/acme/sites:watch"} {
			got := do(t, h, "GET", target, "")
			if got.code != test.code || got.reason(t) != test.reason || strings.Contains(got.body, "secret") || !strings.HasSuffix(got.body, "}\n") || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: got %d %s, want %d %s", target, got.code, got.body, test.code, test.reason)
			}
			if got.header.Get("RateLimit-Limit") != "100" || got.header.Get("RateLimit-Remaining") != "0" || got.header.Get("RateLimit-Reset") != "2" ||
				got.header.Get("RateLimit") != `"default";r=0;t=2` {
				t.Errorf("%s: got headers %v", target, got.header)
			}
			if want := map[int]string{429: "2", 503: "1"}[test.code]; got.header.Get("Retry-After") != want {
				t.Errorf("%s: Retry-After is %q, want %q", target, got.header.Get("Retry-After"), want)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	a, h := start(t, Config{})
	const target = "/v1/accounts/acme/sites:watch"
	one := &breakwaterv1.SiteEvent{Type: breakwaterv1.SiteEvent_EXISTING, Site: &breakwaterv1.Site{Name: "n"}}
	two := &breakwaterv1.SiteEvent{Type: breakwaterv1.SiteEvent_CURRENT}
	types := func(body string) (all []string) {
		for line := range strings.Lines(body) {
			var l struct {
				Result *struct{ Type string }
				Error  *struct {
					Code    int
					Details []struct{ Reason string }
				}
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if l.Result != nil {
				all = append(all, l.Result.Type)
			}
			if l.Error != nil {
				all = append(all, l.Error.Details[0].Reason)
			}
		}
		return all
	}
	a.reset(func(string, proto.Message) ([]proto.Message, error) { return []proto.Message{one, two}, nil })
	if got := do(t, h, "GET", target, ""); got.code != 200 || !slices.Equal(types(got.body), []string{"EXISTING", "CURRENT"}) || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %v", got)
	}
	a.reset(failing(rpcerr.Malformed(rpcerr.ReasonCursorExpired, "no"), one))
	if got := do(t, h, "GET", target, ""); got.code != 200 || !slices.Equal(types(got.body), []string{"EXISTING", "CURSOR_EXPIRED"}) {
		t.Errorf("got %v", got)
	}
	a.reset(failing(rpcerr.Malformed(rpcerr.ReasonCursorExpired, "no")))
	if got := do(t, h, "GET", target+"?cursor=x", ""); got.code != 400 || got.reason(t) != "CURSOR_EXPIRED" {
		t.Errorf("got %v", got)
	}
	a.reset(func(string, proto.Message) ([]proto.Message, error) { return nil, nil })
	if got := do(t, h, "GET", target, ""); got.code != 200 || got.body != "" {
		t.Errorf("got %v", got)
	}
}

// A line is there as soon as its message was sent, and the stream ends when its time is up
// or the server stops.
func TestStreamsFlushAndEnd(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		cfg          Config
		stop         bool
	}{
		{"time is up", "DEADLINE_EXCEEDED", Config{StreamTimeout: 300 * time.Millisecond}, false},
		{"the server stops", "UNAVAILABLE", Config{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			drain, stop := context.WithCancel(t.Context())
			defer stop()
			test.cfg.Drain = drain
			a, h := start(t, test.cfg)
			server := httptest.NewServer(h)
			defer server.Close()
			a.stream = func(send func(proto.Message) error, done <-chan struct{}) {
				_ = send(&breakwaterv1.SiteEvent{Type: breakwaterv1.SiteEvent_CURRENT})
				<-done
			}
			resp, err := server.Client().Get(server.URL + "/v1/accounts/acme/sites:watch")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			lines := bufio.NewScanner(resp.Body)
			if !lines.Scan() || !strings.Contains(lines.Text(), "CURRENT") {
				t.Fatalf("got %q, %v", lines.Text(), lines.Err())
			}
			if test.stop {
				stop()
			}
			if !lines.Scan() || !strings.Contains(lines.Text(), test.reason) || lines.Scan() {
				t.Fatalf("got %q, %v", lines.Text(), lines.Err())
			}
			a.stream = nil
			if got := do(t, h, "GET", site, ""); got.code != 200 {
				t.Errorf("other calls fail: %v", got)
			}
		})
	}
}

func TestServerBounds(t *testing.T) {
	s := NewServer(t.Context(), http.NotFoundHandler(), Config{}.withDefaults().Logger)
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.WriteTimeout != 0 || s.BaseContext(nil) != t.Context() {
		t.Errorf("got %+v", s)
	}
}
