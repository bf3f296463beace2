package etcd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
)

// authority issues certificates into a directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", nil)
	return a
}

// path returns where a certificate (crt) or a key (key) is.
func (a *authority) path(name, kind string) string { return filepath.Join(a.dir, name+"."+kind) }

func (a *authority) issue(t *testing.T, name string, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
		template.IsCA, template.BasicConstraintsValid = true, true
		template.ExtKeyUsage = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for kind, block := range map[string]*pem.Block{
		"crt": {Type: "CERTIFICATE", Bytes: der},
		"key": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(a.path(name, kind), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// startSecure runs an etcd as an operator would: TLS, client certificates, users.
func startSecure(t *testing.T, ca *authority) (endpoint string) {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = 10, 50, true
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(t.TempDir(), "peer.sock")}}
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "unix", Host: "peer:0"}}
	cfg.InitialCluster = cfg.Name + "=unix://peer:0"
	cfg.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ClientTLSInfo = transport.TLSInfo{
		CertFile: ca.path("server", "crt"), KeyFile: ca.path("server", "key"),
		TrustedCAFile: ca.path("ca", "crt"), ClientCertAuth: true,
	}
	cfg.BcryptCost = 4
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	<-e.Server.ReadyNotify()
	return "https://" + e.Clients[0].Addr().String()
}

func TestTLSAndPassword(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.issue(t, "server", ca.cert)
	ca.issue(t, "client", ca.cert)
	other := newAuthority(t)
	endpoint := startSecure(t, ca)
	good := etcd.ClientConfig{
		Endpoints: []string{endpoint}, CAFile: ca.path("ca", "crt"),
		CertFile: ca.path("client", "crt"), KeyFile: ca.path("client", "key"),
		DialTimeout: 2 * time.Second,
	}
	client, err := etcd.Dial(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, roleErr := client.RoleAdd(ctx, "root")
	_, userErr := client.UserAdd(ctx, "root", "secret")
	_, grantErr := client.UserGrantRole(ctx, "root", "root")
	_, enableErr := client.AuthEnable(ctx)
	for _, err := range []error{roleErr, userErr, grantErr, enableErr, client.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	passwordFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwordFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good.Username, good.PasswordFile = "root", passwordFile

	client, err = etcd.Dial(ctx, good)
	if err != nil {
		t.Fatal(err)
	}
	store := etcd.New(client, etcd.Config{})
	rev := put(t, store, "k", "v")
	w := store.Watch(ctx, "", rev-1)
	if b, ok := <-w.C(); !ok {
		t.Errorf("watch: %v, %v", b, w.Err())
	}
	if lease, err := store.Grant(ctx, time.Minute); err != nil || store.KeepAlive(ctx, lease) != nil {
		t.Errorf("lease: %v", err)
	}
	if _, err := store.Status(ctx); err != nil {
		t.Errorf("status: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	_ = drain(ctx, t, w)

	for name, change := range map[string]func(*etcd.ClientConfig){
		"wrong password":        func(c *etcd.ClientConfig) { c.PasswordFile, c.Password = "", "wrong" },
		"no user":               func(c *etcd.ClientConfig) { c.Username, c.PasswordFile = "", "" },
		"no client certificate": func(c *etcd.ClientConfig) { c.CertFile, c.KeyFile = "", "" },
		"another authority":     func(c *etcd.ClientConfig) { c.CAFile = other.path("ca", "crt") },
		"another host": func(c *etcd.ClientConfig) {
			c.Endpoints = []string{strings.Replace(endpoint, "127.0.0.1", "localhost", 1)}
		},
	} {
		bad := good
		bad.DialTimeout = 300 * time.Millisecond
		change(&bad)
		if client, err := etcd.Dial(ctx, bad); err == nil {
			_ = client.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
