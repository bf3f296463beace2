package devdns

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Config says where to listen and what to answer. Callbacks get and give names in lower
// case without a final dot; those that are nil answer nothing.
type Config struct {
	// Addr is host:port of loopback, for UDP and TCP; port 0 finds a free one.
	Addr string
	// NameServers are those that a domain, one label below `test`, is delegated to. None
	// means that the domain is not registered.
	NameServers func(domain string) []string
	// TXT are the texts of a name.
	TXT func(name string) []string
	// CNAME is the target of a name, "" for none.
	CNAME func(name string) string
	// Log gets what goes wrong with sockets; required.
	Log *slog.Logger
}

// Server is a running name server.
type Server struct {
	cfg     Config
	addr    string
	servers []*dns.Server
	running sync.WaitGroup
	closing sync.Once
	err     error
}

const (
	tld     = "test."
	nsName  = "ns.test."
	ttl     = 1
	tcpIdle = 2 * time.Second
)

// Start listens and serves.
func Start(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		return nil, errors.New("devdns: no logger")
	}
	pc, ln, err := listen(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("devdns: %w", err)
	}
	s := &Server{cfg: cfg, addr: pc.LocalAddr().String()}
	handler := dns.HandlerFunc(s.handle)
	idle := func() time.Duration { return tcpIdle }
	s.servers = []*dns.Server{
		{PacketConn: pc, Handler: handler},
		{Listener: ln, Handler: handler, IdleTimeout: idle},
	}
	for _, srv := range s.servers {
		// A shutdown before the start would be lost, so Start waits for the start.
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		failed := make(chan struct{})
		s.running.Go(func() {
			defer close(failed)
			if err := srv.ActivateAndServe(); err != nil {
				cfg.Log.Error("development name server stopped", "error", err)
			}
		})
		select {
		case <-started:
		case <-failed:
			return nil, errors.Join(errors.New("devdns: the server did not start"), s.Close())
		}
	}
	return s, nil
}

// listen opens both transports at one port. A port that is free for one may be taken for
// the other, so with port 0 it tries some.
func listen(addr string) (net.PacketConn, net.Listener, error) {
	const tries = 20
	var last error
	for range tries {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		pc, err := net.ListenPacket("udp", ln.Addr().String())
		if err == nil {
			return pc, ln, nil
		}
		last = errors.Join(err, ln.Close())
		if _, port, err := net.SplitHostPort(addr); err != nil || port != "0" {
			break
		}
	}
	return nil, nil, last
}

// Addr is where the server listens: the resolver for onboarding.
func (s *Server) Addr() string { return s.addr }

// Endpoint is where any name server listens as far as this one is concerned: here. It fits
// the field of the same name of the onboarding configuration.
func (s *Server) Endpoint(netip.Addr) string { return s.addr }

// Close stops the server and waits for its goroutines. It may be called again.
func (s *Server) Close() error {
	s.closing.Do(func() {
		var errs []error
		for _, srv := range s.servers {
			// One that did not start has nothing to shut down but its socket.
			if err := srv.Shutdown(); err != nil {
				if srv.PacketConn != nil {
					errs = append(errs, srv.PacketConn.Close())
				}
				if srv.Listener != nil {
					errs = append(errs, srv.Listener.Close())
				}
			}
		}
		s.running.Wait()
		s.err = errors.Join(errs...)
	})
	return s.err
}

func (s *Server) handle(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		return
	}
	m := s.answer(q)
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), false)
		size = int(opt.UDPSize())
	}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); !tcp {
		m.Truncate(size)
	}
	if err := w.WriteMsg(m); err != nil {
		s.cfg.Log.Debug("development name server could not answer", "error", err)
	}
}

func (s *Server) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	switch {
	case !dns.IsSubDomain(tld, name):
		m.Rcode = dns.RcodeRefused
	case name == tld || name == nsName:
		s.registry(m, name, qtype)
	default:
		s.domain(m, name, qtype, q.RecursionDesired)
	}
	return m
}

// registry answers about the top-level name itself and its one server.
func (s *Server) registry(m *dns.Msg, name string, qtype uint16) {
	m.Authoritative = true
	switch {
	case name == tld && qtype == dns.TypeNS:
		m.Answer = []dns.RR{&dns.NS{Hdr: header(tld, dns.TypeNS), Ns: nsName}}
	case name == nsName && qtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: header(nsName, dns.TypeA), A: net.IPv4(127, 0, 0, 1)}}
	default:
		m.Ns = []dns.RR{soa()}
	}
}

// domain answers about the domains below. Who does not ask for recursion asks the registry,
// and is referred to the domain's own servers as a registry does it.
func (s *Server) domain(m *dns.Msg, name string, qtype uint16, recursion bool) {
	domain := name
	for dns.CountLabel(domain) > 2 {
		i, _ := dns.NextLabel(domain, 0)
		domain = domain[i:]
	}
	ns := s.nameServers(domain)
	plain := strings.TrimSuffix(name, ".")
	switch {
	case len(ns) > 0 && !recursion:
		m.Ns = ns
		return
	case len(ns) > 0 && qtype == dns.TypeNS && name == domain:
		m.Answer = ns
		return
	}
	m.Authoritative = !recursion
	if s.cfg.CNAME != nil {
		if target := s.cfg.CNAME(plain); target != "" {
			m.Answer = []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.Fqdn(target)}}
			return
		}
	}
	if s.cfg.TXT != nil && qtype == dns.TypeTXT {
		for _, text := range s.cfg.TXT(plain) {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: split(text)})
		}
	}
	if len(m.Answer) > 0 {
		return
	}
	if len(ns) == 0 && name == domain && !recursion {
		m.Rcode = dns.RcodeNameError
	}
	m.Ns = []dns.RR{soa()}
}

func (s *Server) nameServers(domain string) []dns.RR {
	if s.cfg.NameServers == nil {
		return nil
	}
	var out []dns.RR
	for _, host := range s.cfg.NameServers(strings.TrimSuffix(domain, ".")) {
		out = append(out, &dns.NS{Hdr: header(domain, dns.TypeNS), Ns: dns.Fqdn(host)})
	}
	return out
}

// split makes strings of at most 255 bytes, escaped as the library wants them.
func split(text string) []string {
	var out []string
	for {
		n := min(len(text), 255)
		out = append(out, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text[:n]))
		if text = text[n:]; text == "" {
			return out
		}
	}
}

func header(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
}

func soa() dns.RR {
	return &dns.SOA{
		Hdr: header(tld, dns.TypeSOA), Ns: nsName, Mbox: "admin.test.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}
}
