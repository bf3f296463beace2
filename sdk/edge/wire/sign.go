package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
)

// The contexts keep a signature over one kind of payload from passing for another's.
const (
	ContextManifest = "breakwater manifest v1"
	ContextBase     = "breakwater base v1"
	ContextStatus   = "breakwater status v1"
)

// ErrSignature says that a signature is missing, wrong, or by a key that is not trusted.
var ErrSignature = errors.New("wire: signature is not valid")

// KeyID names a public key: the first 8 bytes of its SHA-256, in hexadecimal.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Sign serialises m and signs it under a context.
func Sign(key ed25519.PrivateKey, context string, m proto.Message) (*edgev1.Signed, error) {
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("wire: payload: %w", err)
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, ErrSignature
	}
	return &edgev1.Signed{
		Payload:   payload,
		KeyId:     KeyID(public),
		Signature: ed25519.Sign(key, message(context, payload)),
	}, nil
}

// Trust is the set of public keys that an agent believes, by [KeyID].
type Trust map[string]ed25519.PublicKey

// NewTrust returns the set of the given keys.
func NewTrust(keys ...ed25519.PublicKey) Trust {
	t := Trust{}
	for _, k := range keys {
		t[KeyID(k)] = k
	}
	return t
}

// Open checks the signature and parses the payload into m. Nothing of the payload is
// parsed before its signature is known to be good.
func (t Trust) Open(s *edgev1.Signed, context string, m proto.Message) error {
	key, ok := t[s.GetKeyId()]
	if !ok || !ed25519.Verify(key, message(context, s.GetPayload()), s.GetSignature()) {
		return ErrSignature
	}
	if err := proto.Unmarshal(s.GetPayload(), m); err != nil {
		return fmt.Errorf("wire: payload: %w", err)
	}
	return nil
}

func message(context string, payload []byte) []byte {
	b := make([]byte, 0, len(context)+1+len(payload))
	b = append(b, context...)
	b = append(b, 0)
	return append(b, payload...)
}
