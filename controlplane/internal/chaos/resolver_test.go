package chaos

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// resolver is the Internet's DNS as far as sites prove who they belong to.
type resolver struct {
	address string

	mu    sync.Mutex
	texts map[string]string
}

func startResolver(t *testing.T) *resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{address: conn.LocalAddr().String(), texts: map[string]string{}}
	started, done := make(chan struct{}), make(chan error, 1)
	s := &dns.Server{PacketConn: conn, Handler: r, NotifyStartedFunc: func() { close(started) }}
	go func() { done <- s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = s.Shutdown()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// set publishes a TXT record.
func (r *resolver) set(name, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts[dns.Fqdn(strings.ToLower(name))] = text
}

// ServeDNS implements dns.Handler.
func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	r.mu.Lock()
	text, ok := r.texts[strings.ToLower(q.Question[0].Name)]
	r.mu.Unlock()
	switch {
	case !ok:
		m.Rcode = dns.RcodeNameError
	case q.Question[0].Qtype == dns.TypeTXT:
		m.Answer = append(m.Answer, &dns.TXT{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
			Txt: []string{text},
		})
	}
	_ = w.WriteMsg(m)
}
