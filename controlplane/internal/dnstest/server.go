package dnstest

import (
	"strings"

	"github.com/miekg/dns"
)

// Server is an authoritative name server. Make one with [Network.Server].
type Server struct {
	node

	// zones holds the records of each zone by its name, guarded by node.mu.
	zones map[string][]dns.RR
}

// Zone serves, in place of an older version, a zone from a master file. NS records of names
// below the zone delegate them. An SOA is made if there is none.
func (s *Server) Zone(origin, text string) *Server {
	s.tb.Helper()
	records := parse(s.tb, origin, text)
	name := dns.Fqdn(strings.ToLower(origin))
	if len(pick(records, name, dns.TypeSOA)) == 0 {
		records = append(records, parse(s.tb, origin, "@ 300 IN SOA ns.invalid. admin.invalid. 1 3600 600 86400 60\n")...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zones[name] = records
	return s
}

// authoritative answers from the zones, as RFC 1034, 4.3.2 says.
func (s *Server) authoritative(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	s.mu.Lock()
	defer s.mu.Unlock()
	zone, records := s.zoneOf(name)
	if records == nil {
		m.Rcode = dns.RcodeRefused
		return m
	}
	if ns := delegation(records, zone, name, qtype); ns != nil {
		m.Ns = ns
		m.Extra = glue(records, ns)
		return m
	}
	m.Authoritative = true
	for range 20 {
		owner := match(records, zone, name)
		if owner == "" {
			m.Rcode = dns.RcodeNameError
			break
		}
		if found := pick(records, owner, qtype); len(found) > 0 {
			m.Answer = append(m.Answer, as(found, name)...)
			return m
		}
		alias := pick(records, owner, dns.TypeCNAME)
		if len(alias) == 0 {
			break
		}
		m.Answer = append(m.Answer, as(alias, name)...)
		target := targetOf(alias[0])
		if !dns.IsSubDomain(zone, target) || len(m.Answer) > 10 {
			return m
		}
		name = target
	}
	m.Ns = pick(records, zone, dns.TypeSOA)
	return m
}

// zoneOf is the zone with the longest name that holds name.
func (s *Server) zoneOf(name string) (zone string, records []dns.RR) {
	for z, r := range s.zones {
		if dns.IsSubDomain(z, name) && (records == nil || dns.CountLabel(z) > dns.CountLabel(zone)) {
			zone, records = z, r
		}
	}
	return zone, records
}

// delegation finds NS records of a name between zone and name. The DS of a delegated name
// belongs to the parent.
func delegation(records []dns.RR, zone, name string, qtype uint16) []dns.RR {
	for cut := name; cut != zone && cut != "."; {
		if ns := pick(records, cut, dns.TypeNS); len(ns) > 0 && (cut != name || qtype != dns.TypeDS) {
			return ns
		}
		i, end := dns.NextLabel(cut, 0)
		if end {
			return nil
		}
		cut = cut[i:]
	}
	return nil
}

func glue(records, ns []dns.RR) []dns.RR {
	var out []dns.RR
	for _, rr := range ns {
		if ns, ok := rr.(*dns.NS); ok {
			host := strings.ToLower(ns.Ns)
			out = append(out, pick(records, host, dns.TypeA)...)
			out = append(out, pick(records, host, dns.TypeAAAA)...)
		}
	}
	return out
}

// match is the owner that answers for name: itself, or a wildcard; "" if name does not exist.
func match(records []dns.RR, zone, name string) string {
	for _, rr := range records {
		if dns.IsSubDomain(name, strings.ToLower(rr.Header().Name)) {
			return name
		}
	}
	for parent := name; parent != zone && parent != "."; {
		i, end := dns.NextLabel(parent, 0)
		if end {
			return ""
		}
		parent = parent[i:]
		for _, rr := range records {
			if strings.EqualFold(rr.Header().Name, "*."+parent) {
				return strings.ToLower(rr.Header().Name)
			}
		}
	}
	return ""
}

func pick(records []dns.RR, name string, qtype uint16) []dns.RR {
	var out []dns.RR
	for _, rr := range records {
		if rr.Header().Rrtype == qtype && strings.EqualFold(rr.Header().Name, name) {
			out = append(out, rr)
		}
	}
	return out
}

// as gives records the name that was asked for, which differs where a wildcard answers.
func as(records []dns.RR, name string) []dns.RR {
	out := make([]dns.RR, len(records))
	for i, rr := range records {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = name
	}
	return out
}

func targetOf(rr dns.RR) string {
	if c, ok := rr.(*dns.CNAME); ok {
		return strings.ToLower(c.Target)
	}
	return "."
}
