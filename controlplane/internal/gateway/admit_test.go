package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// steps notes in what order a request is handled.
type steps struct{ taken []string }

func (s *steps) take(step string) { s.taken = append(s.taken, step) }

func (s *steps) Read([]byte) (int, error) {
	s.take("read")
	return 0, io.EOF
}

// A request is counted before it is read, has its place once it was, and gives the place
// back before the answer is written.
func TestOrderOfAdmission(t *testing.T) {
	var s *steps
	refuse, busy := error(nil), error(nil)
	a, h := start(t, Config{Admit: func(_ *http.Request, fullMethod, name string) (Ticket, error) {
		s.take("admit " + fullMethod[strings.LastIndex(fullMethod, "/")+1:] + " " + name)
		return Ticket{
			Header: metadata.Pairs(call.MetadataRateLimit, "9", call.MetadataRateRemaining, "8", call.MetadataRateReset, "7"),
			Enter: func(context.Context, int) (func(), error) {
				s.take("enter")
				return func() { s.take("leave") }, busy
			},
		}, refuse
	}})
	full := rpcerr.RateLimited("acme", 0, "too many")
	for _, test := range []struct {
		name, target string
		refuse, busy error
		code         int
		want         string
	}{
		{"done", site + ":pause", nil, nil, 200, "admit PauseSite " + site[len("/v1/"):] + " read enter call leave write"},
		{"refused", site + ":pause", rpcerr.Unauthenticated("no"), nil, 401, "admit PauseSite " + site[len("/v1/"):] + " write"},
		{"no place", site + ":pause", nil, full, 429, "admit PauseSite " + site[len("/v1/"):] + " read enter write"},
		{"malformed", site + ":pause?nope=1", nil, nil, 400, "admit PauseSite " + site[len("/v1/"):] + " read enter leave write"},
		{"no resource in the path", "/v1/accounts", nil, nil, 200, "admit CreateAccount  read enter call leave write"},
		{"no route", "/v1/nope", nil, nil, 404, "write"},
	} {
		s, refuse, busy = &steps{}, test.refuse, test.busy
		a.reset(func(string, proto.Message) ([]proto.Message, error) {
			s.take("call")
			return nil, errors.New("nothing to answer")
		})
		if test.code == 200 {
			test.code = 500
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(&writes{ResponseRecorder: w, steps: s}, httptest.NewRequest(http.MethodPost, test.target, s))
		if got := strings.Join(s.taken, " "); w.Code != test.code || got != test.want {
			t.Errorf("%s: %d, %q, want %q", test.name, w.Code, got, test.want)
		}
		if limit := w.Header().Get("RateLimit-Limit"); test.code != 404 && (limit != "9" || w.Header().Get("RateLimit") == "") {
			t.Errorf("%s: headers %v", test.name, w.Header())
		}
		if _, _, md := a.last(); md != nil && strings.Join(md.Get(call.MetadataAdmitted), " ") != "true" {
			t.Errorf("%s: the call does not say that it was admitted: %v", test.name, md)
		}
	}
}

// writes notes when the answer is written.
type writes struct {
	*httptest.ResponseRecorder
	steps *steps
}

func (w *writes) WriteHeader(code int) {
	w.steps.take("write")
	w.ResponseRecorder.WriteHeader(code)
}

// A client can't say itself that it was admitted.
func TestAdmittedIsReserved(t *testing.T) {
	a, h := start(t, Config{})
	do(t, h, "GET", site, "", call.MetadataAdmitted, "true", "Grpc-Metadata-"+call.MetadataAdmitted, "true")
	if _, _, md := a.last(); len(md.Get(call.MetadataAdmitted)) != 0 {
		t.Errorf("metadata %v", md)
	}
}

// What can't be taken costs little, however much of it there is.
func TestWalksEnd(t *testing.T) {
	const configure = site + ":configure"
	a, h := start(t, Config{})
	for _, test := range []struct{ name, target, body, fields string }{
		{"a list that nobody knows", configure, `{"x":[1` + strings.Repeat(",1", 1<<20) + `],"y":1}`, "x y"},
		{"depth that nobody decodes", configure, `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "x"},
		{"a list cut off", configure, `{"x":[1,`, "body"},
		{"too many values", configure, `{"threatSettings":{"firewallEntries":[{}` + strings.Repeat(",{}", maxTokens/2) + `]}}`, "body"},
		{"too large for its route", "/v1/accounts", `{"account":{"displayName":"` + strings.Repeat("a", DefaultMaxBody) + `"}}`, "body"},
		{"too large for any", configure, `{"x":"` + strings.Repeat("a", DefaultMaxLargeBody) + `"}`, "body"},
	} {
		a.reset(nil)
		got := do(t, h, "POST", test.target, test.body)
		if got.code != http.StatusBadRequest || got.fields(t) != test.fields {
			t.Errorf("%s: %d %.300s", test.name, got.code, got.body)
		}
	}
	// The hundredth fault is the last one looked for: what follows is not even JSON.
	got := do(t, h, "POST", configure, `{`+strings.Repeat(`"x":1,`, maxViolations)+`!`)
	if n := len(strings.Fields(got.fields(t))); got.code != http.StatusBadRequest || n != maxViolations {
		t.Errorf("%d faults: %d %.300s", n, got.code, got.body)
	}
}

func TestLargeBodiesAreRoutes(t *testing.T) {
	routes, err := newTable(services(true))
	if err != nil {
		t.Fatal(err)
	}
	large := map[string]bool{}
	for _, list := range routes.byShape {
		for _, rt := range list {
			if rt.large {
				large[rt.fullMethod] = true
			}
		}
	}
	if len(large) != len(largeBodies) {
		t.Errorf("of %v, %v are routes", largeBodies, large)
	}
}

func TestFixedPaths(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method) })
	_, h := start(t, Config{Fixed: map[string]Fixed{
		"/page": {Methods: []string{"GET", "HEAD"}, Handler: page}, "/hook": {Methods: []string{"POST"}, Handler: page},
	}})
	for _, test := range []struct {
		method, target string
		code           int
		reason, allow  string
	}{
		{"GET", "/page", 200, "", ""},
		{"HEAD", "/page", 200, "", ""},
		{"POST", "/hook", 200, "", ""},
		{"POST", "/page", 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"GET", "/hook", 405, "METHOD_NOT_ALLOWED", "POST"},
		{"GET", "/page/", 404, "NOT_FOUND", ""},
		{"GET", "//page", 404, "NOT_FOUND", ""},
		{"GET", "/x/../page", 404, "NOT_FOUND", ""},
	} {
		got := do(t, h, test.method, test.target, "")
		if got.code != test.code || got.header.Get("Allow") != test.allow || got.header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %d %s, headers %v", test.method, test.target, got.code, got.body, got.header)
		}
		if test.code == 200 && got.body != test.method || test.code != 200 && got.reason(t) != test.reason {
			t.Errorf("%s %s: %s", test.method, test.target, got.body)
		}
	}
}
