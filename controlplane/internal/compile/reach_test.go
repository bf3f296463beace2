package compile

import (
	"fmt"
	"strings"
	"testing"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

func checkReach(t *testing.T, text, want string) {
	t.Helper()
	m := threats(t, text)
	if problems := CheckThreats(m, nil); len(problems) > 0 {
		t.Errorf("%s: the compiler refuses it: %v", text, problems)
	}
	var got []string
	for _, p := range CheckReach("one.test", m) {
		what, reason := describe(t, p)
		got = append(got, what+": "+reason)
	}
	if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
		t.Errorf("%s: %q, want %q", text, got, want)
	}
}

func TestUnreachableEntries(t *testing.T) {
	for entries, want := range map[string]string{
		`{"cidr": "198.51.0.0/16"}, {"cidr": "198.51.100.0/24"}`:                                                                             "impossible firewallEntries[1].cidr unreachable: firewallEntries[0] has all of 198.51.0.0/16",
		`{"cidr": "198.51.100.0/24"}, {"cidr": "198.51.0.0/16"}`:                                                                             "",
		`{"cidr": "198.50.0.0/16"}, {"cidr": "198.51.100.0/24"}`:                                                                             "",
		`{"asn": 13335}, {"cidr": "2001:db8::/32"}, {"cidr": "2001:db8:1::/48"}`:                                                             "impossible firewallEntries[2].cidr unreachable: firewallEntries[1] has all of 2001:db8::/32",
		`{"cidr": "0.0.0.0/0"}, {"cidr": "2001:db8:1::/48"}`:                                                                                 "",
		`{"cidr": "0.0.0.0/0"}, {"asn": 13335}`:                                                                                              "",
		`{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}, {"asn": 13335}`:                                                                            "impossible firewallEntries[2].asn unreachable: no visitor is left after firewallEntries[1]",
		`{"cidr": "::/0"}, {"country": "NZ"}, {"cidr": "0.0.0.0/0"}`:                                                                         "",
		`{"cidr": "::/0"}, {"cidr": "0.0.0.0/0"}, {"country": "NZ"}`:                                                                         "impossible firewallEntries[2].country unreachable",
		`{"cidr": "198.51.0.0/16", "expireTime": "2030-01-01T00:00:00Z"}, {"cidr": "198.51.100.0/24"}`:                                       "",
		`{"cidr": "198.51.0.0/16", "expireTime": "2030-01-01T00:00:00Z"}, {"cidr": "198.51.100.0/24", "expireTime": "2030-01-02T00:00:00Z"}`: "",
		`{"cidr": "198.51.0.0/16", "expireTime": "2030-01-01T00:00:00Z"}, {"cidr": "198.51.100.0/24", "expireTime": "2029-01-01T00:00:00Z"}`: "impossible firewallEntries[1].cidr unreachable",
	} {
		checkReach(t, `{"firewallEntries": [`+strings.ReplaceAll(entries, "}", `, "action": "BLOCK"}`)+`]}`, want)
	}
}

func TestHostsOfOthers(t *testing.T) {
	for match, want := range map[string]string{
		`host = "one.test"`:                          "",
		`host = "www.one.test"`:                      "",
		`host = "a.b.one.test" OR host = "one.test"`: "",
		`host = "other.example"`:                     "impossible rateLimits[0].match expression: column 8: no request of one.test has such a host: it is one.test, or ends with .one.test",
		`host = "one.test.example"`:                  "impossible rateLimits[0].match expression: column 8",
		`host = "someone.test"`:                      "impossible rateLimits[0].match expression: column 8",
		`host = ".one.test"`:                         "impossible rateLimits[0].match expression: column 8",
		`path = "/" AND host != "other.example"`:     "impossible rateLimits[0].match expression: column 24",
		`endsWith(host, ".test")`:                    "",
		`endsWith(host, "one.test")`:                 "",
		`endsWith(host, "ww.one.test")`:              "",
		`endsWith(host, ".example")`:                 "impossible rateLimits[0].match expression: column 16",
		`endsWith(host, "someone.test")`:             "impossible rateLimits[0].match expression: column 16",
		`startsWith(host, "shop")`:                   "",
		`matches(host, "^(www\\.)?one\\.")`:          "",
	} {
		checkReach(t, fmt.Sprintf(`{"rateLimits": [{"match": %q, "requests": 1, "periodSeconds": 60, "action": "BLOCK"}]}`, match), want)
	}
}

// TestReachIsOfWellFormedRules: what the other checks refuse is theirs.
func TestReachIsOfWellFormedRules(t *testing.T) {
	m := threats(t, `{"firewallEntries": [{"cidr": "x"}, {}, {"cidr": "10.0.0.1"}], "rateLimits": [{"match": "path ="}]}`)
	if problems := CheckReach("one.test", m); len(problems) > 0 {
		t.Error(problems)
	}
}

func BenchmarkCheckReach(b *testing.B) {
	m := &breakwaterv1.ThreatSettings{}
	for i := range 10_000 {
		m.FirewallEntries = append(m.FirewallEntries, &breakwaterv1.ThreatSettings_FirewallEntry{
			Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: fmt.Sprintf("2001:db8:%x::/48", i)},
		})
	}
	for b.Loop() {
		if len(CheckReach("one.test", m)) > 0 {
			b.Fatal("refused")
		}
	}
}
