package dnstest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ask(t *testing.T, network, addr, name string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	m, _, err := (&dns.Client{Net: network}).ExchangeContext(t.Context(), q, addr)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestServerAndResolver(t *testing.T) {
	n := New(t)
	root := n.Server("192.0.2.1").Zone(".", ". NS a.root.\ntest. NS a.nic.test.\na.nic.test. A 192.0.2.2\n")
	tld := n.Server("192.0.2.2").Zone("test", "@ NS a.nic\na.nic A 192.0.2.2\nshop NS ns.host\nhost NS ns.host\nns.host A 192.0.2.3\nlame NS nobody.host\n")
	host := n.Server("192.0.2.3").
		Zone("shop.test", "@ NS ns.host.test.\n@ A 192.0.2.80\nwww CNAME @\n*.w A 192.0.2.81\na.b TXT x\nloop CNAME pool\npool CNAME loop\n").
		Zone("host.test", "@ NS ns\nns A 192.0.2.3\n")
	r := n.Resolver(root)

	if m := ask(t, "udp", tld.Addr(), "www.shop.test.", dns.TypeA); m.Authoritative || len(m.Answer) != 0 || len(m.Ns) != 1 || len(m.Extra) != 1 {
		t.Errorf("no referral with glue:\n%v", m)
	}
	if m := ask(t, "udp", tld.Addr(), "nothing.test.", dns.TypeA); m.Rcode != dns.RcodeNameError || !m.Authoritative || len(m.Ns) != 1 {
		t.Errorf("no NXDOMAIN:\n%v", m)
	}
	if m := ask(t, "udp", host.Addr(), "example.com.", dns.TypeA); m.Rcode != dns.RcodeRefused {
		t.Errorf("not refused:\n%v", m)
	}
	for name, want := range map[string]struct{ rcode, answers int }{
		"shop.test.":      {dns.RcodeSuccess, 1},
		"WWW.shop.test.":  {dns.RcodeSuccess, 2},
		"x.w.shop.test.":  {dns.RcodeSuccess, 1},
		"b.shop.test.":    {dns.RcodeSuccess, 0},
		"no.shop.test.":   {dns.RcodeNameError, 0},
		"loop.shop.test.": {dns.RcodeServerFailure, 0},
		"x.lame.test.":    {dns.RcodeServerFailure, 0},
	} {
		m := ask(t, "tcp", r.Addr(), name, dns.TypeA)
		if m.Rcode != want.rcode || name != "loop.shop.test." && len(m.Answer) != want.answers {
			t.Errorf("%s:\n%v", name, m)
		}
	}
	if n.Endpoint(netip.MustParseAddr("192.0.2.99")) != "127.0.0.1:1" || n.Endpoint(netip.MustParseAddr("192.0.2.3")) != host.Addr() {
		t.Error("endpoints are wrong")
	}
	if q := host.Queries(); len(q) != 1 || q[0].Name != "example.com" || q[0].Network != "udp" {
		t.Errorf("queries %+v", q)
	}
}

func TestFaultsMatch(t *testing.T) {
	n := New(t)
	s := n.Server("192.0.2.1").Zone("test", "a A 192.0.2.1\nb A 192.0.2.1\n@ TXT "+strings.Repeat(strings.Repeat("x", 200)+" ", 10)+"\n")
	s.Break(
		Fault{Name: "a.test", Times: 1, Do: ServFail},
		Fault{Name: ".test", Type: "AAAA", Do: Refuse},
		Fault{Name: "b.test", Network: "tcp", Do: NXDomain},
	)
	for i, c := range []struct {
		network, name string
		qtype         uint16
		want          int
	}{
		{"udp", "a.test.", dns.TypeA, dns.RcodeServerFailure},
		{"udp", "a.test.", dns.TypeA, dns.RcodeSuccess},
		{"udp", "b.test.", dns.TypeAAAA, dns.RcodeRefused},
		{"udp", "b.test.", dns.TypeA, dns.RcodeSuccess},
		{"tcp", "b.test.", dns.TypeA, dns.RcodeNameError},
	} {
		if m := ask(t, c.network, s.Addr(), c.name, c.qtype); m.Rcode != c.want {
			t.Errorf("question %d: %s", i, dns.RcodeToString[m.Rcode])
		}
	}
	s.Mend()
	if m := ask(t, "tcp", s.Addr(), "b.test.", dns.TypeA); m.Rcode != dns.RcodeSuccess {
		t.Error("not mended")
	}
	if m := ask(t, "udp", s.Addr(), "test.", dns.TypeTXT); !m.Truncated {
		t.Error("a large answer over UDP is not truncated")
	}
	if m := ask(t, "tcp", s.Addr(), "test.", dns.TypeTXT); m.Truncated || len(m.Answer) != 1 {
		t.Error("a large answer over TCP is not whole")
	}
}
