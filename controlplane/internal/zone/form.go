package zone

import (
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// form describes the data of one type: the fields of its presentation form, priority
// included.
type form struct {
	t Type
	// priority: the first field is the record's priority and not part of its content.
	priority bool
	// fields is how many there are; 0 for no fixed number.
	fields int
	// tail joins all fields from the last one on, as hexadecimal data may be split.
	tail bool
	// name is the index of the field that is a name, -1 for none.
	name int
	// root allows the root as that name.
	root bool
	// quoted are the indexes of fields that are always written in quotes.
	quoted []int
	// lower is the index of a field without regard to case, -1 for none.
	lower int
	// twice parses the canonical form again, where the library's printing can't be relied
	// on to be stable.
	twice bool
	// like is what the content looks like, for messages.
	like string
}

var forms = map[Type]*form{
	TypeA:     {fields: 1, name: -1, lower: -1, like: "an IPv4 address, as 192.0.2.1"},
	TypeAAAA:  {fields: 1, name: -1, lower: -1, like: "an IPv6 address, as 2001:db8::1"},
	TypeCAA:   {fields: 3, name: -1, quoted: []int{2}, lower: 1, twice: true, like: `flags, tag and value in quotes, as 0 issue "ca.example"`},
	TypeCNAME: {fields: 1, name: 0, lower: -1, like: "a name, as target.example.net"},
	TypeDS:    {fields: 4, tail: true, name: -1, lower: -1, like: "key tag, algorithm, digest type and digest, as 60485 8 2 D4B7…"},
	TypeHTTPS: {name: 1, root: true, lower: -1, twice: true, like: `priority, target and parameters, as 1 . alpn="h2,h3"`},
	TypeMX:    {priority: true, fields: 2, name: 1, root: true, lower: -1, like: "a name, as mail.example.net; the priority has a field of its own"},
	TypeNAPTR: {fields: 6, name: 5, root: true, quoted: []int{2, 3, 4}, lower: -1, twice: true, like: `order, preference, flags, service, regexp and replacement, as 100 10 "S" "SIP+D2U" "" _sip._udp.example.net`},
	TypeNS:    {fields: 1, name: 0, lower: -1, like: "a name, as ns1.example.net"},
	TypePTR:   {fields: 1, name: 0, lower: -1, like: "a name, as host.example.net"},
	TypeSRV:   {priority: true, fields: 4, name: 3, root: true, lower: -1, like: "weight, port and target, as 5 5060 sip.example.net; the priority has a field of its own"},
	TypeSSHFP: {fields: 3, tail: true, name: -1, lower: -1, like: "algorithm, type and fingerprint, as 4 2 9DCA…"},
	TypeSVCB:  {name: 1, root: true, lower: -1, twice: true, like: `priority, target and parameters, as 1 svc.example.net port="8443"`},
	TypeTLSA:  {fields: 4, tail: true, name: -1, lower: -1, like: "usage, selector, matching type and data, as 3 1 1 0C72…"},
	TypeTXT:   {name: -1, lower: -1, like: "a text"},
	TypeURI:   {priority: true, fields: 3, name: -1, quoted: []int{2}, lower: -1, twice: true, like: `weight and target in quotes, as 1 "https://example.com/"; the priority has a field of its own`},
}

// formOf finds the form of a type, which must be in upper case.
func formOf(t Type) (form, bool) {
	f, ok := forms[t]
	if !ok {
		return form{}, false
	}
	out := *f
	out.t = t
	return out, true
}

func unsupportedMessage(t string) string {
	switch t {
	case "SOA":
		return "the SOA record is managed by us"
	case "SPF":
		return "SPF records are obsolete; use TXT"
	case "ALIAS", "ANAME":
		return "use a CNAME record; at the site's own name it is flattened"
	}
	return show(t) + " is not a type that can be stored; the types are A, AAAA, CAA, CNAME, DS, HTTPS, MX, NAPTR, NS, PTR, SRV, SSHFP, SVCB, TLSA, TXT and URI"
}

func (f form) malformed() *Violation {
	return violation("content", RuleContent, "the content of a record of type %s is %s", f.t, f.like)
}

// naming makes the name in the data absolute: the API and master files differ in how.
type naming func(f form, name string) (string, *Violation)

// canonical brings all fields of the data, priority first where the type has one, into
// canonical form. The library parses them, packs them for the wire and prints what it
// unpacks, so what is stored is what can be served.
func (f form) canonical(fields []string, name naming) (content string, priority int32, v *Violation) {
	fields, v = f.prepare(fields, name)
	if v != nil {
		return "", 0, v
	}
	rr := f.parse("canonical.", 0, fields)
	if rr == nil {
		return "", 0, f.malformed()
	}
	rr = throughWire(rr)
	if rr == nil {
		return "", 0, f.malformed()
	}
	if why := checkData(rr); why != "" {
		return "", 0, violation("content", RuleContent, "%s", why)
	}
	content, priority, ok := f.split(data(rr))
	if !ok || len(content) > maxContent {
		return "", 0, f.malformed()
	}
	if f.twice {
		again := f
		again.twice = false
		absolute := func(_ form, n string) (string, *Violation) { return strings.TrimSuffix(n, "."), nil }
		whole, err := fieldsOf(data(rr))
		if err != nil {
			return "", 0, f.malformed()
		}
		if c, _, v := again.canonical(whole, absolute); v != nil || c != content {
			return "", 0, f.malformed()
		}
	}
	return content, priority, nil
}

// prepare checks the number of fields and rewrites those that the library reads loosely.
func (f form) prepare(fields []string, name naming) ([]string, *Violation) {
	fields = append([]string(nil), fields...)
	if f.tail {
		fields = joinTail(fields, f.fields-1)
	}
	if f.fields > 0 && len(fields) != f.fields || f.name >= len(fields) {
		return nil, f.malformed()
	}
	for _, i := range f.quoted {
		q, err := requote(fields[i])
		if err != nil {
			return nil, violation("content", RuleContent, "%s", err)
		}
		fields[i] = q
	}
	if f.lower >= 0 {
		fields[f.lower] = strings.ToLower(fields[f.lower])
	}
	if f.name >= 0 {
		n, v := name(f, fields[f.name])
		if v != nil {
			return nil, v
		}
		fields[f.name] = dns.Fqdn(n)
	}
	return fields, nil
}

// parse hands one record to the library; nil means that it is malformed.
func (f form) parse(owner string, ttl uint32, fields []string) dns.RR {
	if len(fields) == 0 {
		return nil
	}
	line := owner + " " + strconv.FormatUint(uint64(ttl), 10) + " IN " + string(f.t) + " " + strings.Join(fields, " ")
	rr, err := dns.NewRR(line)
	if err != nil || rr == nil || dns.TypeToString[rr.Header().Rrtype] != string(f.t) {
		return nil
	}
	return rr
}

// split takes the canonical data of the library apart into what the record stores.
func (f form) split(data string) (content string, priority int32, ok bool) {
	fields, err := fieldsOf(data)
	if err != nil || len(fields) == 0 {
		return "", 0, false
	}
	if f.name >= 0 {
		if f.name >= len(fields) {
			return "", 0, false
		}
		if n := fields[f.name]; n != "." {
			fields[f.name] = strings.TrimSuffix(n, ".")
		}
	}
	if f.priority {
		p, err := strconv.ParseUint(fields[0], 10, 16)
		if err != nil {
			return "", 0, false
		}
		priority, fields = int32(p), fields[1:]
	}
	return strings.Join(fields, " "), priority, true
}

// build makes the library's record of a canonical one.
func (f form) build(r Record) (dns.RR, *Violation) {
	f.t = r.Type
	owner := dns.Fqdn(r.Name)
	if r.Type == TypeTXT {
		text, v := textOf(r.Content)
		if v != nil {
			return nil, v
		}
		return &dns.TXT{
			Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: r.servedTTL()},
			Txt: chunks(text),
		}, nil
	}
	fields, err := fieldsOf(r.Content)
	if err != nil {
		return nil, f.malformed()
	}
	if f.priority {
		fields = append([]string{strconv.Itoa(int(r.Priority))}, fields...)
	}
	if f.name >= 0 && f.name < len(fields) {
		fields[f.name] = dns.Fqdn(fields[f.name])
	}
	if rr := f.parse(owner, r.servedTTL(), fields); rr != nil {
		return rr, nil
	}
	return nil, f.malformed()
}

func throughWire(rr dns.RR) dns.RR {
	buf := make([]byte, dns.Len(rr)+512)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil
	}
	back, _, err := dns.UnpackRR(buf[:n], 0)
	if err != nil {
		return nil
	}
	return back
}
