package wire

import (
	"crypto/ed25519"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
)

// SignText signs a payload that is no message of this package, such as a JSON text, under a
// context.
func SignText(key ed25519.PrivateKey, context string, payload []byte) (*edgev1.Signed, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, ErrSignature
	}
	return &edgev1.Signed{Payload: payload, KeyId: KeyID(public), Signature: ed25519.Sign(key, message(context, payload))}, nil
}

// Verify checks a signature by [SignText] and says nothing of the payload.
func (t Trust) Verify(s *edgev1.Signed, context string) error {
	key, ok := t[s.GetKeyId()]
	if !ok || !ed25519.Verify(key, message(context, s.GetPayload()), s.GetSignature()) {
		return ErrSignature
	}
	return nil
}
