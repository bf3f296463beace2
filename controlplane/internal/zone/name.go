package zone

import (
	"strings"

	"golang.org/x/net/idna"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
)

// labels maps labels to A-labels one at a time: underscores and asterisks, which IDNA has
// not, are in labels that are ASCII already and never get here.
var labelProfile = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.StrictDomainName(true),
	idna.ValidateLabels(true),
)

// apex tells whether name is the zone's own name.
func apex(origin, name string) bool { return name == origin }

func within(origin, name string) bool {
	return name == origin || strings.HasSuffix(name, "."+origin)
}

// ownerName canonicalises the name of a record given through the API.
func ownerName(origin, s string) (string, *Violation) {
	if s == "" {
		return "", violation("name", RuleRequired, "a record needs a name; @ is the site's own name")
	}
	if s == "@" {
		return origin, nil
	}
	name, absolute, v := parseName("name", s)
	if v != nil {
		return "", v
	}
	if !absolute && !within(origin, name) {
		name += "." + origin
	}
	return checkOwner(origin, name)
}

// fileName makes a name of a master file absolute. The root comes back as ".".
func fileName(field, origin, s string) (string, *Violation) {
	if s == "@" {
		if origin == "" {
			return ".", nil
		}
		return origin, nil
	}
	if s == "." {
		return ".", nil
	}
	name, absolute, v := parseName(field, s)
	if v != nil {
		return "", v
	}
	if !absolute && origin != "" {
		name += "." + origin
	}
	if len(name) > domain.MaxLength {
		return "", violation(field, RuleTooLong, "the name is longer than 253 characters")
	}
	return name, nil
}

func checkOwner(origin, name string) (string, *Violation) {
	if len(name) > domain.MaxLength {
		return "", violation("name", RuleTooLong, "the name is longer than 253 characters")
	}
	if !within(origin, name) {
		return "", violation("name", RuleOutsideZone, "%s is not in the zone %s", name, origin)
	}
	if i := strings.LastIndexByte(name, '*'); i > 0 || i == 0 && !strings.HasPrefix(name, "*.") {
		return "", violation("name", RuleWildcard, "an asterisk can only be the whole first label of a name")
	}
	return name, nil
}

// targetName canonicalises an absolute name within content.
func targetName(origin, s string, allowRoot bool) (string, *Violation) {
	switch s {
	case "@":
		return origin, nil
	case ".":
		if allowRoot {
			return ".", nil
		}
		return "", violation("content", RuleTarget, "the target can't be the root")
	}
	name, _, v := parseName("content", s)
	if v != nil {
		return "", v
	}
	return name, checkTarget(name)
}

func checkTarget(name string) *Violation {
	if len(name) > domain.MaxLength {
		return violation("content", RuleTooLong, "the target is longer than 253 characters")
	}
	if strings.Contains(name, "*") {
		return violation("content", RuleTarget, "the target can't be a wildcard")
	}
	if !strings.Contains(name, ".") {
		return violation("content", RuleTarget, "the target %s has one label; write the whole name, as %s.example.com", show(name), name)
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return violation("content", RuleTarget, "the target must be a name; for an address use an A or AAAA record")
	}
	return nil
}

// parseName splits, unescapes and canonicalises the labels of s. absolute tells whether s
// ended in a dot. The result has no final dot.
func parseName(field, s string) (name string, absolute bool, v *Violation) {
	if len(s) > 4*domain.MaxLength {
		return "", false, violation(field, RuleTooLong, "the name is longer than 253 characters")
	}
	labels, absolute, ok := splitName(s)
	if !ok {
		return "", false, violation(field, RuleName, "a name has letters, digits, hyphens, underscores and dots only")
	}
	for i, l := range labels {
		c, v := canonicalLabel(field, l)
		if v != nil {
			return "", false, v
		}
		labels[i] = c
	}
	return strings.Join(labels, "."), absolute, nil
}

// splitName resolves the escapes of master files. An escaped dot is part of a label, which
// no label here may have. Route 53 writes an asterisk as `\052`, in octal; by the standard
// that is the digit 4, which nobody would escape.
func splitName(s string) (labels []string, absolute, ok bool) {
	if rest, found := strings.CutPrefix(s, `\052.`); found {
		s = "*." + rest
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '.':
			labels = append(labels, b.String())
			b.Reset()
			i++
			continue
		case '\\':
			c, n := unescape(s[i:])
			if n == 0 || c == '.' || c >= 0x80 {
				return nil, false, false
			}
			b.WriteByte(c)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	if b.Len() == 0 && len(labels) > 0 {
		return labels, true, true
	}
	return append(labels, b.String()), false, true
}

func canonicalLabel(field, l string) (string, *Violation) {
	if l == "" {
		return "", violation(field, RuleName, "a label of the name is empty")
	}
	if !ascii(l) {
		a, err := labelProfile.ToASCII(l)
		if err == nil {
			var again string
			again, err = labelProfile.ToASCII(a)
			if err == nil && again != a {
				return "", violation(field, RuleName, "%q is not a valid internationalised label", l)
			}
		}
		if err != nil {
			return "", violation(field, RuleName, "%q is not a valid internationalised label", l)
		}
		l = a
	}
	l = strings.ToLower(l)
	if len(l) > domain.MaxLabelLength {
		return "", violation(field, RuleTooLong, "a label of the name is longer than 63 characters")
	}
	for i := range len(l) {
		c := l[i]
		if c != '-' && c != '_' && c != '*' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return "", violation(field, RuleName, "a name has letters, digits, hyphens, underscores and dots only")
		}
	}
	return l, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
