package pki_test

import (
	"crypto/tls"
	"crypto/x509"
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

func parse(t *testing.T, c tls.Certificate) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
