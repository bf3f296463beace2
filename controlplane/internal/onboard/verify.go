package onboard

import (
	"context"
	"strings"

	"github.com/miekg/dns"
)

// CheckTXT tells whether name has a TXT record with the text want. CNAMEs are followed, at
// most eight.
func (c *Checker) CheckTXT(ctx context.Context, name, want string) Result {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Budget)
	defer cancel()
	q := &inquiry{c: c}
	records, at, kind := q.follow(ctx, canonical(name), dns.TypeTXT)
	if kind != OK {
		return q.result(kind, recordReason(kind, "TXT", name, at, want), nil)
	}
	var seen []string
	for _, rr := range records {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		text := textOf(txt)
		if strings.TrimSpace(text) == want {
			return q.result(OK, "the TXT record of "+name+" is in place", []string{text})
		}
		seen = append(seen, text)
	}
	return q.result(Mismatch, "the TXT records of "+name+" do not include "+want, seen)
}

// CheckCNAME tells whether name is an alias of want, directly or by way of at most eight
// CNAMEs. Whether want itself resolves does not matter.
func (c *Checker) CheckCNAME(ctx context.Context, name, want string) Result {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Budget)
	defer cancel()
	q := &inquiry{c: c}
	start, want := canonical(name), canonical(want)
	at := start
	var seen []string
	visited := map[string]bool{start: true}
	for {
		m, kind := q.ask(ctx, at, dns.TypeCNAME, c.cfg.Attempts)
		if m == nil {
			return q.result(kind, recordReason(kind, "CNAME", name, at, want), seen)
		}
		next, ok := cnameOf(m.Answer, at)
		switch {
		case ok && next == want:
			return q.result(OK, "the CNAME record of "+name+" is in place", []string{next})
		case !ok && len(seen) > 0:
			return q.result(Mismatch, name+" is an alias of "+list(seen)+", not of "+want, seen)
		case !ok && kind == NXDomain:
			return q.result(NXDomain, recordReason(NXDomain, "CNAME", name, at, want), nil)
		case !ok:
			return q.result(NoRecord, recordReason(NoRecord, "CNAME", name, at, want), nil)
		}
		seen = append(seen, next)
		if visited[next] || len(seen) > maxHops {
			return q.result(CNAMELoop, recordReason(CNAMELoop, "CNAME", name, next, want), seen)
		}
		visited[next] = true
		at = next
	}
}

func recordReason(kind Kind, what, name, at, want string) string {
	switch kind {
	case NXDomain:
		return at + " does not exist; create the " + what + " record of " + name + " with the value " + want
	case NoRecord:
		return at + " has no " + what + " record; create that of " + name + " with the value " + want
	case CNAMELoop:
		return "the CNAMEs from " + name + " lead in a circle or too far, at " + at
	case Timeout, Unreachable:
		return "the DNS servers of " + name + " could not be reached; we will ask again"
	default:
		return "the DNS servers of " + name + " gave no usable answer; we will ask again"
	}
}

// textOf joins the strings of a TXT record and undoes the library's escapes.
func textOf(rr *dns.TXT) string {
	var b strings.Builder
	for _, s := range rr.Txt {
		for i := 0; i < len(s); i++ {
			if s[i] != '\\' || i+1 == len(s) {
				b.WriteByte(s[i])
				continue
			}
			if i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
				b.WriteByte(100*(s[i+1]-'0') + 10*(s[i+2]-'0') + s[i+3] - '0')
				i += 3
				continue
			}
			i++
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
