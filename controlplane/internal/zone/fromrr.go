package zone

import (
	"strings"

	"github.com/miekg/dns"
)

// FromRR makes a record of one that was seen in the DNS, for the zone origin. The TTL, which
// a cache may have counted down, is brought into range. It answers with violations where
// the record has no place in a zone of ours.
func FromRR(origin string, rr dns.RR) (Record, []Violation) {
	h := rr.Header()
	r := Record{
		Name: h.Name,
		Type: Type(dns.TypeToString[h.Rrtype]),
		TTL:  int32(min(max(h.Ttl, MinTTL), MaxTTL)),
	}
	f, ok := formOf(r.Type)
	if !ok {
		return Record{}, []Violation{*violation("type", RuleTypeUnsupported, "%s", unsupportedMessage(string(r.Type)))}
	}
	content := data(rr)
	if f.priority {
		// The library prints a number first and a blank after it.
		number, rest, _ := strings.Cut(content, " ")
		n, _ := parseTTL(number)
		r.Priority, content = int32(n&0xffff), rest
	}
	r.Content = content
	return r.Canonical(origin)
}
