package domain

import (
	"iter"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Domain is a canonical domain name. The zero value is no domain; any other value was
// checked by [Policy.Parse]. Domains are comparable: equal names are equal values.
type Domain struct {
	name string
}

// String is the canonical A-label form, as in `xn--bcher-kva.example`. It is the ID of the
// site and what goes into DNS.
func (d Domain) String() string { return d.name }

// IsZero tells whether d is no domain at all.
func (d Domain) IsZero() bool { return d.name == "" }

// Unicode is the form to show to people, as in `bücher.example`. A label that can't be
// decoded, or whose decoded form would not lead back to d, stays as it is.
func (d Domain) Unicode() string { return Display(d.name) }

// Display is the Unicode form of any A-label name, as those in audit events and DNS
// records. It never fails: what does not survive the way there and back is returned
// unchanged.
func Display(name string) string {
	u, err := profile.ToUnicode(name)
	if err != nil {
		return name
	}
	if back, err := profile.ToASCII(u); err != nil || back != name {
		return name
	}
	return u
}

// Registrable tells whether d is one label below a public suffix, and so can be bought and
// delegated. Only such a domain may be set up with our name servers.
func (d Domain) Registrable() bool { return d.name != "" && d.RegistrableDomain() == d }

// RegistrableDomain is the name one label below the public suffix that d belongs to; it is
// d itself or an ancestor. A top-level name that is on no list, as `test`, is a suffix.
func (d Domain) RegistrableDomain() Domain {
	r, err := publicsuffix.EffectiveTLDPlusOne(d.name)
	if err != nil {
		return Domain{}
	}
	return Domain{name: r}
}

// PublicSuffix is the suffix that d lies under, as `co.uk`.
func (d Domain) PublicSuffix() string {
	s, _ := publicsuffix.PublicSuffix(d.name)
	return s
}

// IsAncestorOf tells whether other lies below d. A domain is not its own ancestor.
func (d Domain) IsAncestorOf(other Domain) bool {
	return d.name != "" && len(other.name) > len(d.name)+1 && strings.HasSuffix(other.name, "."+d.name)
}

// Related tells whether one of the two is the other or an ancestor of it: the test behind
// the rule that a name with another account's active ancestor or descendant is refused.
func (d Domain) Related(other Domain) bool {
	return d == other && d.name != "" || d.IsAncestorOf(other) || other.IsAncestorOf(d)
}

// Ancestors yields the names above d that could be sites, nearest first: every parent down
// to and including the registrable domain, never a public suffix.
func (d Domain) Ancestors() iter.Seq[Domain] {
	return func(yield func(Domain) bool) {
		top := d.RegistrableDomain()
		if top.IsZero() {
			return
		}
		for name := d.name; name != top.name; {
			_, parent, ok := strings.Cut(name, ".")
			if !ok || !yield(Domain{name: parent}) {
				return
			}
			name = parent
		}
	}
}

// ReverseKey is the name with its labels in reverse order and a dot at the end
// (`com.example.www.`). Sorted by it, all descendants of a domain stand directly behind it,
// so that a store finds them with one range.
func (d Domain) ReverseKey() string {
	labels := strings.Split(d.name, ".")
	var b strings.Builder
	b.Grow(len(d.name) + 1)
	for _, l := range slices.Backward(labels) {
		b.WriteString(l)
		b.WriteByte('.')
	}
	return b.String()
}
