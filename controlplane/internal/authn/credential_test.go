package authn_test

import (
	"crypto/rand"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestMintAndParse(t *testing.T) {
	id, err := authn.NewID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resource.ParseName(resource.TokenName("acme", id)); err != nil {
		t.Errorf("the ID is no part of a name: %v", err)
	}
	for _, kind := range []authn.CredentialKind{authn.TokenCredential, authn.LoginCredential, authn.OperatorCredential} {
		s, digest, err := authn.Mint(kind, id, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c, err := authn.ParseCredential(s)
		if err != nil || c.Kind != kind || c.ID != id || !c.Matches(digest) {
			t.Errorf("%s: %+v, %v", s, c, err)
		}
		again, _, err := authn.Mint(kind, id, rand.Reader)
		if err != nil || again == s {
			t.Errorf("two secrets are equal: %v", err)
		}
		// Every single mistake is caught before anything is looked up.
		for i := len(kind); i < len(s); i++ {
			wrong := s[:i] + string(s[i]^1) + s[i+1:]
			if _, err := authn.ParseCredential(wrong); err == nil {
				t.Errorf("a mistake at %d is not seen", i)
			}
		}
	}
	if _, _, err := authn.Mint(authn.TokenCredential, "short", rand.Reader); err == nil {
		t.Error("an ID of another kind is taken")
	}
	if _, _, err := authn.Mint(authn.TokenCredential, id, strings.NewReader("x")); err == nil {
		t.Error("minted without randomness")
	}
	if _, err := authn.NewID(strings.NewReader("x")); err == nil {
		t.Error("an ID without randomness")
	}
}

func FuzzParseCredential(f *testing.F) {
	s, _, err := authn.Mint(authn.TokenCredential, strings.Repeat("a", 16), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add("bwt_")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := authn.ParseCredential(s)
		if err == nil && !strings.HasPrefix(s, string(c.Kind)+c.ID) {
			t.Errorf("%q parsed as %+v", s, c)
		}
	})
}

func TestFromCertificate(t *testing.T) {
	for uri, want := range map[string]string{
		"breakwater-edge://sjc/sjc-1":   "edge:SJC/sjc-1",
		"breakwater-edge://SJC/a/b":     "",
		"breakwater-edge://SJC":         "",
		"https://SJC/sjc-1":             "",
		"breakwater-edge:///sjc-1":      "",
		"spiffe://breakwater/SJC/sjc-1": "",
	} {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		p, err := authn.FromCertificate(&x509.Certificate{URIs: []*url.URL{u}})
		if p.ID != want || (err == nil) != (want != "") {
			t.Errorf("%s: %+v, %v", uri, p, err)
		}
	}
}
