package authn_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// idp is an OpenID provider with one key.
type idp struct {
	server *httptest.Server
	key    *rsa.PrivateKey
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key}
	mux := http.NewServeMux()
	answer := func(path string, body func() any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			if err := json.NewEncoder(w).Encode(body()); err != nil {
				t.Error(err)
			}
		})
	}
	answer("/.well-known/openid-configuration", func() any {
		return map[string]any{
			"issuer": p.server.URL, "jwks_uri": p.server.URL + "/keys",
			"authorization_endpoint": p.server.URL, "token_endpoint": p.server.URL,
			"id_token_signing_alg_values_supported": []string{"RS256"},
		}
	})
	answer("/keys", func() any {
		return map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}}
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func (p *idp) sign(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	body := part(map[string]any{"alg": "RS256", "kid": "1"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(body))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return body + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestOIDC(t *testing.T) {
	p := newIDP(t)
	clock := clockwork.NewFakeClockAt(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	client := p.server.Client()
	t.Cleanup(client.CloseIdleConnections)
	verifier, err := authn.NewOIDC(t.Context(), authn.OIDCConfig{Issuer: p.server.URL, ClientID: "breakwater", HTTP: client, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	end := clock.Now().Add(time.Hour)
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{
			"iss": p.server.URL, "aud": "breakwater", "sub": "1", "exp": end.Unix(),
			"iat": clock.Now().Unix(), "email": "Ann@X.test", "email_verified": true,
		}
		maps.Copy(c, change)
		return c
	}
	got, err := verifier.VerifyLogin(t.Context(), p.sign(t, p.key, claims(nil)))
	if err != nil || got.Email != "ann@x.test" || !got.Expires.Equal(end) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, change := range map[string]map[string]any{
		"another audience":  {"aud": "else"},
		"another issuer":    {"iss": "https://else.test"},
		"expired":           {"exp": clock.Now().Add(-time.Second).Unix()},
		"address unchecked": {"email_verified": false},
		"no address":        {"email": ""},
	} {
		if _, err := verifier.VerifyLogin(t.Context(), p.sign(t, p.key, claims(change))); !errors.Is(err, authn.ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.VerifyLogin(t.Context(), p.sign(t, stranger, claims(nil))); !errors.Is(err, authn.ErrLogin) {
		t.Errorf("another key: %v", err)
	}
	down, err := authn.NewOIDC(t.Context(), authn.OIDCConfig{Issuer: p.server.URL, ClientID: "breakwater", HTTP: client, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authn.NewOIDC(t.Context(), authn.OIDCConfig{Issuer: p.server.URL + "/else", HTTP: client, Clock: clock}); err == nil {
		t.Error("a provider without a discovery document is taken")
	}
	p.server.Close()
	if _, err := down.VerifyLogin(t.Context(), p.sign(t, p.key, claims(nil))); err == nil || errors.Is(err, authn.ErrLogin) {
		t.Errorf("keys that can't be fetched: %v", err)
	}
}
