package dnstest

import (
	"strings"

	"github.com/miekg/dns"
)

// Fault is a way to misbehave. Its matching fields that are empty match everything.
type Fault struct {
	// Name is the question's name or, beginning with a dot, a suffix of it.
	Name string
	// Type is the question's type, as `NS`.
	Type string
	// Network is udp or tcp.
	Network string
	// WithEDNS matches only questions with an OPT record.
	WithEDNS bool
	// Times is how often the fault applies; 0 is always.
	Times int
	// Do is what happens.
	Do Behaviour

	used int
}

// Behaviour is what a faulty server does with a question.
type Behaviour int

// The behaviours.
const (
	// Drop answers nothing.
	Drop Behaviour = iota
	// ServFail answers SERVFAIL.
	ServFail
	// Refuse answers REFUSED.
	Refuse
	// FormErr answers FORMERR without an OPT record, as a server that knows no EDNS0.
	FormErr
	// NXDomain answers NXDOMAIN with authority.
	NXDomain
	// Lame answers an upward referral without authority, as a server that was never told
	// about the zone.
	Lame
	// Truncate sets the TC flag and leaves the records out.
	Truncate
	// Garbage answers bytes that are no DNS message.
	Garbage
	// WrongID answers properly under another ID.
	WrongID
	// WrongQuestion answers another question.
	WrongQuestion
	// NoAuthority answers properly but without the AA flag.
	NoAuthority
	// Forged sends an answer with another ID first and the proper one behind it.
	Forged
)

// faultFor finds the fault for a question and counts its use. The caller holds the lock.
func (n *node) faultFor(network string, q dns.Question, edns bool) *Fault {
	for i := range n.faults {
		f := &n.faults[i]
		name := plain(q.Name)
		switch {
		case f.Name != "" && f.Name != name && (f.Name[0] != '.' || !strings.HasSuffix(name, f.Name)):
		case f.Type != "" && f.Type != dns.TypeToString[q.Qtype]:
		case f.Network != "" && f.Network != network:
		case f.WithEDNS && !edns:
		case f.Times > 0 && f.used >= f.Times:
		default:
			f.used++
			found := *f
			return &found
		}
	}
	return nil
}

// answer misbehaves, and tells whether that was all.
func (f *Fault) answer(w dns.ResponseWriter, q *dns.Msg, proper func(*dns.Msg) *dns.Msg) bool {
	m := new(dns.Msg)
	switch f.Do {
	case Drop:
		return true
	case ServFail:
		m.SetRcode(q, dns.RcodeServerFailure)
	case Refuse:
		m.SetRcode(q, dns.RcodeRefused)
	case FormErr:
		m.SetRcode(q, dns.RcodeFormatError)
	case NXDomain:
		m.SetRcode(q, dns.RcodeNameError)
		m.Authoritative = true
	case Lame:
		m.SetReply(q)
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "a.root.test."}}
	case Truncate:
		m.SetReply(q)
		m.Truncated = true
	case Garbage:
		_, _ = w.Write([]byte("this is not a DNS message")) // the client may be gone
		return true
	case WrongID:
		m = proper(q)
		m.Id ^= 0xffff
	case WrongQuestion:
		m = proper(q)
		m.Question = []dns.Question{{Name: "other.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}
	case NoAuthority:
		m = proper(q)
		m.Authoritative = false
	case Forged:
		m = proper(q)
		m.Id ^= 0xffff
		_ = w.WriteMsg(m) // the client may be gone
		return false
	}
	_ = w.WriteMsg(m) // the client may be gone
	return true
}
