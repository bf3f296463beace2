package zone

import (
	"net/netip"
	"strconv"
	"strings"
)

// ttlState is what a record without a TTL takes its own from. -1 is nothing.
type ttlState struct {
	// byDirective is from `$TTL` (RFC 2308).
	byDirective int64
	// last is the last explicit one (RFC 1035).
	last int64
}

var noTTLs = ttlState{-1, -1}

func (s *ttlState) explicit(ttl int64) {
	if ttl >= 0 {
		s.last = ttl
	}
}

// of is the TTL of a record; AutoTTL where the file says nothing at all.
func (s *ttlState) of(ttl int64) int64 {
	s.explicit(ttl)
	for _, t := range []int64{ttl, s.byDirective, s.last} {
		if t >= 0 {
			return t
		}
	}
	return AutoTTL
}

// parseTTL reads seconds, or numbers with the units w, d, h, m and s.
func parseTTL(s string) (int64, bool) {
	const most = 1<<31 - 1
	var total, n int64
	digits := false
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' {
			n = 10*n + int64(c-'0')
			if n > most {
				return 0, false
			}
			digits = true
			continue
		}
		unit := map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[c|0x20]
		if unit == 0 || !digits {
			return 0, false
		}
		total += n * unit
		if total > most {
			return 0, false
		}
		n, digits = 0, false
	}
	if total += n; s == "" || total > most {
		return 0, false
	}
	return total, true
}

func uintString(n uint16) string { return strconv.FormatUint(uint64(n), 10) }

// store makes the record of one line.
func (p *fileParser) store(l logicalLine, f form, fields []string, ttl int64) {
	r := Record{Type: f.t, TTL: p.ttl(l.line, ttl)}
	name, v := checkOwner(p.zone, p.owner)
	if v != nil {
		p.fail(l.line, v.Rule, "%s", v.Message)
		return
	}
	r.Name = name
	if len(fields) == 0 {
		p.fail(l.line, RuleRequired, "the record has no data: for %s it is %s", f.t, f.like)
		return
	}
	if v := p.data(l, f, fields, &r); v != nil {
		p.fail(l.line, v.Rule, "%s", v.Message)
		return
	}
	if why := r.applyTag(l.comment); why != "" {
		p.fail(l.line, RuleTag, "%s", why)
		return
	}
	broken := r.settle(p.zone)
	for _, v := range broken {
		p.fail(l.line, v.Rule, "%s", v.Message)
	}
	if len(broken) > 0 {
		return
	}
	k := wire{r.Name, r.Content, r.Type, r.Priority}
	if first, ok := p.seen[k]; ok {
		p.file.Ignored.add(l.line, NoteDuplicate, "the record is the same as that of line %d", first)
		return
	}
	p.seen[k] = l.line
	p.file.Records = append(p.file.Records, r)
	p.file.Lines = append(p.file.Lines, l.line)
}

func (p *fileParser) ttl(line int, explicit int64) int32 {
	ttl := p.ttls.of(explicit)
	if ttl == AutoTTL {
		return AutoTTL
	}
	in := min(max(ttl, MinTTL), MaxTTL)
	if in != ttl {
		p.file.Warnings.add(line, NoteTTL, "the TTL of %d seconds became %d", ttl, in)
	}
	return int32(in)
}

// data fills in content and priority.
func (p *fileParser) data(l logicalLine, f form, fields []string, r *Record) (v *Violation) {
	if fields[0] == `\#` {
		rr := f.parse("unknown.", 0, fields)
		if rr == nil {
			return violation("content", RuleContent, "the data in the form of unknown types does not fit type %s", f.t)
		}
		known, err := fieldsOf(data(rr))
		if err != nil {
			return f.malformed()
		}
		fields = known
	}
	if f.t == TypeTXT {
		return p.text(l, fields, r)
	}
	r.Content, r.Priority, v = f.canonical(fields, func(f form, s string) (string, *Violation) {
		if _, err := netip.ParseAddr(s); err == nil {
			// Taken as a relative name it would be valid, and surely not what was meant.
			return "", violation("content", RuleTarget, "the target must be a name; for an address use an A or AAAA record")
		}
		name, v := fileName("content", p.origin, s)
		if v != nil || f.root && name == "." {
			return name, v
		}
		return name, checkTarget(name)
	})
	return v
}

func (p *fileParser) text(l logicalLine, fields []string, r *Record) *Violation {
	text, err := joinText(fields)
	if err != nil {
		return violation("content", RuleContent, "%s", err)
	}
	if v := checkText(text); v != nil {
		return v
	}
	bare := 0
	for _, s := range fields {
		if !strings.HasPrefix(s, `"`) {
			bare++
		}
	}
	if bare > 1 {
		p.file.Warnings.add(l.line, NoteUnquotedTXT, "words without quotes are separate strings of a TXT record: they were joined without blanks to %s; "+
			"put a text that has blanks in quotes", show(text))
	}
	r.Content = textContent(text)
	return nil
}
