package onboard

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

const (
	// maxFound bounds the records that a scan proposes.
	maxFound = 500
	// maxMentioned bounds the names that are looked at because a record mentions them.
	maxMentioned = 32
)

// Found is what a scan saw.
type Found struct {
	// Records are canonical, without IDs, free of conflicts, unproxied, in canonical order;
	// at most 500. They are a proposal: names that nobody thinks of are not in it.
	Records []zone.Record
	// NameServers are those that the domain has today, sorted.
	NameServers []string
	// Wildcard tells whether the domain answers for names that nobody made.
	Wildcard bool
	// Incomplete are the names of which a question was not answered, sorted.
	Incomplete []string
}

// ScanError says that nothing could be found out about a domain.
type ScanError struct {
	// Result is the failure of the first question.
	Result Result
}

func (e *ScanError) Error() string { return "onboard: scan: " + e.Result.Reason }

// Scan proposes the records of a domain by asking for its own and for those of common names
// below it. It asks a few hundred questions, some at a time; those for which the budget does
// not suffice make their names incomplete. The error is a [*ScanError] or that of the
// context.
func (c *Checker) Scan(callers context.Context, domain string) (Found, error) {
	ctx, cancel := context.WithTimeout(callers, c.cfg.Budget)
	defer cancel()
	q := &inquiry{c: c}
	m, kind := q.ask(ctx, domain, dns.TypeNS, c.cfg.Attempts)
	if m == nil || kind == NXDomain {
		if err := callers.Err(); err != nil {
			return Found{}, err
		}
		return Found{}, &ScanError{Result: q.result(kind, recordReason(kind, "NS", domain, domain, "of the registrar's choice"), nil)}
	}
	s := scan{c: c, domain: domain}
	found := Found{NameServers: hostsOf(recordsOf(m.Answer, domain, dns.TypeNS))}

	own := s.look(ctx, job{name: domain, types: []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypeCAA, dns.TypeHTTPS}})
	wild := s.look(ctx, job{name: "w" + strings.ToLower(rand.Text()) + "." + domain, types: []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT}})
	found.Wildcard = len(wild.records) > 0

	seen := map[string]bool{domain: true}
	round := s.round(ctx, s.jobs(c.cfg.ScanNames, seen))
	mentioned := s.mentioned(append([]answers{own}, round...))
	round = append(round, s.round(ctx, s.jobs(mentioned, seen))...)
	if err := callers.Err(); err != nil {
		return Found{}, err
	}
	found.Records = s.collect(own, wild, round)
	for _, a := range append(round, own, wild) {
		if a.incomplete {
			found.Incomplete = append(found.Incomplete, a.name)
		}
	}
	slices.Sort(found.Incomplete)
	return found, nil
}

type scan struct {
	c      *Checker
	domain string
}

// job is one name and what it is asked for.
type job struct {
	name  string
	types []uint16
}

// answers is what a name has.
type answers struct {
	name       string
	records    []dns.RR
	incomplete bool
}

// jobs chooses the types by the form of the names, relative to the domain, leaving out names
// that were taken before.
func (s scan) jobs(names []string, seen map[string]bool) []job {
	var out []job
	for _, n := range names {
		j := job{name: canonical(n) + "." + s.domain}
		if seen[j.name] {
			continue
		}
		seen[j.name] = true
		switch {
		case strings.HasSuffix(n, "._tcp"), strings.HasSuffix(n, "._udp"), n == "_sip._tls":
			j.types = []uint16{dns.TypeSRV}
		case strings.Contains(n, "_"):
			j.types = []uint16{dns.TypeTXT}
		default:
			j.types = []uint16{dns.TypeA, dns.TypeAAAA}
		}
		out = append(out, j)
	}
	return out
}

// round looks at many names, some at a time; the order of the answers is that of the jobs.
func (s scan) round(ctx context.Context, jobs []job) []answers {
	out := make([]answers, len(jobs))
	var g errgroup.Group
	g.SetLimit(s.c.cfg.ScanConcurrency)
	for i, j := range jobs {
		g.Go(func() error {
			out[i] = s.look(ctx, j)
			return nil
		})
	}
	_ = g.Wait() // the functions return no error
	return out
}

// look asks for the types of one name. A CNAME stands for all of them, and a name that does
// not exist has none.
func (s scan) look(ctx context.Context, j job) answers {
	out := answers{name: j.name}
	q := &inquiry{c: s.c}
	for _, t := range j.types {
		m, kind := q.ask(ctx, j.name, t, min(2, s.c.cfg.Attempts))
		if m == nil {
			out.incomplete = true
			continue
		}
		if alias := recordsOf(m.Answer, j.name, dns.TypeCNAME); len(alias) > 0 {
			out.records = append(out.records, alias...)
			return out
		}
		if kind == NXDomain {
			return out
		}
		out.records = append(out.records, recordsOf(m.Answer, j.name, t)...)
	}
	return out
}

// mentioned are the names below the domain to which its records point, relative to it.
func (s scan) mentioned(all []answers) []string {
	var out []string
	add := func(target string) {
		rel, ok := strings.CutSuffix(canonical(target), "."+s.domain)
		if ok && len(out) < maxMentioned && !strings.Contains(rel, "_") {
			out = append(out, rel)
		}
	}
	for _, a := range all {
		for _, rr := range a.records {
			switch rr := rr.(type) {
			case *dns.MX:
				add(rr.Mx)
			case *dns.SRV:
				add(rr.Target)
			case *dns.CNAME:
				add(rr.Target)
			}
		}
	}
	return out
}

// collect makes a zone of what was seen, leaving out what can't be in one and what only the
// wildcard made.
func (s scan) collect(own, wild answers, round []answers) []zone.Record {
	z := zone.New(s.domain)
	keep := func(name string, rr dns.RR) {
		if z.Len() >= maxFound {
			return
		}
		rr = dns.Copy(rr)
		rr.Header().Name = dns.Fqdn(name)
		r, broken := zone.FromRR(s.domain, rr)
		if len(broken) > 0 {
			return
		}
		if after, _, err := z.Apply(zone.Batch{Creates: []zone.Record{r}}, zone.Limits{}, func() string { return "" }); err == nil {
			z = after
		}
	}
	for _, rr := range own.records {
		keep(s.domain, rr)
	}
	for _, rr := range wild.records {
		keep("*."+s.domain, rr)
	}
	fromWildcard := dataSet(wild.records)
	for _, a := range round {
		if set := dataSet(a.records); set == "" || len(wild.records) > 0 && covered(a.records, wild.records, set, fromWildcard) {
			continue
		}
		for _, rr := range a.records {
			keep(a.name, rr)
		}
	}
	return z.Sorted()
}

// covered tells whether a name has just what the wildcard gives it. A name that was asked
// for addresses only is compared with the wildcard's addresses.
func covered(records, wild []dns.RR, set, all string) bool {
	if set == all {
		return true
	}
	var same []dns.RR
	for _, w := range wild {
		if slices.ContainsFunc(records, func(r dns.RR) bool {
			return r.Header().Rrtype == w.Header().Rrtype || isAddress(r) && isAddress(w)
		}) {
			same = append(same, w)
		}
	}
	return set == dataSet(same)
}

func isAddress(rr dns.RR) bool {
	return rr.Header().Rrtype == dns.TypeA || rr.Header().Rrtype == dns.TypeAAAA
}

// dataSet is the types and data of records, without names, TTLs and order.
func dataSet(records []dns.RR) string {
	var lines []string
	for _, rr := range records {
		lines = append(lines, fmt.Sprint(rr.Header().Rrtype, strings.TrimPrefix(rr.String(), rr.Header().String())))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
