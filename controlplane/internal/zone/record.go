package zone

import (
	"strings"

	"github.com/miekg/dns"
)

// Type is the mnemonic of a record type, in upper case.
type Type string

// The types that a zone holds.
const (
	TypeA     Type = "A"
	TypeAAAA  Type = "AAAA"
	TypeCAA   Type = "CAA"
	TypeCNAME Type = "CNAME"
	TypeDS    Type = "DS"
	TypeHTTPS Type = "HTTPS"
	TypeMX    Type = "MX"
	TypeNAPTR Type = "NAPTR"
	TypeNS    Type = "NS"
	TypePTR   Type = "PTR"
	TypeSRV   Type = "SRV"
	TypeSSHFP Type = "SSHFP"
	TypeSVCB  Type = "SVCB"
	TypeTLSA  Type = "TLSA"
	TypeTXT   Type = "TXT"
	TypeURI   Type = "URI"
)

const (
	// AutoTTL is the TTL that means automatic.
	AutoTTL = 1
	// MinTTL is the shortest other TTL in seconds.
	MinTTL = 60
	// MaxTTL is the longest in seconds.
	MaxTTL = 86400
	// ServedAutoTTL is what automatic means on the wire, in seconds.
	ServedAutoTTL = 300
	// MaxText is the longest text of a TXT record in bytes.
	MaxText = 4096
	// MaxComment is the longest comment in characters.
	MaxComment = 200
	// maxContent bounds content before anything parses it: a text with every byte escaped.
	maxContent = 4*MaxText + 64
)

// Record is one DNS record of a zone. See the package's documentation for the forms of
// Name and Content. Records in a [Zone] are canonical; [Record.Canonical] makes them so.
// Records are comparable.
type Record struct {
	// ID is stable over the record's life and unique in its zone.
	ID string
	// Name is the owner, absolute, without a final dot.
	Name string
	// Type is one of the types above.
	Type Type
	// TTL is in seconds; [AutoTTL] is automatic.
	TTL int32
	// Priority is 0 to 65,535, and 0 for all types but MX, SRV and URI.
	Priority int32
	// Content is the data in presentation form.
	Content string
	// Proxied tells whether traffic goes through the edge.
	Proxied bool
	// Comment is the customer's own note; it is never served.
	Comment string
}

// RR is the record as it goes on the wire, with the TTL that it alone would be served with.
// It fails only for a record that is not canonical.
func (r Record) RR() (dns.RR, error) {
	f, ok := forms[r.Type]
	if !ok {
		return nil, &Violation{Field: "type", Rule: RuleTypeUnsupported, Message: unsupportedMessage(string(r.Type))}
	}
	rr, v := f.build(r)
	if v != nil {
		return nil, v
	}
	return rr, nil
}

// data is the presentation form of the whole data of rr, priority included, on one line.
func data(rr dns.RR) string {
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// servedTTL is the TTL of one record by itself.
func (r Record) servedTTL() uint32 {
	if r.TTL <= AutoTTL {
		return ServedAutoTTL
	}
	return uint32(r.TTL)
}
