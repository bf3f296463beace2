package wire_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestPublicKeys(t *testing.T) {
	var text []byte
	var keys []ed25519.PublicKey
	for range 2 {
		key, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := wire.EncodePublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys, text = append(keys, key), append(text, b...)
	}
	got, err := wire.ParsePublicKeys(text)
	if err != nil || !slices.EqualFunc(got, keys, func(a, b ed25519.PublicKey) bool { return a.Equal(b) }) {
		t.Errorf("%v, %v", got, err)
	}

	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(other.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing":     nil,
		"text":        []byte("hello"),
		"private key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}),
		"rubbish":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}),
		"ECDSA":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"one of two":  append(slices.Clone(text), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}})...),
	} {
		if keys, err := wire.ParsePublicKeys(bad); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
}
