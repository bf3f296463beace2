package wire

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const blockPublicKey = "PUBLIC KEY"

// EncodePublicKey writes a key as PEM (PKIX).
func EncodePublicKey(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("wire: public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockPublicKey, Bytes: der}), nil
}

// ParsePublicKeys reads the keys of a PEM text, at least one. Anything in it but Ed25519
// public keys is an error.
func ParsePublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != blockPublicKey {
			return nil, fmt.Errorf("wire: there is a %s where public keys should be", block.Type)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("wire: public key: %w", err)
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, errors.New("wire: a public key is not an Ed25519 one")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("wire: no public key")
	}
	return keys, nil
}
