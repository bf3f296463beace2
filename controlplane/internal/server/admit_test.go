package server_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// What the gateway refuses is counted as well, and once.
func TestRefusedRequestsCount(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	acme, other := cp.Account("acme"), cp.Account("other")
	left := func(r controlplanetest.Response) int {
		t.Helper()
		n, err := strconv.Atoi(r.Header.Get("RateLimit-Remaining"))
		if err != nil || r.Header.Get("RateLimit") == "" || len(r.Header.Values("RateLimit-Remaining")) != 1 {
			t.Fatalf("headers %v", r.Header)
		}
		return n
	}
	before := left(acme.Do(http.MethodGet, "/v1/accounts/acme/sites", ""))
	for _, try := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/v1/accounts/acme/sites/riv.test:configure", `{"settings":{},"x":[1` + strings.Repeat(",1", 1<<16) + `]}`, http.StatusBadRequest},
		{http.MethodGet, "/v1/accounts/acme/sites?nope=1", "", http.StatusBadRequest},
		{http.MethodPost, "/v1/accounts/acme/sites", `{"domain":"!"}`, http.StatusBadRequest},
		{http.MethodGet, "/v1/accounts/acme/sites/none.test", "", http.StatusNotFound},
		{http.MethodGet, "/v1/accounts/acme", "", http.StatusOK},
	} {
		r := acme.Do(try.method, try.path, try.body)
		now := left(r)
		// A bucket may fill meanwhile, but by no more than it lost.
		if r.Status != try.status || now > before || now < before-1 {
			t.Errorf("%s %s: %d, %d calls left after %d", try.method, try.path, r.Status, now, before)
		}
		before = now
	}
	// Permission comes before validity.
	for _, path := range []string{"/v1/accounts/acme/sites/riv.test/settings", "/v1/accounts/acme/members/1"} {
		if r := other.Do(http.MethodPatch, path, `{"foo":1}`); r.Status != http.StatusForbidden {
			t.Errorf("a stranger's PATCH of %s: %d %s", path, r.Status, r.Raw)
		}
	}
}

// Guesses of a credential are limited by where they come from, whoever else is there.
func TestGuessesCount(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	guess := cp.REST("bwt_0000000000000000_bad")
	for n := 0; ; n++ {
		r := guess.Do(http.MethodGet, "/v1/me", "")
		if r.Status == http.StatusTooManyRequests {
			break
		}
		if r.Status != http.StatusUnauthorized || n > 7000 {
			t.Fatalf("guess %d: %d %s", n, r.Status, r.Raw)
		}
	}
	cp.Account("acme").OK(http.MethodGet, "/v1/accounts/acme", "")
}

// Every error is one of the API's own, on any path.
func TestErrorsOfFixedPaths(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	c := cp.REST(cp.Operator)
	for _, try := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPost, "/readyz", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPost, "/docs", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodDelete, "/openapi.json", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodGet, "/docs/nope", http.StatusNotFound, ""},
		{http.MethodGet, "/v1//accounts/acme/sites", http.StatusNotFound, ""},
		{http.MethodGet, "/v1/accounts/acme/../acme/sites", http.StatusNotFound, ""},
	} {
		r := c.Do(try.method, try.path, "")
		if r.Status != try.status || r.Header.Get("Allow") != try.allow || r.Detail("ErrorInfo").Text("domain") != "breakwater" {
			t.Errorf("%s %s: %d, Allow %q: %s", try.method, try.path, r.Status, r.Header.Get("Allow"), r.Raw)
		}
	}
	for _, path := range []string{"/healthz", "/metrics", "/docs", "/openapi.json"} {
		if r := c.Do(http.MethodGet, path, ""); r.Status != http.StatusOK {
			t.Errorf("GET %s: %d", path, r.Status)
		}
	}
}

// A call has one ID: in the answer, and in the audit log.
func TestOneRequestID(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	acme := cp.Account("acme")
	for i, id := range []string{strings.Repeat("x", 100), "trace/1+2=", "not \"sane\""} {
		r := acme.Do(http.MethodPatch, "/v1/accounts/acme", `{"displayName": "Acme `+strconv.Itoa(i)+`"}`, "X-Request-Id", id)
		told := r.Header.Get("X-Request-Id")
		if r.Status != http.StatusOK || (told == id) == strings.Contains(id, " ") {
			t.Fatalf("%q became %q: %d %s", id, told, r.Status, r.Raw)
		}
		found := false
		for _, e := range acme.Get("/v1/accounts/acme/auditEvents?pageSize=1000").Objects("auditEvents") {
			found = found || e.Text("httpRequestId") == told
		}
		if !found {
			t.Errorf("the audit log has no %q", told)
		}
	}
}
