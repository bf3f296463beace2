package dnstest

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Network is a set of name servers. Make one with [New].
type Network struct {
	tb testing.TB

	mu      sync.Mutex
	servers map[netip.Addr]*Server
}

// New is an empty network that ends with the test.
func New(tb testing.TB) *Network {
	tb.Helper()
	return &Network{tb: tb, servers: make(map[netip.Addr]*Server)}
}

// Server starts an authoritative server with an invented address.
func (n *Network) Server(address string) *Server {
	n.tb.Helper()
	s := &Server{node: node{tb: n.tb}, zones: make(map[string][]dns.RR)}
	s.answer = s.authoritative
	s.listen()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers[netip.MustParseAddr(address)] = s
	return s
}

// Resolver starts a recursive resolver that begins at the server of the root zone.
func (n *Network) Resolver(root *Server) *Resolver {
	n.tb.Helper()
	r := &Resolver{node: node{tb: n.tb}, net: n, root: root}
	r.answer = r.recurse
	r.listen()
	return r
}

// Endpoint is where the server with an invented address really listens, host:port. Where
// there is none it is a port of loopback at which nobody listens.
func (n *Network) Endpoint(addr netip.Addr) string {
	if s := n.at(addr); s != nil {
		return s.Addr()
	}
	return net.JoinHostPort("127.0.0.1", "1")
}

func (n *Network) at(addr netip.Addr) *Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.servers[addr.Unmap()]
}

// parse reads a master file.
func parse(tb testing.TB, origin, text string) []dns.RR {
	tb.Helper()
	p := dns.NewZoneParser(strings.NewReader(text), dns.Fqdn(origin), "")
	p.SetDefaultTTL(300)
	var out []dns.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		out = append(out, rr)
	}
	if err := p.Err(); err != nil {
		tb.Fatalf("dnstest: zone %s: %v", origin, err)
	}
	return out
}
