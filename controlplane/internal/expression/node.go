package expression

import (
	"fmt"
	"regexp"
	"strings"
)

// Request is what an expression looks at.
type Request struct {
	// Path begins with a slash and has no query string.
	Path string
	// Method is in capitals.
	Method string
	// Host is in lower case, without port.
	Host string
	// Country is an ISO 3166-1 alpha-2 code, or `XX`.
	Country string
}

type field string

const (
	fieldPath    field = "path"
	fieldMethod  field = "method"
	fieldHost    field = "host"
	fieldCountry field = "country"
)

func (r *Request) get(f field) string {
	switch f {
	case fieldPath:
		return r.Path
	case fieldMethod:
		return r.Method
	case fieldHost:
		return r.Host
	default:
		return r.Country
	}
}

type operator string

const (
	opEqual      operator = "="
	opMatches    operator = "matches"
	opStartsWith operator = "startsWith"
	opEndsWith   operator = "endsWith"
)

type node interface {
	match(r *Request) bool
}

// condition looks at one field.
type condition struct {
	field field
	op    operator
	value string
	re    *regexp.Regexp
}

func (c condition) match(r *Request) bool { return c.holds(r.get(c.field)) }

func (c condition) holds(v string) bool {
	switch c.op {
	case opEqual:
		return v == c.value
	case opStartsWith:
		return strings.HasPrefix(v, c.value)
	case opEndsWith:
		return strings.HasSuffix(v, c.value)
	default:
		return c.re.MatchString(v)
	}
}

func (c condition) String() string {
	if c.op == opEqual {
		return fmt.Sprintf("%s = %q", c.field, c.value)
	}
	return fmt.Sprintf("%s(%s, %q)", c.op, c.field, c.value)
}

type not struct{ inner node }

func (n not) match(r *Request) bool { return !n.inner.match(r) }

type anyOf []node

func (n anyOf) match(r *Request) bool {
	for _, term := range n {
		if term.match(r) {
			return true
		}
	}
	return false
}

type allOf []node

func (n allOf) match(r *Request) bool {
	for _, term := range n {
		if !term.match(r) {
			return false
		}
	}
	return true
}

// flatten makes one level of nested conjunctions.
func flatten(terms []node) allOf {
	var out allOf
	for _, t := range terms {
		if inner, ok := t.(allOf); ok {
			out = append(out, inner...)
			continue
		}
		out = append(out, t)
	}
	return out
}

// contradiction finds a condition that fails for the only value which another one leaves
// to its field. It is no proof that the rest can be met, but finds what people write by
// mistake.
func (n allOf) contradiction() string {
	for _, t := range n {
		fixed, ok := t.(condition)
		if !ok || fixed.op != opEqual {
			continue
		}
		for _, other := range n {
			c, negated, ok := leaf(other)
			if ok && c.field == fixed.field && c.holds(fixed.value) == negated {
				word := ""
				if negated {
					word = "NOT "
				}
				return fmt.Sprintf("%v excludes %s%v", fixed, word, c)
			}
		}
	}
	return ""
}

func leaf(n node) (c condition, negated, ok bool) {
	for {
		switch t := n.(type) {
		case condition:
			return t, negated, true
		case not:
			n, negated = t.inner, !negated
		default:
			return condition{}, false, false
		}
	}
}
