package expression

import (
	"strings"
)

const methodLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"

// check refuses conditions that hold for every request, or for none, because the field
// never has such a value.
func (p *parser) check(c condition, value token) error {
	if c.value == "" {
		return p.fail(value.at, "the text is empty")
	}
	if c.op == opMatches {
		return nil
	}
	if c.op != opEqual && (c.field == fieldMethod || c.field == fieldCountry) {
		return p.fail(value.at, "%s works on path and host only", c.op)
	}
	if why := never(c); why != "" {
		err := p.fail(value.at, "no request has such a %s: %s", c.field, why)
		err.Impossible = true
		return err
	}
	if c.field == fieldHost {
		p.hosts = append(p.hosts, hostCondition{condition: c, column: p.fail(value.at, "").Column})
	}
	return nil
}

// never says why a field never has the value of a condition.
func never(c condition) string {
	v := c.value
	switch c.field {
	case fieldPath:
		switch {
		case c.op != opEndsWith && v[0] != '/':
			return "a path begins with a slash"
		case strings.ContainsAny(v, "?#"):
			return "it has neither query string nor fragment"
		case strings.ContainsAny(v, " \""):
			return "spaces and quotes are percent-encoded"
		}
	case fieldMethod:
		if len(v) > 20 || strings.Trim(v, methodLetters) != "" {
			return "methods are written in capitals"
		}
	case fieldHost:
		switch {
		case strings.ToLower(v) != v:
			return "it is in lower case"
		case len(v) > 253 || strings.ContainsAny(v, "/: \"?#@"):
			return "it is a host name without port"
		}
	case fieldCountry:
		if v != UnknownCountry && !IsCountry(v) {
			return "it is a code of ISO 3166-1 alpha-2, in capitals"
		}
	}
	return ""
}
