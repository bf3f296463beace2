package onboard

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const (
	maxEvidence       = 64
	maxEvidenceShown  = 16
	maxEvidenceRecord = 300
	// maxHops is how many CNAMEs are followed from one name.
	maxHops = 8
)

// inquiry is one check in progress: it asks and keeps the evidence. It belongs to one
// goroutine.
type inquiry struct {
	c        *Checker
	evidence []Evidence
}

// result closes the inquiry.
func (q *inquiry) result(kind Kind, reason string, seen []string) Result {
	seen = slices.Clone(seen)
	slices.Sort(seen)
	seen = slices.Compact(seen)
	if len(seen) > maxEvidenceShown {
		seen = seen[:maxEvidenceShown]
	}
	for i := range seen {
		seen[i] = cut(seen[i])
	}
	return Result{Kind: kind, Temporary: kind.Temporary(), Reason: reason, Seen: seen, Evidence: q.evidence}
}

// ask puts a question to the resolvers, in turn, until one gives an answer that can be
// used: records, their absence or the name's. Otherwise the kind tells the last failure.
func (q *inquiry) ask(ctx context.Context, name string, qtype uint16, attempts int) (*dns.Msg, Kind) {
	kind := Timeout
	for i := range attempts {
		if ctx.Err() != nil {
			return nil, Timeout
		}
		server := q.c.cfg.Resolvers[i%len(q.c.cfg.Resolvers)]
		m, err := q.c.exchange(ctx, plainDial, server, name, qtype, true)
		kind = q.record(server, name, qtype, m, err)
		if kind == OK || kind == NXDomain {
			return m, kind
		}
	}
	return nil, kind
}

// askAuthority puts a question to a name server itself, once over each transport.
func (q *inquiry) askAuthority(ctx context.Context, addr netip.Addr, name string, qtype uint16) (*dns.Msg, Kind) {
	server := q.c.cfg.Endpoint(addr)
	m, err := q.c.exchange(ctx, q.c.cfg.Dial, server, name, qtype, false)
	return m, q.record(server, name, qtype, m, err)
}

// record keeps the evidence of one exchange and classifies it.
func (q *inquiry) record(server, name string, qtype uint16, m *dns.Msg, err error) Kind {
	e := Evidence{Server: server, Name: name, Type: dns.TypeToString[qtype]}
	var kind Kind
	if err != nil {
		kind = failure(err)
		e.Outcome = string(kind)
	} else {
		e.Outcome, e.Authoritative = dns.RcodeToString[m.Rcode], m.Authoritative
		kind = kindOf(m.Rcode)
		section := m.Answer
		if len(section) == 0 {
			section = m.Ns
		}
		for _, rr := range section[:min(len(section), maxEvidenceShown)] {
			e.Records = append(e.Records, cut(strings.ReplaceAll(rr.String(), "\t", " ")))
		}
	}
	if len(q.evidence) < maxEvidence {
		q.evidence = append(q.evidence, e)
	}
	return kind
}

func kindOf(rcode int) Kind {
	switch rcode {
	case dns.RcodeSuccess:
		return OK
	case dns.RcodeNameError:
		return NXDomain
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return Refused
	}
	return ServFail
}

// follow asks for records of a type and follows CNAMEs, those within an answer and those
// that the resolver left open. at is the name at which the chain ended.
func (q *inquiry) follow(ctx context.Context, name string, qtype uint16) (records []dns.RR, at string, kind Kind) {
	at = name
	seen := map[string]bool{name: true}
	for range maxHops + 1 {
		m, kind := q.ask(ctx, at, qtype, q.c.cfg.Attempts)
		if kind == ServFail && q.loops(ctx, at) {
			// Many resolvers say no more than that they failed.
			return nil, at, CNAMELoop
		}
		if m == nil {
			return nil, at, kind
		}
		start := at
		for next, ok := cnameOf(m.Answer, at); ok && qtype != dns.TypeCNAME; next, ok = cnameOf(m.Answer, at) {
			if seen[next] || len(seen) > maxHops {
				return nil, next, CNAMELoop
			}
			seen[next] = true
			at = next
		}
		records = recordsOf(m.Answer, at, qtype)
		switch {
		case len(records) > 0:
			return records, at, OK
		case kind == NXDomain:
			return nil, at, NXDomain
		case at == start:
			return nil, at, NoRecord
		}
	}
	return nil, at, CNAMELoop
}

// loops walks the CNAMEs from name one at a time.
func (q *inquiry) loops(ctx context.Context, name string) bool {
	seen := map[string]bool{}
	for !seen[name] {
		if len(seen) > maxHops {
			return true
		}
		seen[name] = true
		m, _ := q.ask(ctx, name, dns.TypeCNAME, 1)
		if m == nil {
			return false
		}
		next, ok := cnameOf(m.Answer, name)
		if !ok {
			return false
		}
		name = next
	}
	return true
}

// cnameOf is the target of the CNAME of name within a section.
func cnameOf(section []dns.RR, name string) (string, bool) {
	for _, rr := range section {
		if c, ok := rr.(*dns.CNAME); ok && canonical(c.Hdr.Name) == name {
			return canonical(c.Target), true
		}
	}
	return "", false
}

// recordsOf are the records of one owner and type within a section.
func recordsOf(section []dns.RR, name string, qtype uint16) []dns.RR {
	var out []dns.RR
	for _, rr := range section {
		if rr.Header().Rrtype == qtype && canonical(rr.Header().Name) == name {
			out = append(out, rr)
		}
	}
	return out
}

// canonical is a name in lower case without a final dot; the root is ".".
func canonical(name string) string {
	if name == "." {
		return name
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func cut(s string) string {
	if len(s) > maxEvidenceRecord {
		s = s[:maxEvidenceRecord] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
