package dnstest

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Resolver is a recursive resolver without a cache. Make one with [Network.Resolver]. It
// talks to the servers of its network directly, and so sees their zones but not their
// faults; use [Network.Server] faults for what is asked of servers, and faults of the
// resolver for what it answers.
type Resolver struct {
	node

	net  *Network
	root *Server
}

// recurse resolves a question by way of referrals and CNAMEs. Like real resolvers it answers
// SERVFAIL where servers are lame or CNAMEs loop.
func (r *Resolver) recurse(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	seen := map[string]bool{}
	for !seen[name] {
		seen[name] = true
		answer := r.iterate(name, question.Qtype, 0)
		if answer == nil {
			m.Rcode, m.Answer = dns.RcodeServerFailure, nil
			return m
		}
		m.Answer = append(m.Answer, answer.Answer...)
		m.Ns, m.Rcode = answer.Ns, answer.Rcode
		next := name
		for _, rr := range answer.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, next) {
				next = strings.ToLower(c.Target)
			}
		}
		if question.Qtype == dns.TypeCNAME || next == name || len(pick(answer.Answer, next, question.Qtype)) > 0 || answer.Rcode != dns.RcodeSuccess {
			return m
		}
		name = next
	}
	m.Rcode, m.Answer = dns.RcodeServerFailure, nil
	return m
}

// iterate follows referrals from the root; nil means that no server has authority.
func (r *Resolver) iterate(name string, qtype uint16, depth int) *dns.Msg {
	server := r.root
	for range 10 {
		q := new(dns.Msg)
		q.SetQuestion(name, qtype)
		m := server.authoritative(q)
		if m.Authoritative {
			return m
		}
		if m.Rcode != dns.RcodeSuccess || depth > 3 {
			return nil
		}
		server = r.refer(m, depth)
		if server == nil {
			return nil
		}
	}
	return nil
}

// refer finds a server of a referral, by its glue or by resolving its name.
func (r *Resolver) refer(m *dns.Msg, depth int) *Server {
	for _, rr := range m.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		found := pick(m.Extra, ns.Ns, dns.TypeA)
		if len(found) == 0 {
			if a := r.iterate(strings.ToLower(ns.Ns), dns.TypeA, depth+1); a != nil {
				found = pick(a.Answer, ns.Ns, dns.TypeA)
			}
		}
		for _, rr := range found {
			if a, ok := rr.(*dns.A); ok {
				if addr, ok := netip.AddrFromSlice(a.A); ok {
					if s := r.net.at(addr); s != nil {
						return s
					}
				}
			}
		}
	}
	return nil
}
