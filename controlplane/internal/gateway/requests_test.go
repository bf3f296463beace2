package gateway

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

const site = "/v1/accounts/acme/sites/shop.test"

func TestRequests(t *testing.T) {
	a, h := start(t, Config{Dev: true})
	for _, test := range []struct {
		name, method, target, body string
		want                       proto.Message
	}{
		{"get", "GET", site, "", &breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/shop.test"}},
		{"an encoded path", "GET", "/v1/accounts/acme/sites/b%C3%BCcher.test", "", &breakwaterv1.GetSiteRequest{Name: "accounts/acme/sites/bücher.test"}},
		{
			"list", "GET", "/v1/accounts/acme/sites?pageSize=5&page_token=x&filter=a+%3D+b&orderBy=domain&showDeleted=true", "",
			&breakwaterv1.ListSitesRequest{Parent: "accounts/acme", PageSize: 5, PageToken: "x", Filter: "a = b", OrderBy: "domain", ShowDeleted: true},
		},
		{
			"create", "POST", "/v1/accounts/acme/sites", `{"domain":"shop.test","origin":{"address":"192.0.2.1","port":80,"scheme":"HTTP"},"labels":{"a":"b"}}`,
			&breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: &breakwaterv1.Site{
				Domain: "shop.test", Labels: map[string]string{"a": "b"},
				Origin: &breakwaterv1.Origin{Address: "192.0.2.1", Port: 80, Scheme: breakwaterv1.Origin_HTTP},
			}},
		},
		{"outputs are let through for the API to ignore", "POST", "/v1/accounts/acme/sites", `{"domain":"a.test","version":"4","createTime":"2026-01-01T00:00:00Z"}`, nil},
		{
			"validateOnly beside a resource", "POST", "/v1/accounts/acme/sites?validateOnly=true", `{"domain":"a.test"}`,
			&breakwaterv1.CreateSiteRequest{Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: "a.test"}, ValidateOnly: true},
		},
		{"delete with an etag", "DELETE", site + "?etag=e1", "", &breakwaterv1.DeleteSiteRequest{Name: "accounts/acme/sites/shop.test", Etag: "e1"}},
		{"delete with an empty object", "DELETE", site, " {} ", &breakwaterv1.DeleteSiteRequest{Name: "accounts/acme/sites/shop.test"}},
		{"a verb without a body", "POST", site + ":pause", "", &breakwaterv1.PauseSiteRequest{Name: "accounts/acme/sites/shop.test"}},
		{
			"a verb with a body", "POST", site + ":purgeCache", `{"urls":["https://shop.test/"]}`,
			&breakwaterv1.PurgeCacheRequest{Name: "accounts/acme/sites/shop.test", Urls: []string{"https://shop.test/"}},
		},
		{"an encoded verb", "POST", site + "%3Apause", "{}", &breakwaterv1.PauseSiteRequest{Name: "accounts/acme/sites/shop.test"}},
		{
			"snake case in a body", "POST", "/v1/accounts", `{"account_id":"acme","owner_email":"a@b.test"}`,
			&breakwaterv1.CreateAccountRequest{AccountId: "acme", OwnerEmail: "a@b.test"},
		},
		{"two variables", "DELETE", site + "/dnsRecords/r1", "", &breakwaterv1.DeleteDnsRecordRequest{Parent: "accounts/acme/sites/shop.test", RecordId: "r1"}},
		{"a duration", "POST", "/v1/dev/clock:advance", `{"by":"2592000s"}`, nil},
		{"a dev route", "POST", "/v1/dev/dataCenters/SJC:kill", "", &opsv1.KillDataCenterRequest{DataCenter: "SJC"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.reset(nil)
			// What curl sends when nobody says otherwise.
			got := do(t, h, test.method, test.target, test.body, "Content-Type", "application/x-www-form-urlencoded")
			if got.code != http.StatusOK {
				t.Fatalf("got %d %s", got.code, got.body)
			}
			if _, req, _ := a.last(); test.want != nil && !proto.Equal(req, test.want) {
				t.Errorf("got  %v\nwant %v", req, test.want)
			}
		})
	}
}

func TestMasks(t *testing.T) {
	a, h := start(t, Config{})
	for _, test := range []struct{ name, method, target, body, want string }{
		{"what the body has", "PATCH", site, `{"origin":{"port":81,"address":""},"labels":{"x":"y"}}`, "origin.port,origin.address,labels"},
		{"also zero values and null", "PATCH", site + "/settings", `{"developmentMode":false,"hsts":null,"browser_ttl_seconds":0}`, "development_mode,hsts,browser_ttl_seconds"},
		{"nothing of an empty object", "PATCH", site + "/settings", `{"hsts":{}}`, ""},
		{"nothing of an empty body", "PATCH", site + "/settings", "", ""},
		{"nothing of no fields", "PATCH", site + "/settings", "{}", ""},
		{"a struct is one", "PATCH", site + "/apps/x", `{"enabled":true,"settings":{"a":{"b":1},"snake_case":2}}`, "enabled,settings"},
		{"an empty struct too", "PATCH", site + "/apps/x", `{"settings":{}}`, "settings"},
		{"a list is one", "PATCH", site + "/threatSettings", `{"firewallEntries":[{"cidr":"192.0.2.0/24"}]}`, "firewall_entries"},
		{"lowerCamel", "PATCH", site + "/settings?updateMask=hsts.maxAgeSeconds,tlsMode", `{"tlsMode":"FULL"}`, "hsts.max_age_seconds,tls_mode"},
		{"snake", "PATCH", site + "/settings?update_mask=hsts.max_age_seconds,+tls_mode", `{}`, "hsts.max_age_seconds,tls_mode"},
		{"given twice", "PATCH", site + "/settings?updateMask=tlsMode&updateMask=hsts", `{}`, "tls_mode,hsts"},
		{"empty changes nothing", "PATCH", site + "/settings?updateMask=", `{"tlsMode":"FULL"}`, ""},
		{"star", "PATCH", site + "/settings?updateMask=*", `{"tlsMode":"FULL"}`, "*"},
		{"unknown paths are the API's to refuse", "PATCH", site + "/settings?updateMask=nope.x", `{}`, "nope.x"},
		{"without a resource name", "PATCH", "/v1/limits", `{"maxDocumentBytes":"5"}`, "max_document_bytes"},
		{"a DNS record", "PATCH", site + "/dnsRecords/r1", `{"name":"www","proxied":false}`, "name,proxied"},
		{
			"configure", "POST", site + ":configure", `{"settings":{"tlsMode":"FULL","hsts":{"enabled":false}},"threatSettings":{"underAttack":false},"apps":{"x":{"enabled":true}}}`,
			"settings.tls_mode,settings.hsts.enabled,threat_settings.under_attack",
		},
		{"configure nothing", "POST", site + ":configure", `{}`, ""},
		{"configure apps", "POST", site + ":configure", `{"apps":{"x":{"enabled":true}}}`, ""},
		{"configure with a mask", "POST", site + ":configure", `{ "updateMask" : "settings.tls_mode, threatSettings" ,"settings":{}}`, "settings.tls_mode,threat_settings"},
		{"batch", "POST", site + "/dnsRecords:batch", `{"updates":[{"recordId":"r1","dnsRecord":{"proxied":false,"ttl":60}},{"recordId":"r2","updateMask":"comment","dnsRecord":{"ttl":1}},{"dnsRecord":null}]}`, "proxied,ttl|comment|"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a.reset(nil)
			got := do(t, h, test.method, test.target, test.body)
			if got.code != http.StatusOK {
				t.Fatalf("got %d %s", got.code, got.body)
			}
			_, req, _ := a.last()
			var masks []string
			if batch, ok := req.(*breakwaterv1.BatchDnsRecordsRequest); ok {
				for _, u := range batch.GetUpdates() {
					masks = append(masks, strings.Join(u.GetUpdateMask().GetPaths(), ","))
				}
			} else {
				fd := req.ProtoReflect().Descriptor().Fields().ByName(updateMask)
				if !req.ProtoReflect().Has(fd) {
					t.Fatal("no mask at all")
				}
				m, ok := req.ProtoReflect().Get(fd).Message().Interface().(interface{ GetPaths() []string })
				if !ok {
					t.Fatal("no field mask")
				}
				masks = []string{strings.Join(m.GetPaths(), ",")}
			}
			if got := strings.Join(masks, "|"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	a, h := start(t, Config{})
	for _, test := range []struct {
		method, target, body string
		code                 int
		field                string
	}{
		{"PATCH", site, `{"name":"accounts/acme/sites/shop.test"}`, 200, ""},
		{"PATCH", site, `{"name":"accounts/acme/sites/SHOP.test."}`, 200, ""},
		{"PATCH", "/v1/accounts/acme/sites/b%C3%BCcher.example", `{"name":"accounts/acme/sites/xn--bcher-kva.example"}`, 200, ""},
		{"PATCH", site, `{"name":""}`, 200, ""},
		{"PATCH", site, `{"name":"accounts/acme/sites/other.test"}`, 400, "name"},
		{"PATCH", site, `{"name":"accounts/evil/sites/shop.test"}`, 400, "name"},
		{"PATCH", site + "/settings", `{"name":"accounts/acme/sites/shop.test"}`, 400, "name"},
		{"POST", site + ":pause", `{"name":"accounts/acme/sites/other.test"}`, 400, "name"},
		{"POST", site + ":pause", `{"name":"accounts/acme/sites/Shop.test"}`, 200, ""},
		{"POST", site + "/dnsRecords:import", `{"parent":"accounts/acme/sites/other.test","zoneFile":"x"}`, 400, "parent"},
		// A DNS record's name is a name in the zone.
		{"PATCH", site + "/dnsRecords/r1", `{"name":"www"}`, 200, ""},
	} {
		a.reset(nil)
		got := do(t, h, test.method, test.target, test.body)
		if got.code != test.code {
			t.Errorf("%s %s: got %d %s", test.target, test.body, got.code, got.body)
			continue
		}
		if test.code != 200 {
			if fields := got.fields(t); fields != test.field || got.reason(t) != "INVALID_FIELD" {
				t.Errorf("%s %s: got violations of %q", test.target, test.body, fields)
			}
			continue
		}
		_, req, _ := a.last()
		raw, err := protojson.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "SHOP") || strings.Contains(string(raw), "Shop") {
			t.Errorf("%s: the body's spelling reached the API: %s", test.body, raw)
		}
	}
}
