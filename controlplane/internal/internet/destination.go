package internet

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// CheckDestination returns what keeps the edge from an address, an IP address or a host name:
// nil or a [*Problem]. What a name resolves to is judged where it is dialled.
func CheckDestination(address string) error {
	if addr, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
		if addr.Zone() != "" {
			return malformed("address", "has a zone, which means something on one machine only")
		}
		if why, ok := zone.Proxiable(addr); !ok {
			return impossible("public_address", "is %s: the edge reaches public addresses only", why)
		}
		return nil
	}
	host, ok := HostName(address)
	switch {
	case !ok:
		return malformed("host", "is neither an IP address nor a host name")
	case !strings.Contains(host, "."):
		return malformed("host", "has no dot: the edge resolves public names only")
	case numeric(host[strings.LastIndexByte(host, '.')+1:]):
		return malformed("host", "looks like an IP address and is none")
	case privateName(host):
		return impossible("public_name", "is not a public name")
	}
	return nil
}

// CheckURL returns what keeps the edge from fetching a URL: nil or a [*Problem].
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return malformed("url", "is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return malformed("url", "must be absolute, with http or https")
	case u.User != nil || u.Fragment != "":
		return malformed("url", "must have neither a user nor a fragment")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return malformed("url", "must have a port of 1 to 65535, or none")
		}
	}
	return CheckDestination(u.Hostname())
}

// privateName says whether a name never is in the public DNS.
func privateName(host string) bool {
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "localhost", "local", "invalid", "onion", "internal", "alt", "arpa", "lan", "home", "corp", "localdomain", "intranet":
		return true
	}
	return false
}

// HostName is a host name in A-labels and lower case, without a final dot.
func HostName(s string) (string, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || strings.ContainsAny(s, "/:@?#%\\ \t\r\n*") {
		return "", false
	}
	host, err := idna.Lookup.ToASCII(s)
	if err != nil {
		// An underscore is no host name, but some origins have one.
		host = strings.ToLower(s)
	}
	if len(host) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return "", false
			}
		}
	}
	return host, true
}

func numeric(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil
}
