package zone

import (
	"strings"

	"github.com/miekg/dns"
)

// fileParser turns logical lines into records. Its state is what a master file carries from
// line to line.
type fileParser struct {
	zone       string
	maxRecords int

	// origin is the current origin, "" for the root.
	origin string
	// owner is that of the last record, valid if hasOwner; a bad one silences its heirs,
	// which would only repeat the error.
	owner              string
	hasOwner, badOwner bool
	ttls               ttlState

	seen map[wire]int
	file File
	errs []LineError
	// moreErrs is how many errors are not kept.
	moreErrs int
}

func newFileParser(src []byte, zone string, maxRecords int) *fileParser {
	return &fileParser{file: File{src: src}, zone: zone, origin: zone, maxRecords: maxRecords, ttls: noTTLs, seen: make(map[wire]int)}
}

func (p *fileParser) run() {
	lex := newLexer(p.file.src)
	for {
		l, ok := lex.next()
		if !ok {
			return
		}
		switch {
		case l.fault != "":
			p.fail(l.faultLine, RuleFileSyntax, "%s", l.fault)
		case !l.indented && strings.HasPrefix(l.tokens[0].text, "$"):
			p.directive(l)
		default:
			p.record(l)
		}
		if len(p.file.Records) > p.maxRecords {
			p.fail(l.line, RuleTooManyRecords, "the file has more than %d records", p.maxRecords)
			return
		}
	}
}

func (p *fileParser) directive(l logicalLine) {
	name := strings.ToUpper(l.tokens[0].text)
	switch name {
	case "$ORIGIN", "$TTL":
		if len(l.tokens) != 2 {
			p.fail(l.line, RuleFileSyntax, "%s takes one value", name)
			return
		}
	case "$INCLUDE":
		p.fail(l.line, RuleDirective, "$INCLUDE is not allowed: paste the other file in its place")
		return
	case "$GENERATE":
		p.fail(l.line, RuleDirective, "$GENERATE is not allowed: write the records out")
		return
	default:
		p.fail(l.line, RuleDirective, "%s is not a directive of master files", show(l.tokens[0].text))
		return
	}
	value := l.tokens[1]
	if name == "$TTL" {
		ttl, ok := parseTTL(value.text)
		if !ok {
			p.fail(value.line, RuleTTL, "%s is not a TTL, as 3600 or 1h30m", show(value.text))
			return
		}
		p.ttls.byDirective = ttl
		return
	}
	origin, v := fileName("name", p.origin, value.text)
	if v != nil {
		p.fail(value.line, v.Rule, "%s", v.Message)
		return
	}
	p.origin = strings.TrimSuffix(origin, ".")
}

// record reads one entry: [owner] [TTL] [class] type data, TTL and class in any order.
func (p *fileParser) record(l logicalLine) {
	rest := l.tokens
	if !l.indented {
		p.setOwner(rest[0])
		rest = rest[1:]
	} else if !p.hasOwner {
		p.fail(l.line, RuleNoOwner, "the line begins with a blank, but no record is above it whose name it could take")
		return
	}
	ttl, rest, ok := p.ttlAndClass(l, rest)
	if !ok || p.badOwner {
		return
	}
	if len(rest) == 0 {
		p.fail(l.line, RuleFileSyntax, "the line has no record type")
		return
	}
	t, at := typeName(rest[0].text), rest[0].line
	fields := make([]string, 0, len(rest)-1)
	for _, f := range rest[1:] {
		fields = append(fields, f.text)
	}
	if p.skip(l.line, t, fields, ttl) {
		return
	}
	if p.owner != p.zone && !within(p.zone, p.owner) {
		p.fail(l.line, RuleOutsideZone, "%s is not in the zone %s", p.owner, p.zone)
		return
	}
	f, known := formOf(t)
	if !known {
		p.fail(at, RuleTypeUnsupported, "%s", unsupportedMessage(string(t)))
		return
	}
	p.store(l, f, fields, ttl)
}

func (p *fileParser) setOwner(t token) {
	name, v := fileName("name", p.origin, t.text)
	p.hasOwner, p.badOwner = true, v != nil
	if v != nil {
		p.fail(t.line, v.Rule, "%s", v.Message)
		return
	}
	p.owner = name
}

// ttlAndClass takes what may stand between owner and type. -1 is no TTL.
func (p *fileParser) ttlAndClass(l logicalLine, rest []token) (ttl int64, after []token, ok bool) {
	ttl = -1
	class := false
	for len(rest) > 0 {
		text := strings.ToUpper(rest[0].text)
		n, isTTL := parseTTL(text)
		_, isClass := dns.StringToClass[text]
		switch {
		case strings.HasPrefix(text, "[AGE:"):
			// Windows DNS writes the age of dynamic records here.
		case isTTL && ttl < 0:
			ttl = n
		case (isClass || strings.HasPrefix(text, "CLASS")) && !class:
			class = true
			if text != "IN" && text != "CLASS1" {
				p.fail(l.line, RuleClass, "%s records can't be stored; the class is IN", show(text))
				return 0, nil, false
			}
		default:
			return ttl, rest, true
		}
		rest = rest[1:]
	}
	return ttl, nil, true
}

// typeName is the mnemonic of a type that may be given as a number (RFC 3597).
func typeName(s string) Type {
	s = strings.ToUpper(s)
	if n, ok := strings.CutPrefix(s, "TYPE"); ok {
		for code, name := range dns.TypeToString {
			if n == uintString(code) {
				return Type(name)
			}
		}
	}
	return Type(s)
}

// skip leaves out what is ours to make, and reports whether it did or found it wrong.
func (p *fileParser) skip(line int, t Type, fields []string, ttl int64) bool {
	switch t {
	case "SOA":
		p.soa(line, fields, ttl)
		return true
	case TypeNS:
		if p.owner != p.zone {
			return false
		}
		p.ttls.explicit(ttl)
		p.file.Ignored.add(line, NoteManaged, "the NS records of %s are managed by us", p.zone)
		return true
	case "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY":
		p.ttls.explicit(ttl)
		p.file.Ignored.add(line, NoteDNSSEC, "%s records are made when a zone is signed and are not imported", t)
		return true
	default:
		return false
	}
}

// soa takes from the SOA the one thing that matters to other records, and uses its name to
// find out whether this is the right file. Where no TTL was given before, the SOA's last
// field becomes the default, as in BIND; Windows writes its files so. Some providers leave
// the final dot of the SOA's name out, and of no other: relative to the zone, it can mean
// nothing but the zone itself.
func (p *fileParser) soa(line int, fields []string, ttl int64) {
	if p.owner == p.zone+"."+p.zone {
		p.owner = p.zone
	}
	if p.owner != p.zone {
		p.fail(line, RuleOutsideZone, "the SOA is of %s: this is not the file of %s", p.owner, p.zone)
		return
	}
	bad := len(fields) != 7
	for i := 2; i < len(fields) && !bad; i++ {
		_, ok := parseTTL(fields[i])
		bad = !ok
	}
	if bad {
		p.fail(line, RuleContent, "the SOA has two names and five numbers")
		return
	}
	p.ttls.explicit(ttl)
	if p.ttls == noTTLs {
		p.ttls.byDirective, _ = parseTTL(fields[6])
	}
	p.file.Ignored.add(line, NoteManaged, "the SOA record is managed by us")
}
