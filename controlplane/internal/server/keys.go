package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/secret"
)

// keys are the secrets that the server stands on.
type keys struct {
	operators []authn.OperatorKey
	signer    ed25519.PrivateKey
	seal      *secret.Keyring
	// authority issues the certificates of a development server; nil in production.
	authority *pki.Authority
}

func openKeys(c *Config) (*keys, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data-dir: %w", err)
	}
	k := &keys{}
	var err error
	if k.operators, err = openOperators(c.fileOr(c.OperatorTokenFile, "operator.token")); err != nil {
		return nil, fmt.Errorf("operator-token-file: %w", err)
	}
	if k.signer, err = pki.OpenSigner(c.fileOr(c.SigningKeyFile, "keys", "manifest.key")); err != nil {
		return nil, fmt.Errorf("signing-key-file: %w", err)
	}
	if k.seal, err = secret.Load(c.fileOr(c.SealKeyFile, "keys", "seal.keys"), rand.Reader); err != nil {
		return nil, fmt.Errorf("seal-key-file: %w", err)
	}
	if c.Dev {
		if k.authority, err = pki.OpenAuthority(c.path("keys"), clockwork.NewRealClock().Now); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// apiTLS is the TLS of the API's listeners, or nil for plain text.
func (c *Config) apiTLS() (*tls.Config, error) {
	if c.TLSCertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("tls-cert-file: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// secureHTTP puts TLS before the REST API's listener where there is a certificate.
func (c *Config) secureHTTP(l net.Listener) (net.Listener, error) {
	config, err := c.apiTLS()
	if err != nil || config == nil {
		return l, err
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	return tls.NewListener(l, config), nil
}

// reportTLS is the mutual TLS of the report listener.
func (c *Config) reportTLS(k *keys) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert}
	if k.authority != nil {
		cert, err := k.authority.IssueServer()
		if err != nil {
			return nil, err
		}
		out.Certificates, out.ClientCAs = []tls.Certificate{cert}, k.authority.Pool()
		return out, nil
	}
	cert, err := tls.LoadX509KeyPair(c.ReportCertFile, c.ReportKeyFile)
	if err != nil {
		return nil, fmt.Errorf("report-cert-file: %w", err)
	}
	pem, err := os.ReadFile(c.ReportClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("report-client-ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("report-client-ca-file: %s holds no certificate", c.ReportClientCAFile)
	}
	out.Certificates, out.ClientCAs = []tls.Certificate{cert}, pool
	return out, nil
}

// edgeClientTLS is the TLS by which a simulated edge server reports.
func (k *keys) edgeClientTLS(dataCenter, server string) (*tls.Config, error) {
	cert, err := k.authority.IssueClient(&url.URL{Scheme: fleet.IdentityScheme, Host: dataCenter, Path: "/" + server})
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: k.authority.Pool(),
		ServerName: "localhost", MinVersion: tls.VersionTLS13,
	}, nil
}
