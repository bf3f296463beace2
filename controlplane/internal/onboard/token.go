package onboard

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
)

// VerificationLabel is the label, below a domain, whose TXT or CNAME record proves control.
const VerificationLabel = "_breakwater"

var lowerBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// VerificationToken is what an account publishes to prove that it controls domain: 160 bits,
// the same for the same three inputs, so that nothing is stored, and of no use to any other
// account or domain. secret belongs to the deployment and has at least 16 bytes.
func VerificationToken(accountID, domain string, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	writeField(mac, "domain verification v1")
	writeField(mac, accountID)
	writeField(mac, domain)
	return "bwv-" + strings.ToLower(lowerBase32.EncodeToString(mac.Sum(nil)[:20]))
}

// writeField feeds a hash so that no two lists of fields look alike.
func writeField(w interface{ Write([]byte) (int, error) }, s string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(s)))
	_, _ = w.Write(size[:]) // a hash never fails
	_, _ = w.Write([]byte(s))
}

// Verification is a record that the owner of a domain is asked to publish.
type Verification struct {
	// Type is TXT or CNAME.
	Type string
	// Name and Value are the record's; names have no final dot.
	Name, Value string
}

// TXTVerification asks for a TXT record.
func TXTVerification(domain, token string) Verification {
	return Verification{Type: "TXT", Name: VerificationLabel + "." + domain, Value: token}
}

// CNAMEVerification asks for a CNAME to a name below ownZone, a zone of the deployment.
func CNAMEVerification(domain, token, ownZone string) Verification {
	return Verification{Type: "CNAME", Name: VerificationLabel + "." + domain, Value: token + "." + ownZone}
}

// ErrNoNameServers says that no pair of name servers is left for a domain.
var ErrNoNameServers = errors.New("onboard: no pair of name servers is left for this domain")

// AssignNameServers chooses the pair to which an account delegates domain. The pair is the
// proof of who delegated, so it must differ from every pair in avoid: those of other
// accounts that claim the domain now or did within the last 90 days. The choice depends on
// nothing but the arguments and spreads over all pairs of the pool. The pair is in the
// pool's order. The error is [ErrNoNameServers].
func AssignNameServers(pool []string, accountID, domain string, avoid [][2]string) ([2]string, error) {
	n := uint64(len(pool))
	pairs := n * (n - min(n, 1)) / 2
	if pairs == 0 {
		return [2]string{}, ErrNoNameServers
	}
	taken := make(map[[2]string]bool, 2*len(avoid))
	for _, p := range avoid {
		taken[p] = true
		taken[[2]string{p[1], p[0]}] = true
	}
	h := sha256.New()
	writeField(h, accountID)
	writeField(h, domain)
	start := binary.BigEndian.Uint64(h.Sum(nil)) % pairs
	for i := range pairs {
		if p := pairAt(pool, (start+i)%pairs); !taken[p] && p[0] != p[1] {
			return p, nil
		}
	}
	return [2]string{}, ErrNoNameServers
}

// pairAt numbers the pairs of the pool: (0,1), (0,2), …, (1,2), ….
func pairAt(pool []string, k uint64) [2]string {
	for i := range pool {
		row := uint64(len(pool) - 1 - i)
		if k < row {
			return [2]string{pool[i], pool[uint64(i)+1+k]}
		}
		k -= row
	}
	return [2]string{}
}
