package domain

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

const (
	// MaxLength is the longest name in bytes, without the trailing dot (RFC 1035: 255 on
	// the wire, with the length bytes and the root).
	MaxLength = 253
	// MaxLabelLength is the longest label in bytes.
	MaxLabelLength = 63
	// A U-label is shorter in characters than its A-label but may be longer in bytes; four
	// bytes for each of 253 is more than any valid name needs. Longer input never reaches
	// the IDNA tables.
	maxInput = 4 * MaxLength
)

// profile is UTS 46 for look-ups, non-transitional, with the checks of a registry: upper
// case, full-width letters and the ideographic dot are mapped, what is left must be valid.
var profile = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.CheckHyphens(true),
	idna.CheckJoiners(true),
	idna.StrictDomainName(true),
	idna.ValidateLabels(true),
)

// reserved are the names that are never in the public DNS (RFC 6761, 6762, 7686, 8375,
// 9476 and ICANN's `internal`) or that nobody can register (`arpa`, which holds home.arpa).
// `test` and the example names are not here: development and documentation use them.
var reserved = map[string]string{
	"localhost": "it always means the machine itself",
	"local":     "it is for names on a local network",
	"invalid":   "it is reserved so that it never exists",
	"onion":     "it is for Tor and is not in the DNS",
	"arpa":      "it is for the infrastructure of the Internet",
	"internal":  "it is for private networks",
	"alt":       "it is for names outside the DNS",
}

// Policy is what a deployment adds to the general rules. The zero value adds nothing.
type Policy struct {
	// OwnZones are names of the CDN itself, canonical; they and all names below them are
	// refused, so that nobody can onboard the host names that others point to.
	OwnZones []string
}

// Parse canonicalises s by the zero [Policy]. The error is an [*Error].
func Parse(s string) (Domain, error) { return Policy{}.Parse(s) }

// Parse canonicalises s, which may be Unicode, of any case, with one trailing dot, and
// refuses what can't be onboarded. The error is an [*Error]. The result parses to itself.
func (p Policy) Parse(s string) (Domain, error) {
	name, err := canonical(s)
	if err != nil {
		return Domain{}, err
	}
	if err := p.admissible(s, name); err != nil {
		return Domain{}, err
	}
	return Domain{name: name}, nil
}

// canonical applies the rules of form.
func canonical(s string) (string, error) {
	if err := checkInput(s); err != nil {
		return "", err
	}
	name, err := profile.ToASCII(s)
	if err != nil {
		return "", classify(s, err)
	}
	// Mapping may have turned another script's dot into one at the end.
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "", refuse(s, RuleEmpty, "the name is empty")
	}
	if len(name) > MaxLength {
		return "", refuse(s, RuleTooLong, "the name is longer than 253 characters")
	}
	// The library maps some labels to A-labels that it then refuses; a canonical name must
	// canonicalise to itself.
	if again, err := profile.ToASCII(name); err != nil || again != name {
		return "", refuse(s, RuleIDNA, "the name is not a valid internationalised domain name")
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if err := checkLabel(s, l); err != nil {
			return "", err
		}
	}
	if last := labels[len(labels)-1]; isNumeric(last) {
		return "", refuse(s, RuleIPAddress, "an IP address is not a domain")
	}
	return name, nil
}

// checkInput refuses what has a better explanation than an IDNA error.
func checkInput(s string) error {
	if s == "" || s == "." {
		return refuse(s, RuleEmpty, "the name is empty")
	}
	if len(s) > maxInput {
		return refuse(s, RuleTooLong, "the name is longer than 253 characters")
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return refuse(s, RuleIPAddress, "an IP address is not a domain")
	}
	if strings.Contains(s, "*") {
		return refuse(s, RuleWildcard, "a wildcard is not a domain; onboard the domain and add a wildcard record to it")
	}
	if strings.ContainsAny(s, "/:@?#%\\ \t\r\n\x00") {
		return refuse(s, RuleCharacters, "give the domain alone, without scheme, port, path or spaces")
	}
	if strings.Contains(s, "_") {
		return refuse(s, RuleUnderscore, "a domain has no underscore")
	}
	return nil
}

func checkLabel(input, label string) error {
	switch {
	case label == "":
		return refuse(input, RuleEmptyLabel, "a label between two dots is empty")
	case len(label) > MaxLabelLength:
		return refuse(input, RuleLabelTooLong, "a label is longer than 63 characters")
	case label[0] == '-' || label[len(label)-1] == '-':
		return refuse(input, RuleCharacters, "a label does not begin or end with a hyphen")
	}
	for i := range len(label) {
		c := label[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return refuse(input, RuleCharacters, "a domain has letters, digits, hyphens and dots only")
		}
	}
	return nil
}

// classify turns the library's error into one of ours: plain ASCII that it refuses is about
// characters, the rest about IDNA.
func classify(s string, err error) *Error {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return refuse(s, RuleIDNA, "the name is not a valid internationalised domain name: "+
				strings.TrimPrefix(err.Error(), "idna: "))
		}
	}
	if strings.Contains(strings.ToLower(s), "xn--") {
		return refuse(s, RuleIDNA, "a label that begins with xn-- is not a valid internationalised name")
	}
	return refuse(s, RuleCharacters, "a domain has letters, digits, single hyphens and dots only")
}

// admissible applies the rules that need the canonical name.
func (p Policy) admissible(input, name string) error {
	top := name[strings.LastIndexByte(name, '.')+1:]
	if why, ok := reserved[top]; ok {
		return refuse(input, RuleReserved, "names under "+top+" can't be onboarded: "+why)
	}
	if top == name {
		return refuse(input, RuleSingleLabel, "a domain has at least two labels, as example.com")
	}
	for _, own := range p.OwnZones {
		if name == own || strings.HasSuffix(name, "."+own) {
			return refuse(input, RuleOwnZone, "names under "+own+" belong to this service")
		}
	}
	if suffix, _ := publicsuffix.PublicSuffix(name); suffix == name {
		return refuse(input, RulePublicSuffix, name+" is a public suffix: others register names under it")
	}
	return nil
}

func isNumeric(label string) bool {
	for i := range len(label) {
		if label[i] < '0' || label[i] > '9' {
			return false
		}
	}
	return label != ""
}
