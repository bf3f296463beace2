package server_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// The API's conventions hold through REST on the whole server. Package gateway and the
// services test them case by case; here each is seen once from outside.
func TestConventions(t *testing.T) {
	cp := controlplanetest.Start(t, controlplanetest.SmallFleet(t, 3))
	acme := cp.Account("acme")
	cp.Site(acme, "acme", "shop.test")
	for name, test := range map[string]func(*testing.T, *controlplanetest.ControlPlane, *controlplanetest.REST){
		"well-known paths": wellKnown,
		"refusals":         refusals,
		"etags":            etags,
		"idempotency":      idempotency,
		"validateOnly":     validateOnly,
		"pages":            pages,
		"headers":          headers,
		"streams":          streams,
	} {
		t.Run(name, func(t *testing.T) { test(t, cp.For(t), acme.For(t)) })
	}
}

func wellKnown(t *testing.T, cp *controlplanetest.ControlPlane, _ *controlplanetest.REST) {
	t.Helper()
	for path, want := range map[string]string{
		"/healthz":      `ok`,
		"/readyz":       `ok|ready`,
		"/metrics":      `(?m)^# TYPE [a-z_]+ counter$`,
		"/openapi.json": `"openapi":\s*"3\.1`,
		"/docs":         `(?i)<!doctype html`,
	} {
		r := cp.REST("").Do(http.MethodGet, path, "")
		if r.Status != http.StatusOK || !regexp.MustCompile(want).Match(r.Raw) {
			t.Errorf("%s: %d %.300s", path, r.Status, r.Raw)
		}
	}
	// The reference loads nothing from elsewhere.
	if r := cp.REST("").Do(http.MethodGet, "/docs", ""); regexp.MustCompile(`(?:src|href)="(?:https?:)?//`).Match(r.Raw) {
		t.Errorf("/docs needs a network: %s", r.Raw)
	}
	paths, _ := cp.REST("").Get("/openapi.json").At("paths").(map[string]any)
	if paths["/v1/dataCenters"] == nil || len(paths) < 50 {
		t.Errorf("/openapi.json describes %d paths", len(paths))
	}
}

func refusals(t *testing.T, cp *controlplanetest.ControlPlane, acme *controlplanetest.REST) {
	t.Helper()
	nobody := cp.REST("")
	for _, c := range []struct {
		name         string
		as           *controlplanetest.REST
		method, path string
		body         string
		status       int
		reason       string
		names        string
	}{
		{"unknown field", acme, http.MethodPatch, shop + "/settings", `{"browserTtl": 1}`, 400, "INVALID_FIELD", "browserTtl"},
		{"unknown parameter", acme, http.MethodGet, shop + "?colour=red", "", 400, "UNKNOWN_PARAMETER", "colour"},
		{"every violation at once", acme, http.MethodPatch, shop + "/settings", `{"browserTtlSeconds": -1, "edgeTtlSeconds": -1}`, 400, "INVALID_FIELD", "edgeTtlSeconds"},
		{"another name than the path's", acme, http.MethodPatch, shop + "/settings", `{"name": "accounts/acme/sites/second.test/settings", "browserTtlSeconds": 1}`, 400, "INVALID_FIELD", "name"},
		{"no JSON", acme, http.MethodPatch, shop + "/settings", `{`, 400, "INVALID_FIELD", ""},
		{"wrong method", acme, http.MethodPut, shop, `{}`, 405, "METHOD_NOT_ALLOWED", ""},
		{"no such route", acme, http.MethodGet, "/v1/nothing", "", 404, "NOT_FOUND", ""},
		{"no such site", acme, http.MethodGet, "/v1/accounts/acme/sites/absent.test", "", 404, "NOT_FOUND", "absent.test"},
		{"taken", acme, http.MethodPost, "/v1/accounts/acme/sites", `{"domain": "shop.test", "origin": {"address": "203.0.113.1"}}`, 409, "ALREADY_EXISTS", "shop.test"},
		{"negative page", acme, http.MethodGet, "/v1/accounts/acme/sites?pageSize=-1", "", 400, "INVALID_FIELD", "pageSize"},
		{"foreign page token", acme, http.MethodGet, "/v1/accounts/acme/sites?pageToken=x", "", 400, "INVALID_FIELD", "pageToken"},
		{"401 before the body is decoded", nobody, http.MethodPatch, shop + "/settings", `{`, 401, "UNAUTHENTICATED", ""},
		{"403 before existence", acme, http.MethodGet, "/v1/accounts/nobody/sites/absent.test", "", 403, "PERMISSION_DENIED", "sites.get"},
		{"a plan's app", acme, http.MethodPatch, shop + "/apps/waf", `{"enabled": true}`, 400, "PLAN_REQUIRED", "requiredPlan"},
		{"an app owned elsewhere", acme, http.MethodPatch, shop + "/apps/dev-mode", `{"enabled": true}`, 400, "OWNED_ELSEWHERE", "settings"},
		{"a packet that can't be", acme, http.MethodPatch, shop + "/threatSettings", `{"packetRules": [{"protocol": "TCP", "minLength": 99971, "maxLength": 99985, "action": "BLOCK"}]}`, 400, "IMPOSSIBLE_RULE", "Length"},
		{"a network that can't be", acme, http.MethodPatch, shop + "/threatSettings", `{"firewallEntries": [{"cidr": "203.0.113.1/99", "action": "BLOCK"}]}`, 400, "", "cidr"},
		{"a private origin", acme, http.MethodPost, "/v1/accounts/acme/sites", `{"domain": "private.test", "origin": {"address": "10.0.0.1"}}`, 400, "INVALID_FIELD", "origin"},
	} {
		r := c.as.Do(c.method, c.path, c.body)
		if r.Status != c.status || c.reason != "" && r.Reason() != c.reason || !strings.Contains(string(r.Raw), c.names) {
			t.Errorf("%s: %d %s", c.name, r.Status, r.Raw)
		}
		if info := r.Detail("ErrorInfo"); info.Text("domain") != "breakwater" || r.Body.Text("message") == "" {
			t.Errorf("%s: no ErrorInfo: %s", c.name, r.Raw)
		}
		if r.Header.Get("X-Request-Id") == "" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: headers %v", c.name, r.Header)
		}
	}
	r := acme.Do(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": -1, "edgeTtlSeconds": -1}`)
	if v := r.Detail("BadRequest").Objects("fieldViolations"); len(v) != 2 {
		t.Errorf("two faults, violations %v", v)
	}
}

func etags(t *testing.T, _ *controlplanetest.ControlPlane, acme *controlplanetest.REST) {
	t.Helper()
	old := acme.Get(shop + "/settings").Text("etag")
	now := acme.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 77, "etag": "`+old+`"}`).Text("etag")
	if now == old || now == "" {
		t.Fatalf("etag %q after %q", now, old)
	}
	for what, r := range map[string]controlplanetest.Response{
		"body":     acme.Do(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 78, "etag": "`+old+`"}`),
		"If-Match": acme.Do(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 78}`, "If-Match", `"`+old+`"`),
	} {
		if r.Status != http.StatusConflict || r.Reason() != "ETAG_MISMATCH" {
			t.Errorf("stale etag in %s: %d %s", what, r.Status, r.Raw)
		}
	}
	acme.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 78}`, "If-Match", `"`+now+`"`)
	acme.OK(http.MethodPatch, shop+"/settings", `{"browserTtlSeconds": 79}`)
	if r := acme.Do(http.MethodDelete, shop+"?etag=stale", ""); r.Reason() != "ETAG_MISMATCH" {
		t.Errorf("delete with a stale etag: %d %s", r.Status, r.Raw)
	}
}

func idempotency(t *testing.T, _ *controlplanetest.ControlPlane, acme *controlplanetest.REST) {
	t.Helper()
	const body = `{"name": "once", "type": "A", "content": "203.0.113.20", "ttl": 300}`
	first := acme.Do(http.MethodPost, shop+"/dnsRecords", body, "Idempotency-Key", "one")
	again := acme.Do(http.MethodPost, shop+"/dnsRecords", body, "Idempotency-Key", "one")
	if first.Status != http.StatusOK || again.Status != http.StatusOK || again.Body.Text("id") != first.Body.Text("id") || first.Body.Text("id") == "" {
		t.Errorf("first %s, again %s", first.Raw, again.Raw)
	}
	other := strings.Replace(body, ".20", ".21", 1)
	if r := acme.Do(http.MethodPost, shop+"/dnsRecords", other, "Idempotency-Key", "one"); r.Status != http.StatusBadRequest || r.Reason() != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("another body: %d %s", r.Status, r.Raw)
	}
	// At once: one is made, whoever asks meanwhile is told so or gets its answer.
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			r, err := acme.Try(t.Context(), http.MethodPost, shop+"/dnsRecords",
				`{"name": "together", "type": "A", "content": "203.0.113.22", "ttl": 300}`, "Idempotency-Key", "two")
			switch {
			case err == nil && r.Status == http.StatusOK:
				ids[i] = r.Body.Text("id")
			case err != nil || r.Status != http.StatusConflict || r.Reason() != "IDEMPOTENCY_IN_PROGRESS":
				t.Errorf("at once: %v %d %s", err, r.Status, r.Raw)
			}
		})
	}
	all.Wait()
	made := map[string]bool{}
	for _, id := range ids {
		if id != "" {
			made[id] = true
		}
	}
	if len(made) != 1 {
		t.Errorf("at once: %v", ids)
	}
}

func validateOnly(t *testing.T, _ *controlplanetest.ControlPlane, acme *controlplanetest.REST) {
	t.Helper()
	before := acme.Get(shop)
	tried := acme.OK(http.MethodPatch, shop+"/settings?validateOnly=true", `{"browserTtlSeconds": 4242}`)
	if tried.Int("browserTtlSeconds") != 4242 {
		t.Errorf("tried: %v", tried)
	}
	acme.OK(http.MethodPost, "/v1/accounts/acme/sites?validateOnly=true", `{"domain": "tried.test", "origin": {"address": "203.0.113.1"}}`)
	if r := acme.Do(http.MethodGet, "/v1/accounts/acme/sites/tried.test", ""); r.Status != http.StatusNotFound {
		t.Errorf("a site that was only tried: %d", r.Status)
	}
	token := acme.OK(http.MethodPost, "/v1/accounts/acme/tokens?validateOnly=true", `{"displayName": "tried", "permissions": ["*"]}`)
	if token.Text("secret") != "" {
		t.Errorf("a secret was minted: %v", token)
	}
	if r := acme.Do(http.MethodPatch, shop+"/settings?validateOnly=true", `{"browserTtlSeconds": -1}`); r.Status != http.StatusBadRequest {
		t.Errorf("tried with a fault: %d", r.Status)
	}
	if now := acme.Get(shop); now.Text("etag") != before.Text("etag") || now.Int("version") != before.Int("version") {
		t.Errorf("trying changed the site: %v", now)
	}
}

func pages(t *testing.T, cp *controlplanetest.ControlPlane, _ *controlplanetest.REST) {
	t.Helper()
	c := cp.Account("pages")
	path := "/v1/accounts/pages/sites"
	create := func(domain string) {
		c.OK(http.MethodPost, path, `{"domain": "`+domain+`", "origin": {"address": "203.0.113.1"}, "labels": {"env": "test"}}`)
	}
	for _, d := range []string{"b.test", "d.test", "f.test", "h.test", "j.test"} {
		create(d)
	}
	var seen []string
	token := ""
	for n := 0; ; n++ {
		page := c.Get(path + "?pageSize=2&pageToken=" + token)
		for _, s := range page.Objects("sites") {
			seen = append(seen, s.Text("domain"))
		}
		if token = page.Text("nextPageToken"); token == "" {
			break
		}
		// What comes or goes in between moves nothing that was there.
		if n == 0 {
			create("a.test")
			c.OK(http.MethodDelete, path+"/h.test", "")
		}
	}
	if got := strings.Join(seen, " "); got != "b.test d.test f.test j.test" {
		t.Errorf("pages: %s", got)
	}
	first := c.Get(path + "?pageSize=2").Text("nextPageToken")
	if r := c.Do(http.MethodGet, path+"?pageSize=2&filter=paused%3Dtrue&pageToken="+first, ""); r.Status != http.StatusBadRequest {
		t.Errorf("a page token with another filter: %d", r.Status)
	}
	if n := len(c.Get(path + "?pageSize=5000&filter=domain%3D%22d.test%22").Objects("sites")); n != 1 {
		t.Errorf("filter finds %d", n)
	}
}

func headers(t *testing.T, _ *controlplanetest.ControlPlane, acme *controlplanetest.REST) {
	t.Helper()
	r := acme.Do(http.MethodGet, shop, "", "X-Request-Id", "mine-1")
	if r.Header.Get("X-Request-Id") == "" {
		t.Errorf("no X-Request-Id: %v", r.Header)
	}
	limited := false
	for name := range r.Header {
		limited = limited || strings.HasPrefix(name, "Ratelimit")
	}
	if !limited {
		t.Errorf("no RateLimit headers: %v", r.Header)
	}
	// Headers of a client never become an identity.
	if r := acme.Do(http.MethodGet, "/v1/dataCenters", "", "Grpc-Metadata-Authorization", "Bearer x", "X-Http-Method-Override", "DELETE"); r.Status != http.StatusForbidden {
		t.Errorf("smuggled: %d", r.Status)
	}
}

func streams(t *testing.T, cp *controlplanetest.ControlPlane, acme *controlplanetest.REST) {
	t.Helper()
	cp.Live(acme, "acme", "shop.test")
	for _, scope := range []string{"CANARY", "ALL"} {
		acme.OK(http.MethodPatch, shop+"/settings", `{"edgeTtlSeconds": `+map[string]string{"CANARY": "61", "ALL": "62"}[scope]+`}`)
		var last controlplanetest.JSON
		acme.Stream(shop+"/propagation:wait?scope="+scope, func(p controlplanetest.JSON) bool {
			last = p
			return true
		})
		if scope == "ALL" && last.Text("state") != "LIVE" || last.Int("appliedDataCenters") < 1 {
			t.Errorf("%s ended with %v", scope, last)
		}
	}
	current := false
	acme.Stream("/v1/accounts/acme/sites:watch", func(e controlplanetest.JSON) bool {
		current = strings.Contains(fmt.Sprint(e), "CURRENT")
		return !current
	})
	if !current {
		t.Error("the change feed never says CURRENT")
	}
	if r := acme.Do(http.MethodGet, shop+"/propagation:wait?version=999999", ""); r.Status == http.StatusOK && r.Body.At("error") == nil {
		t.Errorf("waiting for a version that is not there: %s", r.Raw)
	}
}
