package onboard

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const (
	// maxAuthorities is how many servers of the parent zone are asked before giving up.
	maxAuthorities = 4
	// maxCuts is how many zone cuts may lie between the parent zone found and the domain.
	maxCuts = 8
)

var plainDial dialFunc = (&net.Dialer{}).DialContext

// CheckDelegation tells whether the parent zone delegates domain to the name servers want
// and to no others. domain is canonical; want are host names. What the domain's own servers
// say is shown in the evidence and never counts; and they need not answer yet, because ours
// begin to when the site is active.
func (c *Checker) CheckDelegation(ctx context.Context, domain string, want []string) Result {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Budget)
	defer cancel()
	q := &inquiry{c: c}
	var declared []string
	if m, kind := q.ask(ctx, domain, dns.TypeNS, 1); kind == OK {
		declared = hostsOf(recordsOf(m.Answer, domain, dns.TypeNS))
	}
	zone, hosts, kind := q.parentZone(ctx, domain)
	if kind != OK {
		return q.result(kind, parentReason(kind, domain), nil)
	}
	for range maxCuts {
		v := q.judge(ctx, zone, hosts, domain)
		switch {
		case v.zone != "":
			zone, hosts = v.zone, v.hosts
		case v.kind == OK:
			return q.compare(domain, v.hosts, want)
		case v.kind == NotDelegated:
			return q.result(NotDelegated, notDelegatedReason(domain, declared, want), declared)
		default:
			return q.result(v.kind, parentReason(v.kind, domain), nil)
		}
	}
	return q.result(Lame, parentReason(Lame, domain), nil)
}

// parentZone finds the zone that would delegate name, and its name servers: the nearest
// name above it that has NS records.
func (q *inquiry) parentZone(ctx context.Context, name string) (zone string, hosts []string, kind Kind) {
	for zone = parentOf(name); ; zone = parentOf(zone) {
		m, kind := q.ask(ctx, zone, dns.TypeNS, q.c.cfg.Attempts)
		if kind != OK {
			return zone, nil, kind
		}
		if hosts := hostsOf(recordsOf(m.Answer, zone, dns.TypeNS)); len(hosts) > 0 {
			return zone, hosts, OK
		}
		if zone == "." {
			return zone, nil, ServFail
		}
	}
}

// verdict is what the servers of a zone say about a delegation.
type verdict struct {
	kind Kind
	// zone is another zone that lies between, whose servers are to be asked; else empty.
	zone string
	// hosts are the name servers of the domain, or of that zone.
	hosts []string
}

// judge asks the servers of zone, one after the other, until one gives a usable verdict.
func (q *inquiry) judge(ctx context.Context, zone string, hosts []string, name string) verdict {
	last := verdict{kind: Lame}
	asked := 0
	for _, host := range hosts {
		for _, addr := range q.addresses(ctx, host) {
			if asked++; asked > maxAuthorities || ctx.Err() != nil {
				return last
			}
			m, kind := q.askAuthority(ctx, addr, name, dns.TypeNS)
			if m == nil {
				last = verdict{kind: kind}
				continue
			}
			if v := readReferral(m, zone, name); v.kind != Lame {
				return v
			}
			last = verdict{kind: Lame}
		}
	}
	return last
}

// readReferral reads the answer of a server of zone to the question for the NS of name.
func readReferral(m *dns.Msg, zone, name string) verdict {
	switch {
	case m.Rcode == dns.RcodeNameError && m.Authoritative:
		return verdict{kind: NXDomain}
	case m.Rcode != dns.RcodeSuccess:
		return verdict{kind: Lame}
	}
	if hosts := hostsOf(recordsOf(m.Answer, name, dns.TypeNS)); len(hosts) > 0 {
		// The server has authority for the child zone too. Every resolver that asks the
		// parent gets this answer, so it is the delegation in effect. Without authority it
		// is hearsay.
		if m.Authoritative {
			return verdict{kind: OK, hosts: hosts}
		}
		return verdict{kind: Lame}
	}
	for _, rr := range m.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		switch owner := canonical(ns.Hdr.Name); {
		case owner == name:
			return verdict{kind: OK, hosts: hostsOf(recordsOf(m.Ns, name, dns.TypeNS))}
		case owner != zone && below(name, owner) && below(owner, zone):
			return verdict{kind: OK, zone: owner, hosts: hostsOf(recordsOf(m.Ns, owner, dns.TypeNS))}
		}
	}
	if m.Authoritative {
		return verdict{kind: NotDelegated}
	}
	return verdict{kind: Lame}
}

// addresses are those of a name server, IPv4 if it has any.
func (q *inquiry) addresses(ctx context.Context, host string) []netip.Addr {
	const most = 2
	var out []netip.Addr
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		records, _, _ := q.follow(ctx, host, t)
		for _, rr := range records {
			if addr, ok := addrOf(rr); ok && len(out) < most {
				out = append(out, addr)
			}
		}
		if len(out) > 0 {
			break
		}
	}
	return out
}

// compare judges a delegation that was found.
func (q *inquiry) compare(domain string, found, want []string) Result {
	wanted := make([]string, 0, len(want))
	for _, w := range want {
		wanted = append(wanted, canonical(w))
	}
	var missing, extra []string
	for _, w := range wanted {
		if !slices.Contains(found, w) {
			missing = append(missing, w)
		}
	}
	for _, f := range found {
		if !slices.Contains(wanted, f) {
			extra = append(extra, f)
		}
	}
	switch {
	case len(missing) == 0 && len(extra) == 0:
		return q.result(OK, domain+" is delegated to the assigned name servers", found)
	case len(missing) == 0:
		return q.result(NotDelegated, domain+" is also delegated to "+list(extra)+"; remove them at the registrar", found)
	}
	return q.result(NotDelegated, domain+" is delegated to "+list(found)+", not to "+list(missing)+
		"; change the name servers at the registrar", found)
}

func notDelegatedReason(domain string, declared, want []string) string {
	if len(declared) > 0 {
		return "servers of " + domain + " name " + list(declared) +
			", but the parent zone does not delegate to them; set the name servers at the registrar"
	}
	return domain + " is not delegated; set its name servers to " + list(want) + " at the registrar"
}

func parentReason(kind Kind, domain string) string {
	switch kind {
	case NXDomain:
		return domain + " does not exist in its parent zone; is it registered?"
	case Timeout, Unreachable:
		return "the DNS servers above " + domain + " could not be reached; we will ask again"
	case Lame:
		return "the DNS servers above " + domain + " do not answer with authority; we will ask again"
	default:
		return "the DNS servers above " + domain + " gave no usable answer; we will ask again"
	}
}

// hostsOf are the name servers of NS records, sorted, each once.
func hostsOf(records []dns.RR) []string {
	var out []string
	for _, rr := range records {
		if ns, ok := rr.(*dns.NS); ok {
			out = append(out, canonical(ns.Ns))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func addrOf(rr dns.RR) (netip.Addr, bool) {
	var ip net.IP
	switch rr := rr.(type) {
	case *dns.A:
		ip = rr.A
	case *dns.AAAA:
		ip = rr.AAAA
	default:
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(ip)
	return addr.Unmap(), ok
}

func parentOf(name string) string {
	_, parent, ok := strings.Cut(name, ".")
	if !ok || parent == "" {
		return "."
	}
	return parent
}

// below tells whether name is zone or under it.
func below(name, zone string) bool {
	return zone == "." || name == zone || strings.HasSuffix(name, "."+zone)
}

func list(names []string) string {
	const most = 6
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
