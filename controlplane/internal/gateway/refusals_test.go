package gateway

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestBodiesRefused(t *testing.T) {
	a, h := start(t, Config{MaxBody: 4 << 10, MaxDepth: 8})
	const create, apps = "/v1/accounts/acme/sites", site + "/apps/x"
	for _, test := range []struct{ name, method, target, body, fields string }{
		{"unknown", "POST", create, `{"domian":"a.test"}`, "domian"},
		{"wrong case", "POST", create, `{"Domain":"a.test"}`, "Domain"},
		{"unknown below", "POST", create, `{"origin":{"prot":1,"addr":"x"}}`, "origin.prot origin.addr"},
		{"unknown in a list", "PATCH", site + "/threatSettings", `{"firewallEntries":[{"cidr":"a"},{"cird":"b"}]}`, "firewallEntries[1].cird"},
		{"unknown in a map", "POST", site + ":configure", `{"apps":{"x":{"enabeld":true}}}`, `apps["x"].enabeld`},
		{"unknown in what is skipped", "POST", create, `{"x":{"y":[1,{"z":2}]},"w":0}`, "x w"},
		{"all at once", "POST", create, `{"a":1,"domain":5,"origin":{"port":"x"},"labels":{"k":1},"setup":"NOPE"}`, "a domain origin.port labels[\"k\"] setup"},
		{"twice", "POST", create, `{"domain":"a.test","domain":"b.test"}`, "domain"},
		{"twice in two spellings", "PATCH", site + "/settings", `{"tlsMode":"FULL","tls_mode":"OFF"}`, "tlsMode"},
		{"twice in a map", "POST", create, `{"labels":{"a":"1","a":"2"}}`, `labels["a"]`},
		{"twice in a struct", "PATCH", apps, `{"settings":{"a":{"b":1,"b":2}}}`, "settings.a.b"},
		{"two of one", "PATCH", site + "/threatSettings", `{"firewallEntries":[{"cidr":"a","country":null},{"asn":1,"action":"BLOCK","country":"CH"}]}`, "firewallEntries[1].country"},
		{"one of one twice", "PATCH", site + "/threatSettings", `{"firewallEntries":[{"asn":1,"asn":2}]}`, "firewallEntries[0].asn"},
		{"text for a number", "POST", create, `{"origin":{"port":"eighty"}}`, "origin.port"},
		{"number too large", "POST", create, `{"origin":{"port":4294967296}}`, "origin.port"},
		{"fraction", "POST", create, `{"origin":{"port":1.5}}`, "origin.port"},
		{"number for a text", "POST", create, `{"domain":1}`, "domain"},
		{"text for a bool", "PATCH", apps, `{"enabled":"true"}`, "enabled"},
		{"object for a text", "POST", create, `{"domain":{"a":[1]}}`, "domain"},
		{"text for an object", "POST", create, `{"origin":"a"}`, "origin"},
		{"text for a list", "PATCH", site + "/threatSettings", `{"firewallEntries":"a"}`, "firewallEntries"},
		{"list for a map", "POST", create, `{"labels":[]}`, "labels"},
		{"list for a struct", "PATCH", apps, `{"settings":[1]}`, "settings"},
		{"null in a list", "POST", "/v1/accounts/acme/tokens", `{"permissions":[null]}`, "permissions[0]"},
		{"no such enum", "PATCH", site + "/settings", `{"tlsMode":"full"}`, "tlsMode"},
		{"no time", "POST", "/v1/accounts/acme/tokens", `{"expireTime":"tomorrow"}`, "expireTime"},
		{"an ill-typed output", "POST", create, `{"createTime":5}`, "createTime"},
		{"no object", "POST", create, `["domain"]`, "body"},
		{"null", "POST", create, `null`, "body"},
		{"garbage", "POST", create, `domain=a.test`, "body"},
		{"cut off", "POST", create, `{"domain":"a.test"`, "body"},
		{"goes on", "POST", create, `{"domain":"a.test"}{}`, "body"},
		{"goes on with garbage", "POST", create, `{"domain":"a.test"} x`, "body"},
		{"a key without quotes", "POST", create, `{domain:"a.test"}`, "body"},
		{"not UTF-8", "POST", create, "{\"domain\":\"\xff\"}", "body"},
		{"too deep", "PATCH", apps, `{"settings":{"a":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}}`, "body"},
		{"too large", "POST", create, `{"domain":"` + strings.Repeat("a", 4<<10) + `"}`, "body"},
		{"body where none belongs", "DELETE", site, `{"name":"x"}`, "name"},
		{"body on a get", "GET", site, `[]`, "body"},
		{"bad mask in a body", "POST", site + ":configure", `{"updateMask":["a"]}`, "updateMask"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.reset(nil)
			got := do(t, h, test.method, test.target, test.body, "Content-Type", "application/json")
			if got.code != http.StatusBadRequest || got.reason(t) != "INVALID_FIELD" {
				t.Fatalf("got %d %s", got.code, got.body)
			}
			if fields := got.fields(t); fields != test.fields {
				t.Errorf("got violations of %q, want %q", fields, test.fields)
			}
			if strings.Contains(got.body, "proto:") {
				t.Errorf("the decoder's own words reached the client: %s", got.body)
			}
			if method, _, _ := a.last(); method != "" {
				t.Error("the call reached the API")
			}
		})
	}
	if got := do(t, h, "POST", create, "{}", "Content-Encoding", "gzip"); got.code != 400 || got.fields(t) != "Content-Encoding" {
		t.Errorf("got %d %s", got.code, got.body)
	}
}

func TestParametersRefused(t *testing.T) {
	_, h := start(t, Config{Dev: true})
	for _, test := range []struct{ method, target, reason, fields string }{
		{"GET", site + "?nope=1", "UNKNOWN_PARAMETER", "nope"},
		{"GET", site + "?b=1&a=1", "UNKNOWN_PARAMETER", "a b"},
		{"GET", site + "?name=x", "UNKNOWN_PARAMETER", "name"},
		{"GET", site + "?validateOnly=true", "UNKNOWN_PARAMETER", "validateOnly"},
		{"GET", site + "?updateMask=x", "UNKNOWN_PARAMETER", "updateMask"},
		{"GET", site + "?$alt=json", "UNKNOWN_PARAMETER", "$alt"},
		{"GET", "/v1/accounts/acme/sites?pageSize[x]=1", "UNKNOWN_PARAMETER", "pageSize[x]"},
		{"GET", "/v1/accounts/acme/sites?pageSize.x=1", "UNKNOWN_PARAMETER", "pageSize.x"},
		{"GET", "/v1/accounts/acme/sites?PageSize=1", "UNKNOWN_PARAMETER", "PageSize"},
		{"GET", "/v1/accounts/acme/sites?parent=accounts/evil", "UNKNOWN_PARAMETER", "parent"},
		{"PATCH", site + "?site.name=accounts/evil/sites/x.test", "UNKNOWN_PARAMETER", "site.name"},
		{"PATCH", site + "?site=x", "UNKNOWN_PARAMETER", "site"},
		{"PATCH", site + "?etag=x", "UNKNOWN_PARAMETER", "etag"},
		{"POST", site + ":pause?reason=x", "UNKNOWN_PARAMETER", "reason"},
		{"POST", site + ":pause?name=x", "UNKNOWN_PARAMETER", "name"},
		{"POST", site + "/dnsRecords:scan?validateOnly=true", "UNKNOWN_PARAMETER", "validateOnly"},
		{"GET", "/v1/accounts/acme/sites?pageSize=x", "INVALID_FIELD", "pageSize"},
		{"GET", "/v1/accounts/acme/sites?pageSize=", "INVALID_FIELD", "pageSize"},
		{"GET", "/v1/accounts/acme/sites?pageSize=1&pageSize=2", "INVALID_FIELD", "pageSize"},
		{"GET", "/v1/accounts/acme/sites?pageSize=1&page_size=2", "INVALID_FIELD", "page_size"},
		{"GET", "/v1/accounts/acme/sites?showDeleted=maybe&pageSize=x", "INVALID_FIELD", "pageSize showDeleted"},
		{"GET", site + "/propagation:wait?scope=NOPE&version=x", "INVALID_FIELD", "scope version"},
		{"POST", site + ":pause?validateOnly=yes", "INVALID_FIELD", "validateOnly"},
		{"POST", site + ":pause?validateOnly", "INVALID_FIELD", "validateOnly"},
		{"GET", site + "?a=%zz", "INVALID_FIELD", ""},
	} {
		got := do(t, h, test.method, test.target, "")
		if got.code != 400 || got.reason(t) != test.reason || got.fields(t) != test.fields {
			t.Errorf("%s %s: got %d %s", test.method, test.target, got.code, got.body)
		}
	}
}

func TestRouting(t *testing.T) {
	_, h := start(t, Config{})
	for _, test := range []struct {
		method, target string
		code           int
		reason, allow  string
	}{
		{"GET", "/", 404, "NOT_FOUND", ""},
		{"GET", "/v2/accounts", 404, "NOT_FOUND", ""},
		{"GET", "/v1/nope", 404, "NOT_FOUND", ""},
		{"GET", "/v1/accounts/", 404, "NOT_FOUND", ""},
		{"GET", "/v1//acme", 404, "NOT_FOUND", ""},
		{"GET", "/v1/accounts/acme/nope", 404, "NOT_FOUND", ""},
		{"POST", site + ":nope", 404, "NOT_FOUND", ""},
		{"GET", site + ":nope", 404, "NOT_FOUND", ""},
		{"GET", site + ":", 404, "NOT_FOUND", ""},
		{"GET", "/v1/accounts/a%2Fb", 404, "NOT_FOUND", ""},
		{"GET", "/v1/accounts/a:b/sites", 404, "NOT_FOUND", ""},
		{"POST", "/v1/dev/bugs", 404, "NOT_FOUND", ""},
		{"PUT", site, 405, "METHOD_NOT_ALLOWED", "DELETE, GET, PATCH"},
		{"HEAD", site, 405, "METHOD_NOT_ALLOWED", "DELETE, GET, PATCH"},
		{"GET", site + ":pause", 405, "METHOD_NOT_ALLOWED", "POST"},
		{"POST", "/v1/accounts/acme/sites:watch", 405, "METHOD_NOT_ALLOWED", "GET"},
		{"DELETE", "/v1/accounts", 405, "METHOD_NOT_ALLOWED", "GET, POST"},
	} {
		got := do(t, h, test.method, test.target, "")
		if got.code != test.code || got.reason(t) != test.reason || got.header.Get("Allow") != test.allow {
			t.Errorf("%s %s: got %d %s, Allow %q", test.method, test.target, got.code, got.body, got.header.Get("Allow"))
		}
		if got.header.Get("X-Request-Id") == "" || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: got headers %v", test.method, test.target, got.header)
		}
	}
	override := do(t, h, "POST", site, "", "X-HTTP-Method-Override", "GET", "Content-Type", "application/x-www-form-urlencoded")
	if override.code != 405 {
		t.Errorf("the method was overridden: %d %s", override.code, override.body)
	}
}

func TestAuthenticationComesFirst(t *testing.T) {
	a, h := start(t, Config{Admit: func(r *http.Request, fullMethod, _ string) (Ticket, error) {
		switch {
		case fullMethod == "/breakwater.v1.StatusService/GetStatus" && r.Header.Get("Authorization") == "":
			return Ticket{}, nil
		case r.Header.Get("Authorization") == "Bearer fault":
			return Ticket{}, errors.New("the cache is gone")
		case r.Header.Get("Authorization") != "Bearer good":
			return Ticket{}, rpcerr.Unauthenticated("no")
		}
		return Ticket{}, nil
	}})
	for _, test := range []struct {
		method, target, body, token string
		code                        int
	}{
		{"POST", "/v1/accounts/acme/sites", `{"x`, "bad", 401},
		{"POST", "/v1/accounts/acme/sites?nope=1", ``, "bad", 401},
		{"POST", "/v1/accounts/acme/sites", `{"domain":"a.test"}`, "", 401},
		{"POST", "/v1/accounts/acme/sites", `{"x`, "good", 400},
		{"POST", "/v1/accounts/acme/sites", `{"domain":"a.test"}`, "good", 200},
		{"POST", "/v1/accounts/acme/sites", `{"domain":"a.test"}`, "fault", 500},
		{"GET", "/v1/status", ``, "", 200},
		{"GET", "/v1/nope", ``, "", 404},
	} {
		a.reset(nil)
		var header []string
		if test.token != "" {
			header = []string{"Authorization", "Bearer " + test.token}
		}
		got := do(t, h, test.method, test.target, test.body, header...)
		if got.code != test.code {
			t.Errorf("%+v: got %d %s", test, got.code, got.body)
		}
		if method, _, _ := a.last(); (method != "") != (test.code == 200) {
			t.Errorf("%+v: reached the API as %q", test, method)
		}
		if (got.code == 401) != (got.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%+v: WWW-Authenticate is %q", test, got.header.Get("WWW-Authenticate"))
		}
		if got.code == 500 && strings.Contains(got.body, "cache") {
			t.Errorf("the cause was told: %s", got.body)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"settings":{"hsts":null},"apps":{"x":{"settings":{"a":[1,{"b":null}]}}},"updateMask":"a_b,c"}`, `{"name":"x","name":1}`, `[`, `{"a":{`, `1`,
	} {
		f.Add([]byte(seed))
	}
	routes, err := newTable(services(true))
	if err != nil {
		f.Fatal(err)
	}
	rt, _, err := routes.find(http.Header{}, mustRequest(f, "POST", site+":configure"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := rt.checkBody(raw, map[string]string{"name": "accounts/acme/sites/shop.test"}, 16)
		if err != nil || len(b.violations) > 0 || b.json == nil {
			return
		}
		// What passes is still one JSON object, and the same but for the masks.
		again, err := rt.checkBody(b.json, nil, 16)
		if err != nil || len(again.violations) > 0 {
			t.Errorf("%q became %q: %v %v", raw, b.json, err, again.violations)
		}
	})
}
