package dnstest

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Query is a question that arrived.
type Query struct {
	// Network is udp or tcp.
	Network string
	// Name is in lower case without a final dot.
	Name string
	// Type is the mnemonic.
	Type string
	// Recursion tells whether recursion was desired.
	Recursion bool
	// EDNS tells whether the question had an OPT record.
	EDNS bool
}

// node is what servers and resolvers have in common: sockets, faults and a log.
type node struct {
	tb     testing.TB
	addr   string
	answer func(*dns.Msg) *dns.Msg

	mu      sync.Mutex
	faults  []Fault
	queries []Query
}

// Addr is where the node listens, over UDP and TCP, host:port.
func (n *node) Addr() string { return n.addr }

// Queries are the questions so far, in order of arrival.
func (n *node) Queries() []Query {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Query(nil), n.queries...)
}

// Break adds faults; the first that matches a question applies.
func (n *node) Break(faults ...Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = append(n.faults, faults...)
}

// Mend removes all faults.
func (n *node) Mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = nil
}

// listen opens both sockets at one port of loopback and serves them until the test ends.
func (n *node) listen() {
	n.tb.Helper()
	pc, ln := sockets(n.tb)
	n.addr = pc.LocalAddr().String()
	var running sync.WaitGroup
	// Cleanups run last in, first out: this waits after the shutdowns below.
	n.tb.Cleanup(running.Wait)
	for _, srv := range []*dns.Server{
		{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { n.handle("udp", w, q) })},
		{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { n.handle("tcp", w, q) })},
	} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		running.Go(func() {
			if err := srv.ActivateAndServe(); err != nil {
				n.tb.Errorf("dnstest: %v", err)
			}
		})
		<-started
		n.tb.Cleanup(func() {
			if err := srv.Shutdown(); err != nil {
				n.tb.Errorf("dnstest: %v", err)
			}
		})
	}
}

// sockets finds a port that is free for both transports.
func sockets(tb testing.TB) (net.PacketConn, net.Listener) {
	tb.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("dnstest: %v", err)
		}
		pc, err := net.ListenPacket("udp", ln.Addr().String())
		if err == nil {
			return pc, ln
		}
		if err := ln.Close(); err != nil {
			tb.Fatalf("dnstest: %v", err)
		}
	}
	tb.Fatal("dnstest: no port is free for UDP and TCP")
	return nil, nil
}

func (n *node) handle(network string, w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		return
	}
	opt := q.IsEdns0()
	n.mu.Lock()
	n.queries = append(n.queries, Query{
		Network: network, Name: plain(q.Question[0].Name), Type: dns.TypeToString[q.Question[0].Qtype],
		Recursion: q.RecursionDesired, EDNS: opt != nil,
	})
	fault := n.faultFor(network, q.Question[0], opt != nil)
	n.mu.Unlock()
	if fault != nil && fault.answer(w, q, n.answer) {
		return
	}
	m := n.answer(q)
	size := dns.MaxMsgSize
	if opt != nil {
		m.SetEdns0(opt.UDPSize(), false)
		size = int(opt.UDPSize())
	} else if network == "udp" {
		size = dns.MinMsgSize
	}
	if network == "udp" {
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // the client may be gone
}

func plain(name string) string {
	if name == "." {
		return name
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
