package expression

import (
	"fmt"
	"strings"
)

// hostCondition is a comparison of the host with a text, and the column of that text.
type hostCondition struct {
	condition

	column int
}

// CheckHost returns an [*Error] for the first comparison of the host that has the same outcome
// for every request of a site, because none of its hosts is such a one: they are its domain and
// the names below. Regular expressions are not looked into.
func (e *Expr) CheckHost(domain string) error {
	for _, c := range e.hosts {
		if !c.meets(domain) {
			return &Error{
				Column: c.column, Impossible: true,
				Reason: fmt.Sprintf("no request of %s has such a host: it is %s, or ends with .%s", domain, domain, domain),
			}
		}
	}
	return nil
}

// meets says whether the domain or any name below it meets the condition.
func (c hostCondition) meets(domain string) bool {
	switch below := "." + domain; c.op {
	case opEqual:
		return c.value == domain || len(c.value) > len(below) && strings.HasSuffix(c.value, below)
	case opEndsWith:
		return strings.HasSuffix(below, c.value) || strings.HasSuffix(c.value, below)
	default:
		return true // Any label can begin a name below.
	}
}
