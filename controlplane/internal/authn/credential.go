package authn

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// CredentialKind is what a credential of our own making is for; it is its prefix.
type CredentialKind string

// The kinds of credentials. Their prefixes are fixed, so that scanners for leaked secrets
// can look for them.
const (
	TokenCredential    CredentialKind = "bwt_"
	LoginCredential    CredentialKind = "bwl_"
	OperatorCredential CredentialKind = "bwo_"
)

// Lengths of a credential's parts: an ID of 80 bits, a secret of 160 bits and a checksum of
// 32 bits, each in base32.
const (
	idBytes     = 10
	secretBytes = 20

	idLen       = 16
	secretLen   = 32
	checksumLen = 7
	bodyLen     = idLen + secretLen + checksumLen
)

// digits is RFC 4648's alphabet in lower case: no sign in it is mistaken for another.
var digits = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

var errMalformed = errors.New("authn: not a credential")

// Credential is a parsed credential. It holds no secret, only the digest that is compared
// with what is stored.
type Credential struct {
	Kind CredentialKind
	// ID is what the credential is looked up by.
	ID     string
	digest [sha256.Size]byte
}

// Matches compares with a stored digest in constant time.
func (c Credential) Matches(stored []byte) bool {
	return subtle.ConstantTimeCompare(c.digest[:], stored) == 1
}

// NewID makes the ID of a credential.
func NewID(random io.Reader) (string, error) {
	var b [idBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("authn: random ID: %w", err)
	}
	return digits.EncodeToString(b[:]), nil
}

// Mint makes a new secret for the ID, which must be one of [NewID]. It returns the whole
// credential, to be shown once, and the digest to be stored.
func Mint(kind CredentialKind, id string, random io.Reader) (credential string, digest []byte, err error) {
	if len(id) != idLen {
		return "", nil, fmt.Errorf("authn: %q is not an ID of a credential", id)
	}
	var secret [secretBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", nil, fmt.Errorf("authn: random secret: %w", err)
	}
	body := string(kind) + id + digits.EncodeToString(secret[:])
	credential = body + checksum(body)
	sum := sha256.Sum256([]byte(credential))
	return credential, sum[:], nil
}

// ParseCredential takes a credential apart. The checksum catches what was cut or mistyped
// before anything is looked up; it proves nothing.
func ParseCredential(s string) (Credential, error) {
	for _, kind := range []CredentialKind{TokenCredential, LoginCredential, OperatorCredential} {
		body, ok := strings.CutPrefix(s, string(kind))
		if !ok {
			continue
		}
		if len(body) != bodyLen {
			return Credential{}, errMalformed
		}
		signed, sum := s[:len(s)-checksumLen], s[len(s)-checksumLen:]
		if checksum(signed) != sum {
			return Credential{}, errMalformed
		}
		return Credential{Kind: kind, ID: body[:idLen], digest: sha256.Sum256([]byte(s))}, nil
	}
	return Credential{}, errMalformed
}

func checksum(body string) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], crc32.ChecksumIEEE([]byte(body)))
	return digits.EncodeToString(b[:])
}
