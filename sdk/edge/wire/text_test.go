package wire

import (
	"crypto/ed25519"
	"errors"
	"testing"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
)

func TestSignText(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := SignText(private, ContextStatus, []byte(`{"state":"OPERATIONAL"}`))
	if err != nil {
		t.Fatal(err)
	}
	trust := NewTrust(public)
	if err := trust.Verify(s, ContextStatus); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]func() error{
		"another context": func() error { return trust.Verify(s, ContextManifest) },
		"another key":     func() error { return NewTrust().Verify(s, ContextStatus) },
		"another payload": func() error {
			return trust.Verify(&edgev1.Signed{KeyId: s.GetKeyId(), Signature: s.GetSignature()}, ContextStatus)
		},
		"another signature": func() error {
			return trust.Verify(&edgev1.Signed{KeyId: s.GetKeyId(), Payload: s.GetPayload()}, ContextStatus)
		},
	} {
		if err := bad(); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
