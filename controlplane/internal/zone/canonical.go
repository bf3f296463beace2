package zone

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Canonical brings a record of the zone origin, as the API gave it, into canonical form, or
// answers with everything that is wrong with it. The ID is kept as it is. A canonical
// record stays as it is.
func (r Record) Canonical(origin string) (Record, []Violation) {
	var vs violations
	keep := func(v *Violation) bool {
		if v != nil {
			vs.add(v.Field, v.Rule, "%s", v.Message)
		}
		return v == nil
	}
	name, v := ownerName(origin, r.Name)
	if keep(v) {
		r.Name = name
	}
	r.Type = Type(strings.ToUpper(string(r.Type)))
	f, known := formOf(r.Type)
	switch {
	case r.Type == "":
		vs.add("type", RuleRequired, "a record needs a type")
	case !known:
		vs.add("type", RuleTypeUnsupported, "%s", unsupportedMessage(string(r.Type)))
	default:
		vs.addAll("", r.canonicalContent(f, origin))
	}
	vs.addAll("", r.settle(origin))
	return r, vs.list
}

// canonicalContent replaces content and priority by their canonical forms.
func (r *Record) canonicalContent(f form, origin string) []Violation {
	var vs violations
	if r.Priority < 0 || r.Priority > 65535 {
		vs.add("priority", RulePriority, "a priority is 0 to 65535")
	} else if r.Priority != 0 && !f.priority {
		vs.add("priority", RuleNoPriority, "a record of type %s has no priority; MX, SRV and URI have", r.Type)
	}
	content, v := r.contentFields(f, origin)
	if v != nil {
		vs.add(v.Field, v.Rule, "%s", v.Message)
	} else {
		r.Content = content
	}
	return vs.list
}

func (r *Record) contentFields(f form, origin string) (string, *Violation) {
	if r.Content == "" {
		return "", violation("content", RuleRequired, "a record needs content: %s", f.like)
	}
	if len(r.Content) > maxContent {
		return "", violation("content", RuleTooLong, "the content is too long")
	}
	if r.Type == TypeTXT {
		text, v := textOf(r.Content)
		if v != nil {
			return "", v
		}
		return textContent(text), nil
	}
	fields, err := fieldsOf(r.Content)
	if err != nil {
		return "", violation("content", RuleContent, "%s", err)
	}
	if f.priority {
		fields = r.takePriority(f, fields)
		p := min(max(r.Priority, 0), 65535)
		fields = append([]string{strconv.Itoa(int(p))}, fields...)
	}
	content, _, v := f.canonical(fields, func(f form, name string) (string, *Violation) {
		return targetName(origin, name, f.root)
	})
	return content, v
}

// takePriority accepts content as zone files have it, with the priority in front, where the
// record gives no other priority.
func (r *Record) takePriority(f form, fields []string) []string {
	if len(fields) != f.fields {
		return fields
	}
	p, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil || r.Priority != 0 && r.Priority != int32(p) {
		return fields
	}
	r.Priority = int32(p)
	return fields[1:]
}

// settle applies the rules that do not depend on where the record came from: TTL, comment,
// what may be proxied and what is ours. It expects name, type and content to be canonical
// and is lenient where they are not, because that is reported already.
func (r *Record) settle(origin string) []Violation {
	var vs violations
	if r.TTL == 0 {
		r.TTL = AutoTTL
	}
	if r.TTL != AutoTTL && (r.TTL < MinTTL || r.TTL > MaxTTL) {
		vs.add("ttl", RuleTTL, "a TTL is 1 for automatic, or %d to %d seconds", MinTTL, MaxTTL)
	}
	if utf8.RuneCountInString(r.Comment) > MaxComment {
		vs.add("comment", RuleTooLong, "a comment has at most %d characters", MaxComment)
	} else if !utf8.ValidString(r.Comment) || strings.ContainsFunc(r.Comment, unicode.IsControl) {
		vs.add("comment", RuleComment, "a comment is one line of text")
	}
	if apex(origin, r.Name) && (r.Type == TypeNS || r.Type == TypeDS) {
		vs.add("type", RuleManaged, "%s records of the site's own name are managed by us", r.Type)
	}
	if strings.HasPrefix(r.Name, "*.") && (r.Type == TypeNS || r.Type == TypeDS) {
		vs.add("name", RuleWildcard, "a record of type %s can't have a wildcard name", r.Type)
	}
	if r.Type == TypeCNAME && r.Content == r.Name {
		vs.add("content", RuleCNAMELoop, "a CNAME can't point to its own name")
	}
	if r.Proxied {
		vs.addAll("", r.checkProxied())
	}
	return vs.list
}

func (r *Record) checkProxied() []Violation {
	var vs violations
	switch r.Type {
	case TypeCNAME:
	case TypeA, TypeAAAA:
		addr, err := netip.ParseAddr(r.Content)
		if err != nil {
			break
		}
		if why, ok := Proxiable(addr); !ok {
			vs.add("content", RuleProxiedAddress, "%s is %s and can't be proxied", r.Content, why)
		}
	default:
		vs.add("proxied", RuleProxiedType, "only records of type A, AAAA and CNAME can be proxied")
	}
	return vs.list
}
