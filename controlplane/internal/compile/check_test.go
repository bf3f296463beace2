package compile

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// describe is `kind field rule`, and the reason.
func describe(t *testing.T, err error) (what, reason string) {
	t.Helper()
	var limit *LimitError
	var never *ImpossibleError
	var bad *InvalidError
	switch {
	case errors.As(err, &limit):
		return fmt.Sprintf("limit %s %s", limit.Field, limit.Limit), limit.Reason
	case errors.As(err, &never):
		return fmt.Sprintf("impossible %s %s", never.Field, never.Rule), never.Reason
	case errors.As(err, &bad):
		return fmt.Sprintf("invalid %s %s", bad.Field, bad.Rule), bad.Reason
	}
	t.Errorf("an error of another kind: %v", err)
	return "", ""
}

func threats(t *testing.T, text string) *breakwaterv1.ThreatSettings {
	t.Helper()
	m := &breakwaterv1.ThreatSettings{}
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func checkOne(t *testing.T, text, want string) {
	t.Helper()
	what, reason, _ := strings.Cut(want, ": ")
	problems := CheckThreats(threats(t, text), nil)
	switch {
	case want == "" && len(problems) == 0:
	case len(problems) != 1:
		t.Errorf("%s: %v, want %s", text, problems, want)
	default:
		if gotWhat, gotReason := describe(t, problems[0]); gotWhat != what || !strings.Contains(gotReason, reason) {
			t.Errorf("%s: %s: %s, want %s", text, gotWhat, gotReason, want)
		}
	}
}

func TestPacketRules(t *testing.T) {
	for rule, want := range map[string]string{
		`"minLength": 99971, "maxLength": 99985`: "two",
		`"minLength": 1000, "maxLength": 99985`:  "impossible packetRules[0].maxLength packet_length: IP carries at most 65535",
		`"minLength": 4471`:                      "impossible packetRules[0].minLength packet_length: this network carries at most 4470",
		`"minLength": 4470`:                      "",
		`"minLength": 20`:                        "impossible packetRules[0] everything: every packet",
		`"minLength": 28, "maxLength": 4470`:     "impossible packetRules[0] everything: every packet",
		`"minLength": 29`:                        "",
		`"maxLength": 4470`:                      "impossible packetRules[0] everything: every packet",
		`"sourceCidr": "0.0.0.0/0"`:              "impossible packetRules[0] everything: every packet from 0.0.0.0/0",
		`"sourceCidr": "::/0", "minLength": 44`:  "impossible packetRules[0] everything: every packet from ::/0",
		`"sourceCidr": "::/0", "minLength": 45`:  "",
		`"sourceCidr": "0.0.0.0/1"`:              "",
		`"sourceCidr": "0.0.0.0/0", "protocol": "UDP", "destinationPort": 53`: "",
		`"maxLength": 19`:                     "impossible packetRules[0].maxLength packet_length: headers alone have 20",
		`"minLength": 19`:                     "impossible packetRules[0].minLength packet_length: headers alone have 20",
		`"maxLength": 20`:                     "",
		`"maxLength": 39, "protocol": "TCP"`:  "impossible packetRules[0].maxLength packet_length: headers alone have 40",
		`"maxLength": 27, "protocol": "UDP"`:  "impossible packetRules[0].maxLength packet_length: headers alone have 28",
		`"maxLength": 28, "protocol": "ICMP"`: "",
		`"maxLength": 43, "protocol": "ICMP", "sourceCidr": "2001:db8::/32"`:       "impossible packetRules[0].maxLength packet_length: headers alone have 44",
		`"maxLength": 59, "protocol": "TCP", "sourceCidr": "2001:db8::/32"`:        "impossible packetRules[0].maxLength packet_length: headers alone have 60",
		`"minLength": 500, "maxLength": 400`:                                       "impossible packetRules[0].minLength packet_length: at least 500 and at most 400",
		`"minLength": -1`:                                                          "invalid packetRules[0].minLength range: negative",
		`"protocol": "ICMP", "destinationPort": 80`:                                "impossible packetRules[0].destinationPort port: ICMP has no ports",
		`"destinationPort": 80`:                                                    "impossible packetRules[0].destinationPort port: only TCP and UDP",
		`"destinationPort": 80, "minLength": 100`:                                  "impossible packetRules[0].destinationPort port: only TCP and UDP",
		`"protocol": "UDP", "destinationPort": 65536`:                              "invalid packetRules[0].destinationPort range: 65,535",
		`"protocol": "UDP", "destinationPort": 53`:                                 "",
		`"sourceCidr": "10.0.0.0/8"`:                                               "impossible packetRules[0].sourceCidr source: private",
		``:                                                                         "impossible packetRules[0] everything: every packet",
		`"protocol": "TCP"`:                                                        "",
		`"sourceCidr": "198.51.100.0/24", "minLength": 100, "maxLength": 100`:      "",
		`"protocol": "TCP", "sourceCidr": "198.51.100.1/24", "destinationPort": 1`: "invalid packetRules[0].sourceCidr cidr: the network is 198.51.100.0/24",
	} {
		if rule != "" {
			rule += ", "
		}
		text := `{"packetRules": [{` + rule + `"action": "BLOCK"}]}`
		if want == "two" {
			if n := len(CheckThreats(threats(t, text), nil)); n != 2 {
				t.Errorf("%s: %d problems", text, n)
			}
			continue
		}
		checkOne(t, text, want)
	}
	checkOne(t, `{"packetRules": [{"action": "LOG"}]}`, "")
	checkOne(t, `{"packetRules": [{"protocol": "TCP", "action": "CHALLENGE"}]}`, "invalid packetRules[0].action required: BLOCK or LOG")
	checkOne(t, `{"packetRules": [{"protocol": "TCP", "action": "LOG"}, {"protocol": "TCP", "action": "BLOCK"}]}`,
		"impossible packetRules[1] duplicate: packetRules[0]")
}

func TestFirewallEntries(t *testing.T) {
	for source, want := range map[string]string{
		`"cidr": "192.0.2.0/24"`:        "",
		`"cidr": "192.0.2.1/32"`:        "",
		`"cidr": "0.0.0.0/0"`:           "",
		`"cidr": "::/0"`:                "",
		`"cidr": "8.0.0.0/5"`:           "",
		`"cidr": "2001:db8:1::/48"`:     "",
		`"cidr": "192.0.2.1"`:           "invalid firewallEntries[0].cidr cidr: write 192.0.2.1/32",
		`"cidr": "192.0.2.1/24"`:        "invalid firewallEntries[0].cidr cidr: the network is 192.0.2.0/24",
		`"cidr": "192.0.2.0/33"`:        "invalid firewallEntries[0].cidr cidr: must be a network",
		`"cidr": "example.com"`:         "invalid firewallEntries[0].cidr cidr: must be a network",
		`"cidr": ""`:                    "invalid firewallEntries[0].cidr cidr: must be a network",
		`"cidr": "2001:DB8::/32"`:       "invalid firewallEntries[0].cidr cidr: canonical form: 2001:db8::/32",
		`"cidr": "2001:db8::1%eth0/64"`: "invalid firewallEntries[0].cidr cidr: must be a network",
		`"cidr": "0.1.0.0/16"`:          "impossible firewallEntries[0].cidr source: this network",
		`"cidr": "10.1.0.0/16"`:         "impossible firewallEntries[0].cidr source: RFC 1918",
		`"cidr": "100.64.0.0/10"`:       "impossible firewallEntries[0].cidr source: RFC 6598",
		`"cidr": "127.0.0.1/32"`:        "impossible firewallEntries[0].cidr source: loopback",
		`"cidr": "169.254.169.254/32"`:  "impossible firewallEntries[0].cidr source: link-local",
		`"cidr": "224.0.0.0/4"`:         "impossible firewallEntries[0].cidr source: multicast",
		`"cidr": "239.255.255.250/32"`:  "impossible firewallEntries[0].cidr source: multicast",
		`"cidr": "240.0.0.0/4"`:         "impossible firewallEntries[0].cidr source: reserved",
		`"cidr": "255.255.255.255/32"`:  "impossible firewallEntries[0].cidr source: reserved",
		`"cidr": "::/128"`:              "impossible firewallEntries[0].cidr source: unspecified",
		`"cidr": "::1/128"`:             "impossible firewallEntries[0].cidr source: loopback",
		`"cidr": "::ffff:c000:200/120"`: "impossible firewallEntries[0].cidr source: write them as IPv4",
		`"cidr": "fd00::/8"`:            "impossible firewallEntries[0].cidr source: RFC 4193",
		`"cidr": "fe80::/64"`:           "impossible firewallEntries[0].cidr source: link-local",
		`"cidr": "ff02::/16"`:           "impossible firewallEntries[0].cidr source: multicast",
		`"cidr": "4000::/16"`:           "impossible firewallEntries[0].cidr source: nothing outside 2000::/3",
		`"asn": 13335`:                  "",
		`"asn": 64500`:                  "",
		`"asn": 65540`:                  "",
		`"asn": 0`:                      "impossible firewallEntries[0].asn source: RFC 7607",
		`"asn": 23456`:                  "impossible firewallEntries[0].asn source: RFC 6793",
		`"asn": 64512`:                  "impossible firewallEntries[0].asn source: RFC 6996",
		`"asn": 65535`:                  "impossible firewallEntries[0].asn source: RFC 7300",
		`"asn": 4200000000`:             "impossible firewallEntries[0].asn source: RFC 6996",
		`"asn": 4294967295`:             "impossible firewallEntries[0].asn source: RFC 7300",
		`"country": "NZ"`:               "",
		`"country": "XX"`:               "",
		`"country": "nz"`:               "invalid firewallEntries[0].country country: ISO 3166-1",
		`"country": "UK"`:               "invalid firewallEntries[0].country country: ISO 3166-1",
		`"note": "nothing"`:             "invalid firewallEntries[0] required: one of",
	} {
		checkOne(t, `{"firewallEntries": [{`+source+`, "action": "BLOCK"}]}`, want)
	}
	checkOne(t, `{"firewallEntries": [{"asn": 13335}]}`, "invalid firewallEntries[0].action required: needed")
	checkOne(t, `{"firewallEntries": [{"asn": 13335, "action": "BLOCK"}, {"country": "NZ", "action": "LOG"}, {"asn": 13335, "action": "ALLOW"}]}`,
		"impossible firewallEntries[2] duplicate: AS13335 stands in firewallEntries[0]")
}

func TestRateLimits(t *testing.T) {
	rule := func(match, action string) string {
		return fmt.Sprintf(`{"match": %q, "requests": 1, "periodSeconds": 60, "action": %q}`, match, action)
	}
	for match, want := range map[string]string{
		`path = "/"`:                            "",
		`path = `:                               "invalid rateLimits[0].match expression: column 8",
		`method = "post"`:                       "impossible rateLimits[0].match expression: capitals",
		`path = "/a" AND path = "/b"`:           "impossible rateLimits[0].match expression: no request can match",
		`matches(path, "(aa|bb|cc){999}")`:      "limit rateLimits[0].match maxExpressionCost: at most 2000",
		`matches(path, "(x+x+)+y")`:             "",
		`country = "DE" OR country = "AT"`:      "",
		`startsWith(path, "` + "é" + `")`:       "impossible rateLimits[0].match expression: slash",
		strings.Repeat(`path = "/" OR `, 90):    "invalid rateLimits[0].match expression: at most 1024",
		`NOT (method = "GET")`:                  "",
		`matches(host, "^(www\\.)?example\\.")`: "",
	} {
		checkOne(t, `{"rateLimits": [`+rule(match, "BLOCK")+`]}`, want)
	}
	checkOne(t, `{"rateLimits": [`+rule(`path = "/"`, "ALLOW")+`]}`, "impossible rateLimits[0].action action: does nothing")
	checkOne(t, `{"rateLimits": [`+rule(`path = "/"`, "BLOCK")+`,`+rule(`path = "/"`, "LOG")+`]}`, "impossible rateLimits[1] duplicate: rateLimits[0]")
	checkOne(t, `{"rateLimits": [{"match": "path = \"/\"", "periodSeconds": 1, "action": "BLOCK"}]}`, "invalid rateLimits[0].requests range: at least 1")
	checkOne(t, `{"rateLimits": [{"match": "path = \"/\"", "requests": 1, "action": "BLOCK"}]}`, "invalid rateLimits[0].periodSeconds range: at least 1")
}

func TestRuleCount(t *testing.T) {
	m := threats(t, `{"packetRules": [{"protocol": "TCP", "action": "LOG"}], "rateLimits": [{}, {}, {}]}`)
	problems := CheckThreats(m, &opsv1.Limits{MaxRulesPerSite: 3})
	if len(problems) != 1 {
		t.Fatalf("%v", problems)
	}
	if what, _ := describe(t, problems[0]); what != "limit rateLimits maxRulesPerSite" {
		t.Error(what)
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"hsts": {"enabled": true, "preload": true, "includeSubdomains": true, "maxAgeSeconds": 31536000}}`: "",
		`{"hsts": {"enabled": true, "preload": true, "includeSubdomains": true, "maxAgeSeconds": 31535999}}`: "impossible hsts.preload hsts",
		`{"hsts": {"enabled": true, "preload": true, "maxAgeSeconds": 31536000}}`:                            "impossible hsts.preload hsts",
		`{"hsts": {"preload": true, "includeSubdomains": true, "maxAgeSeconds": 31536000}}`:                  "impossible hsts.preload hsts",
		`{"tlsMode": "OFF"}`:                                                  "",
		`{"tlsMode": "OFF", "httpsRedirect": true}`:                           "impossible httpsRedirect redirect",
		`{"tlsMode": "OFF", "hsts": {"enabled": true, "maxAgeSeconds": 300}}`: "impossible hsts.enabled hsts",
		`{"hsts": {"enabled": true}}`:                                         "impossible hsts.maxAgeSeconds hsts",
		`{"hsts": {"includeSubdomains": true}}`:                               "",
		`{"tlsMode": "FLEXIBLE", "httpsRedirect": true}`:                      "",
	} {
		s := &breakwaterv1.Settings{}
		if err := protojson.Unmarshal([]byte(text), s); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range CheckSettings(s) {
			what, _ := describe(t, p)
			got = append(got, what)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// TestCheckNamesPaths checks that a site's problems are named below their part.
func TestCheckNamesPaths(t *testing.T) {
	in := input(t, "testdata/full.json")
	in.Record.Config.Settings.Hsts.MaxAgeSeconds = 1
	in.Record.Config.ThreatSettings.PacketRules[0].MaxLength = 99_985
	in.Record.Config.ThreatSettings.RateLimits[0].Match = `matches(path, "(ab){999}x*")`
	in.Record.Config.ThreatSettings.FirewallEntries[2].Source = nil
	var got []string
	for _, p := range Check(in) {
		what, _ := describe(t, p)
		got = append(got, what)
	}
	want := []string{
		"impossible settings.hsts.preload hsts",
		"invalid threatSettings.firewallEntries[2] required",
		"limit threatSettings.rateLimits[0].match maxExpressionCost",
		"impossible threatSettings.packetRules[0].maxLength packet_length",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	if _, err := Site(in); err == nil || !strings.Contains(err.Error(), "settings.hsts.preload") {
		t.Errorf("%v", err)
	}
}
