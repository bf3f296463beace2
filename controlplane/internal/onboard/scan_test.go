package onboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/dnstest"
)

const scanned = `
$TTL 900
@	NS	ns1.hoster.test.
@	NS	ns2.hoster.test.
@	A	203.0.113.1
@	AAAA	2001:db8::1
@	MX	10 in.theirs.test.
@	MX	20 mx.hoster.test.
@	TXT	"v=spf1 mx -all"
@	CAA	0 issue "ca.example"
in	A	203.0.113.2
www	CNAME	theirs.test.
shop	CNAME	shops.hoster.test.
api	30 A	203.0.113.3
api	A	203.0.113.4
_dmarc	TXT	"v=DMARC1; p=none"
google._domainkey TXT "v=DKIM1; p=" "abc"
_sip._tcp SRV	1 2 5060 box.theirs.test.
box	A	203.0.113.5
unguessable A	203.0.113.6
`

func lines(f Found) []string {
	var out []string
	for _, r := range f.Records {
		out = append(out, fmt.Sprintf("%s %d %s %d %s", r.Name, r.TTL, r.Type, r.Priority, r.Content))
	}
	return out
}

func TestScan(t *testing.T) {
	w := newWorld(t)
	w.hoster.Zone("theirs.test", scanned)
	f, err := w.check.Scan(t.Context(), "theirs.test")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"theirs.test 900 A 0 203.0.113.1",
		"theirs.test 900 AAAA 0 2001:db8::1",
		`theirs.test 900 CAA 0 0 issue "ca.example"`,
		"theirs.test 900 MX 10 in.theirs.test",
		"theirs.test 900 MX 20 mx.hoster.test",
		"theirs.test 900 TXT 0 v=spf1 mx -all",
		"_dmarc.theirs.test 900 TXT 0 v=DMARC1; p=none",
		"google._domainkey.theirs.test 900 TXT 0 v=DKIM1; p=abc",
		"_sip._tcp.theirs.test 900 SRV 1 2 5060 box.theirs.test",
		"api.theirs.test 60 A 0 203.0.113.3",
		"api.theirs.test 900 A 0 203.0.113.4",
		"box.theirs.test 900 A 0 203.0.113.5",
		"in.theirs.test 900 A 0 203.0.113.2",
		"shop.theirs.test 900 CNAME 0 shops.hoster.test",
		"www.theirs.test 900 CNAME 0 theirs.test",
	}
	if got := lines(f); !slices.Equal(got, want) {
		t.Errorf("got:\n%q", got)
	}
	if f.Wildcard || len(f.Incomplete) > 0 || !slices.Equal(f.NameServers, []string{"ns1.hoster.test", "ns2.hoster.test"}) {
		t.Errorf("%+v", f)
	}
	for _, r := range f.Records {
		if r.Proxied || r.ID != "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestScanWildcard(t *testing.T) {
	w := newWorld(t)
	w.hoster.Zone("theirs.test", "@ NS ns1.hoster.test.\n* A 203.0.113.9\n* TXT wild\nmail A 203.0.113.8\n_dmarc TXT \"v=DMARC1\"\n")
	f, err := w.check.Scan(t.Context(), "theirs.test")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"*.theirs.test 300 A 0 203.0.113.9",
		"*.theirs.test 300 TXT 0 wild",
		"_dmarc.theirs.test 300 TXT 0 v=DMARC1",
		"mail.theirs.test 300 A 0 203.0.113.8",
	}
	if got := lines(f); !f.Wildcard || !slices.Equal(got, want) {
		t.Errorf("wildcard %t, %q", f.Wildcard, got)
	}
}

func TestScanTrouble(t *testing.T) {
	w := newWorld(t)
	w.hoster.Zone("theirs.test", scanned)
	w.resolver.Break(dnstest.Fault{Name: "api.theirs.test", Do: dnstest.ServFail})
	f, err := w.check.Scan(t.Context(), "theirs.test")
	if err != nil || !slices.Equal(f.Incomplete, []string{"api.theirs.test"}) {
		t.Errorf("incomplete %v, %v", f.Incomplete, err)
	}
	// What the budget does not suffice for is said to be missing.
	w.resolver.Break(dnstest.Fault{Name: "www.theirs.test", Do: dnstest.Drop})
	short := w.checker(t, Config{Budget: 500 * time.Millisecond, Timeout: time.Hour})
	if f, err := short.Scan(t.Context(), "theirs.test"); err != nil || !slices.Contains(f.Incomplete, "www.theirs.test") || len(f.Records) < 5 {
		t.Errorf("%+v, %v", f, err)
	}
	var refused *ScanError
	if _, err := w.check.Scan(t.Context(), "nobody.test"); !errors.As(err, &refused) || refused.Result.Kind != NXDomain {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.check.Scan(ctx, "theirs.test"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestCommonNames(t *testing.T) {
	names := commonNames()
	slices.Sort(names)
	if len(slices.Compact(names)) != len(commonNames()) || len(names) < 80 {
		t.Errorf("%d names, or some twice", len(names))
	}
}
