package onboard

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
)

func TestReadReferral(t *testing.T) {
	rrs := func(lines ...string) []dns.RR {
		var out []dns.RR
		for _, l := range lines {
			rr, err := dns.NewRR(l)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rr)
		}
		return out
	}
	const soa = "test. SOA a.test. b.test. 1 1 1 1 1"
	for name, c := range map[string]struct {
		rcode      int
		authority  bool
		answer, ns []dns.RR
		want       Kind
		hosts      []string
	}{
		"referral":                     {ns: rrs("shop.test. NS B.ns.", "shop.test. NS a.ns."), want: OK, hosts: []string{"a.ns", "b.ns"}},
		"referral with a wrong AA":     {authority: true, ns: rrs("shop.test. NS a.ns."), want: OK, hosts: []string{"a.ns"}},
		"authority for the child":      {authority: true, answer: rrs("shop.test. NS a.ns."), want: OK, hosts: []string{"a.ns"}},
		"hearsay":                      {answer: rrs("shop.test. NS a.ns."), want: Lame},
		"no such name":                 {rcode: dns.RcodeNameError, authority: true, ns: rrs(soa), want: NXDomain},
		"no such name, says a cache":   {rcode: dns.RcodeNameError, ns: rrs(soa), want: Lame},
		"no delegation":                {authority: true, ns: rrs(soa), want: NotDelegated},
		"no delegation, says a cache":  {ns: rrs(soa), want: Lame},
		"upward":                       {ns: rrs(". NS a.root."), want: Lame},
		"sideways":                     {ns: rrs("other.test. NS a.ns."), want: Lame},
		"to itself":                    {ns: rrs("test. NS a.ns."), want: Lame},
		"look-alike":                   {ns: rrs("badshop.test. NS a.ns."), want: Lame},
		"refused":                      {rcode: dns.RcodeRefused, want: Lame},
		"NS of another name in answer": {answer: rrs("other.test. NS a.ns."), authority: true, want: NotDelegated},
	} {
		t.Run(name, func(t *testing.T) {
			m := &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: c.rcode, Authoritative: c.authority}, Answer: c.answer, Ns: c.ns}
			v := readReferral(m, "test", "shop.test")
			if v.kind != c.want || v.zone != "" || !slices.Equal(v.hosts, c.hosts) {
				t.Errorf("%+v", v)
			}
		})
	}
	v := readReferral(&dns.Msg{Ns: rrs("group.test. NS a.ns.")}, "test", "a.group.test")
	if v.kind != OK || v.zone != "group.test" || !slices.Equal(v.hosts, []string{"a.ns"}) {
		t.Errorf("%+v", v)
	}
}
