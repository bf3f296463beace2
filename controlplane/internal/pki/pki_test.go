package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
)

func TestAuthoritySurvivesRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := pki.OpenAuthority(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	id := &url.URL{Scheme: "breakwater-edge", Host: "SJC", Path: "/sjc-1"}
	leaf, err := first.IssueClient(id)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pki.OpenAuthority(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert := parse(t, leaf)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: again.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("certificate of before the restart: %v", err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != id.String() {
		t.Errorf("URIs = %v, want %v", cert.URIs, id)
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key has mode %v, want 0600", info.Mode().Perm())
	}
}

func TestClientCertificateIsNoServerCertificate(t *testing.T) {
	a, err := pki.OpenAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.IssueClient(&url.URL{Scheme: "breakwater-edge", Host: "SJC", Path: "/sjc-1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parse(t, leaf).Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil {
		t.Error("a client certificate verifies as a server's")
	}
}

func TestSigner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "manifest.key")
	if _, err := pki.LoadSigner(path); err == nil {
		t.Fatal("LoadSigner made a key")
	}
	first, err := pki.OpenSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pki.OpenSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Equal(again) {
		t.Error("the key changed when it was opened again")
	}
}

func TestBrokenFiles(t *testing.T) {
	for _, name := range []string{"ca.key", "ca.pem"} {
		dir := t.TempDir()
		if _, err := pki.OpenAuthority(dir, time.Now); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("no PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pki.OpenAuthority(dir, time.Now); err == nil {
			t.Errorf("an authority with a broken %s was opened, or replaced", name)
		}
	}
	// Without its certificate a key is not complete, but nor is it nothing.
	dir := t.TempDir()
	if _, err := pki.OpenAuthority(dir, time.Now); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.OpenAuthority(dir, time.Now); err == nil {
		t.Error("an authority without its certificate was opened")
	}
	// A crash before the key was written leaves a certificate, which is made anew.
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.OpenAuthority(dir, time.Now); err != nil {
		t.Error(err)
	}
}

func TestSignerTakesOnlyItsKind(t *testing.T) {
	dir := t.TempDir()
	if _, err := pki.OpenAuthority(dir, time.Now); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.OpenSigner(filepath.Join(dir, "ca.key")); err == nil {
		t.Error("an ECDSA key was taken for a signer")
	}
	path := filepath.Join(dir, "manifest.key")
	if _, err := pki.OpenSigner(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("manifest.key: %v, %v; want mode 0600", info.Mode().Perm(), err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.key.*"))
	if err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// The two ends of the report listener know each other.
func TestHandshake(t *testing.T) {
	a, err := pki.OpenAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.OpenAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	identity := &url.URL{Scheme: "breakwater-edge", Host: "SJC", Path: "/sjc-1"}
	for _, tt := range []struct {
		name   string
		issuer *pki.Authority
		fails  bool
	}{{"own", a, false}, {"another's", other, true}} {
		server, err := a.IssueServer()
		if err != nil {
			t.Fatal(err)
		}
		client, err := tt.issuer.IssueClient(identity)
		if err != nil {
			t.Fatal(err)
		}
		left, right := net.Pipe()
		listening := tls.Server(left, &tls.Config{
			Certificates: []tls.Certificate{server}, ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		})
		dialling := tls.Client(right, &tls.Config{
			Certificates: []tls.Certificate{client}, RootCAs: a.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS13,
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = dialling.HandshakeContext(t.Context())
			_, _ = dialling.Read(make([]byte, 1))
		}()
		err = listening.HandshakeContext(t.Context())
		if (err != nil) != tt.fails {
			t.Errorf("%s certificate: %v", tt.name, err)
		}
		_, _ = left.Close(), right.Close()
		<-done
	}
}

func parse(t *testing.T, c tls.Certificate) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
