package zone

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// checkData holds the rules on data that the library does not check, because they are about
// meaning and not about form. "" means that all hold.
func checkData(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.AAAA:
		if rr.AAAA.To4() != nil {
			return "an IPv4 address written as IPv6 can't be served; use an A record"
		}
	case *dns.CAA:
		if len(rr.Tag) > 15 || strings.Trim(rr.Tag, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return "the tag of a CAA record is a word, as issue, issuewild or iodef"
		}
	case *dns.DS:
		return checkHex("digest", rr.Digest, map[uint8]int{1: 20, 2: 32, 4: 48}[rr.DigestType])
	case *dns.SSHFP:
		return checkHex("fingerprint", rr.FingerPrint, map[uint8]int{1: 20, 2: 32}[rr.Type])
	case *dns.TLSA:
		if rr.Usage > 3 || rr.Selector > 1 || rr.MatchingType > 2 {
			return "usage is 0 to 3, selector 0 or 1 and matching type 0 to 2"
		}
		return checkHex("data", rr.Certificate, map[uint8]int{1: 32, 2: 64}[rr.MatchingType])
	case *dns.URI:
		if rr.Target == "" {
			return "the target of a URI record is empty"
		}
	}
	return ""
}

// checkHex tests the length, in bytes, of hexadecimal data; 0 is any length but none.
func checkHex(what, hex string, want int) string {
	switch {
	case hex == "":
		return "the " + what + " is empty"
	case want > 0 && len(hex) != 2*want:
		return fmt.Sprintf("a %s of this kind has %d hexadecimal digits, not %d", what, 2*want, len(hex))
	}
	return ""
}
