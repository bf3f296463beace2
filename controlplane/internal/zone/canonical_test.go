package zone

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	digest := strings.Repeat("AB", 32)
	for _, c := range []struct{ in, want Record }{
		{Record{Name: "@", Type: "a", Content: "192.0.2.1"}, Record{Name: "example.com", Type: "A", TTL: 1, Content: "192.0.2.1"}},
		{Record{Name: "WWW", Type: "A", TTL: 60, Content: "192.0.2.1"}, Record{Name: "www.example.com", Type: "A", TTL: 60, Content: "192.0.2.1"}},
		{Record{Name: "www.Example.com.", Type: "AAAA", TTL: 86400, Content: "2001:DB8:0::1"}, Record{Name: "www.example.com", Type: "AAAA", TTL: 86400, Content: "2001:db8::1"}},
		{Record{Name: "a.example.org", Type: "A", Content: "192.0.2.1"}, Record{Name: "a.example.org.example.com", Type: "A", TTL: 1, Content: "192.0.2.1"}},
		{Record{Name: "*", Type: "CNAME", Content: "Target.Example.NET.", Proxied: true}, Record{Name: "*.example.com", Type: "CNAME", TTL: 1, Content: "target.example.net", Proxied: true}},
		{Record{Name: "bücher", Type: "CNAME", Content: "@"}, Record{Name: "xn--bcher-kva.example.com", Type: "CNAME", TTL: 1, Content: "example.com"}},
		{Record{Name: "x", Type: "CNAME", Content: "bücher.example"}, Record{Name: "x.example.com", Type: "CNAME", TTL: 1, Content: "xn--bcher-kva.example"}},
		{Record{Name: "@", Type: "MX", Priority: 10, Content: "mail.example.net"}, Record{Name: "example.com", Type: "MX", TTL: 1, Priority: 10, Content: "mail.example.net"}},
		{Record{Name: "@", Type: "MX", Content: "."}, Record{Name: "example.com", Type: "MX", TTL: 1, Content: "."}},
		{Record{Name: "@", Type: "TXT", Content: `"v=spf1 " "-all"`}, Record{Name: "example.com", Type: "TXT", TTL: 1, Content: "v=spf1 -all"}},
		{Record{Name: "@", Type: "TXT", Content: `v=DMARC1; p=none; \x "q"`}, Record{Name: "example.com", Type: "TXT", TTL: 1, Content: `v=DMARC1; p=none; \x "q"`}},
		{Record{Name: "@", Type: "TXT", Content: `"\"quoted\""`}, Record{Name: "example.com", Type: "TXT", TTL: 1, Content: `"\"quoted\""`}},
		{Record{Name: "@", Type: "TXT", Content: "grüße"}, Record{Name: "example.com", Type: "TXT", TTL: 1, Content: "grüße"}},
		{Record{Name: "@", Type: "TXT", Content: "two\nlines"}, Record{Name: "example.com", Type: "TXT", TTL: 1, Content: `"two\010lines"`}},
		{Record{Name: "_s._tcp", Type: "SRV", Priority: 1, Content: "5 05060  sip.example.net"}, Record{Name: "_s._tcp.example.com", Type: "SRV", TTL: 1, Priority: 1, Content: "5 5060 sip.example.net"}},
		{Record{Name: "_s._tcp", Type: "SRV", Content: "10 60 5060 sip.example.net"}, Record{Name: "_s._tcp.example.com", Type: "SRV", TTL: 1, Priority: 10, Content: "60 5060 sip.example.net"}},
		{Record{Name: "@", Type: "MX", Priority: 10, Content: "10 mail.example.net"}, Record{Name: "example.com", Type: "MX", TTL: 1, Priority: 10, Content: "mail.example.net"}},
		{Record{Name: "@", Type: "CAA", Content: "0 ISSUE ca.example"}, Record{Name: "example.com", Type: "CAA", TTL: 1, Content: `0 issue "ca.example"`}},
		{Record{Name: "u", Type: "URI", Priority: 7, Content: `1 https://example.com/`}, Record{Name: "u.example.com", Type: "URI", TTL: 1, Priority: 7, Content: `1 "https://example.com/"`}},
		{Record{Name: "s", Type: "HTTPS", Content: `1 . port=8443 alpn="h3,h2"`}, Record{Name: "s.example.com", Type: "HTTPS", TTL: 1, Content: `1 . alpn="h3,h2" port="8443"`}},
		{Record{Name: "s", Type: "TLSA", Content: "3 1 1 " + digest[:32] + " " + digest[32:]}, Record{Name: "s.example.com", Type: "TLSA", TTL: 1, Content: "3 1 1 " + strings.ToLower(digest)}},
		{Record{Name: "n", Type: "NAPTR", Content: `100 10 S SIP+D2U "" _sip._udp.example.net`}, Record{Name: "n.example.com", Type: "NAPTR", TTL: 1, Content: `100 10 "S" "SIP+D2U" "" _sip._udp.example.net`}},
		{Record{Name: "c", Type: "A", Content: "192.0.2.1", Comment: strings.Repeat("ä", 200)}, Record{Name: "c.example.com", Type: "A", TTL: 1, Content: "192.0.2.1", Comment: strings.Repeat("ä", 200)}},
		{Record{Name: "p", Type: "A", Content: "10.0.0.1"}, Record{Name: "p.example.com", Type: "A", TTL: 1, Content: "10.0.0.1"}},
	} {
		got, broken := c.in.Canonical("example.com")
		if len(broken) > 0 || got != c.want {
			t.Errorf("%+v:\ngot  %+v %v\nwant %+v", c.in, got, broken, c.want)
			continue
		}
		again, broken := got.Canonical("example.com")
		if len(broken) > 0 || again != got {
			t.Errorf("%+v is not stable: %+v %v", got, again, broken)
		}
		if _, err := got.RR(); err != nil {
			t.Errorf("%+v: %v", got, err)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	a := func(change func(*Record)) Record {
		r := Record{Name: "www", Type: "A", Content: "192.0.2.1"}
		change(&r)
		return r
	}
	of := func(t Type, content string) Record { return Record{Name: "www", Type: t, Content: content} }
	for name, c := range map[string]struct {
		in   Record
		want []string
	}{
		"no name":           {a(func(r *Record) { r.Name = "" }), []string{"name required"}},
		"outside":           {a(func(r *Record) { r.Name = "www.example.org." }), []string{"name outside_zone"}},
		"look-alike":        {a(func(r *Record) { r.Name = "badexample.com." }), []string{"name outside_zone"}},
		"inner wildcard":    {a(func(r *Record) { r.Name = "a.*" }), []string{"name wildcard_position"}},
		"partial wildcard":  {a(func(r *Record) { r.Name = "a*" }), []string{"name wildcard_position"}},
		"two wildcards":     {a(func(r *Record) { r.Name = "*.*" }), []string{"name wildcard_position"}},
		"empty label":       {a(func(r *Record) { r.Name = "a..b" }), []string{"name name_syntax"}},
		"space":             {a(func(r *Record) { r.Name = "a b" }), []string{"name name_syntax"}},
		"escaped dot":       {a(func(r *Record) { r.Name = `a\.b` }), []string{"name name_syntax"}},
		"long label":        {a(func(r *Record) { r.Name = strings.Repeat("a", 64) }), []string{"name too_long"}},
		"long name":         {a(func(r *Record) { r.Name = strings.Repeat("a.", 121) + "a" }), []string{"name too_long"}},
		"bad IDN":           {a(func(r *Record) { r.Name = "a\u200d" }), []string{"name name_syntax"}},
		"no type":           {a(func(r *Record) { r.Type = "" }), []string{"type required"}},
		"SOA":               {a(func(r *Record) { r.Type = "SOA" }), []string{"type type_unsupported"}},
		"ttl low":           {a(func(r *Record) { r.TTL = 59 }), []string{"ttl ttl_range"}},
		"ttl high":          {a(func(r *Record) { r.TTL = 86401 }), []string{"ttl ttl_range"}},
		"ttl negative":      {a(func(r *Record) { r.TTL = -1 }), []string{"ttl ttl_range"}},
		"priority of A":     {a(func(r *Record) { r.Priority = 1 }), []string{"priority priority_not_allowed"}},
		"comment":           {a(func(r *Record) { r.Comment = "a\nb" }), []string{"comment comment_characters"}},
		"long comment":      {a(func(r *Record) { r.Comment = strings.Repeat("ä", 201) }), []string{"comment too_long"}},
		"proxied private":   {a(func(r *Record) { r.Content, r.Proxied = "192.168.1.1", true }), []string{"content proxied_address"}},
		"proxied metadata":  {a(func(r *Record) { r.Content, r.Proxied = "169.254.169.254", true }), []string{"content proxied_address"}},
		"no content":        {of("A", ""), []string{"content required"}},
		"A of a name":       {of("A", "example.net"), []string{"content content_syntax"}},
		"A of IPv6":         {of("A", "2001:db8::1"), []string{"content content_syntax"}},
		"two A":             {of("A", "192.0.2.1 192.0.2.2"), []string{"content content_syntax"}},
		"A with a comment":  {of("A", "192.0.2.1 ; x"), []string{"content content_syntax"}},
		"second line":       {of("A", "192.0.2.1\nevil A 192.0.2.2"), []string{"content content_syntax"}},
		"AAAA of IPv4":      {of("AAAA", "192.0.2.1"), []string{"content content_syntax"}},
		"AAAA mapped":       {of("AAAA", "::ffff:192.0.2.1"), []string{"content content_syntax"}},
		"AAAA zone":         {of("AAAA", "fe80::1%eth0"), []string{"content content_syntax"}},
		"CNAME to address":  {of("CNAME", "192.0.2.1"), []string{"content target_not_a_name"}},
		"CNAME to root":     {of("CNAME", "."), []string{"content target_not_a_name"}},
		"CNAME to wildcard": {of("CNAME", "*.example.net"), []string{"content target_not_a_name"}},
		"CNAME one label":   {of("CNAME", "www"), []string{"content target_not_a_name"}},
		"CNAME to itself":   {of("CNAME", "www.example.com"), []string{"content cname_loop"}},
		"two priorities":    {Record{Name: "www", Type: "MX", Content: "10 mail.example.net", Priority: 20}, []string{"content content_syntax"}},
		"MX range":          {Record{Name: "@", Type: "MX", Content: "m.example.net", Priority: 65536}, []string{"priority priority_range"}},
		"SRV port":          {of("SRV", "1 65536 a.example.net"), []string{"content content_syntax"}},
		"CAA tag":           {of("CAA", `0 iss-ue "x"`), []string{"content content_syntax"}},
		"CAA flags":         {of("CAA", `256 issue "x"`), []string{"content content_syntax"}},
		"CAA unquoted":      {of("CAA", `0 issue a; b`), []string{"content content_syntax"}},
		"DS length":         {Record{Name: "sub", Type: "DS", Content: "1 8 2 ABCD"}, []string{"content content_syntax"}},
		"SSHFP hex":         {of("SSHFP", "4 2 zz"), []string{"content content_syntax"}},
		"TLSA usage":        {of("TLSA", "4 1 1 "+strings.Repeat("ab", 32)), []string{"content content_syntax"}},
		"HTTPS key":         {of("HTTPS", "1 . nope=1"), []string{"content content_syntax"}},
		"unknown form":      {of("A", `\# 4 c0000201`), []string{"content content_syntax"}},
		"URI empty":         {of("URI", `1 ""`), []string{"content content_syntax"}},
		"TXT open quote":    {of("TXT", `"abc`), []string{"content content_syntax"}},
		"TXT empty":         {of("TXT", `""`), []string{"content required"}},
		"TXT escape":        {of("TXT", `"\999"`), []string{"content content_syntax"}},
		"TXT too long":      {of("TXT", strings.Repeat("x", 4097)), []string{"content too_long"}},
		"TXT proxied":       {Record{Name: "t", Type: "TXT", Content: "x", Proxied: true}, []string{"proxied proxied_type"}},
		"NS at apex":        {Record{Name: "@", Type: "NS", Content: "ns.example.net"}, []string{"type managed_by_us"}},
		"wildcard NS":       {Record{Name: "*", Type: "NS", Content: "ns.example.net"}, []string{"name wildcard_position"}},
		"all at once": {
			Record{Name: "a b", Type: "A", TTL: 3, Priority: 4, Content: "x", Comment: "\x00"},
			[]string{"name name_syntax", "priority priority_not_allowed", "content content_syntax", "ttl ttl_range", "comment comment_characters"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, broken := c.in.Canonical("example.com")
			got := make([]string, 0, len(broken))
			for _, v := range broken {
				got = append(got, v.Field+" "+string(v.Rule))
				if v.Message == "" || len(v.Message) > 400 {
					t.Errorf("message %q", v.Message)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q %v, want %q", got, broken, c.want)
			}
		})
	}
}

func TestProxiable(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.0.2.1": true, "198.51.100.7": true, "203.0.113.255": true, "8.8.8.8": true,
		"2001:db8::1": true, "2606:4700::1": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true,
		"10.1.2.3": false, "172.16.0.1": false, "172.32.0.1": true, "192.168.0.1": false, "127.0.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "0.0.0.0": false,
		"224.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false, "198.18.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00:ec2::254": false, "ff02::1": false,
		"::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2002:808:808::": true, "2001:0:1::": false,
	} {
		if why, got := Proxiable(netip.MustParseAddr(addr)); got != want || got == (why != "") {
			t.Errorf("Proxiable(%s) = %q, %t", addr, why, got)
		}
	}
}

func TestRRsOfLongText(t *testing.T) {
	text := strings.Repeat(`0123456789"\`, 60)
	r, broken := Record{Name: "@", Type: "TXT", Content: text}.Canonical("example.com")
	if len(broken) > 0 || r.Content != text {
		t.Fatalf("%v %q", broken, r.Content)
	}
	rr, err := r.RR()
	if err != nil {
		t.Fatal(err)
	}
	if throughWire(rr) == nil {
		t.Fatal("the record does not pack")
	}
	fields, err := fieldsOf(data(rr))
	if err != nil || len(fields) != 3 {
		t.Fatalf("%d strings, %v", len(fields), err)
	}
	if back, err := joinText(fields); err != nil || back != text {
		t.Errorf("the text came back as %q, %v", back, err)
	}
}
