package safedial_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/dnstest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/safedial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func get(t *testing.T, c *http.Client, url string) (status int, body []byte, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func refused(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*safedial.RefusedError](err)
	if !ok {
		t.Errorf("got %v, want it to be refused", err)
	} else if e.Why == "" || !e.Addr.IsValid() {
		t.Errorf("got %+v", e)
	}
}

// No packet leaves for what is refused, so the address need not exist.
func TestRefusedAddresses(t *testing.T) {
	d := safedial.New(safedial.Config{MaxTime: time.Second})
	for _, addr := range []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"100.64.0.1", "169.254.169.254", "169.254.1.1", "168.63.129.16", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a00:1", "::7f00:1",
		"64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1",
	} {
		for _, network := range []string{"tcp", "udp"} {
			conn, err := d.DialContext(t.Context(), network, net.JoinHostPort(addr, "443"))
			if err == nil {
				_ = conn.Close()
			}
			if t.Run(network+" "+addr, func(t *testing.T) { refused(t, err) }); t.Failed() {
				return
			}
		}
	}
}

// Where nobody listens an address that may be dialled fails otherwise.
func TestOtherAddresses(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "198.51.100.7", "203.0.113.10", "2001:db8::1", "8.8.8.8"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // No packet is to leave.
		_, err := safedial.New(safedial.Config{}).DialContext(ctx, "tcp", net.JoinHostPort(addr, "443"))
		if _, ok := errors.AsType[*safedial.RefusedError](err); ok || err == nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestOnlyTCPAndUDP(t *testing.T) {
	d := safedial.New(safedial.Config{Allow: loopback})
	for _, network := range []string{"unix", "ip", "unixgram"} {
		if _, err := d.DialContext(t.Context(), network, "/run/docker.sock"); !errors.Is(err, safedial.ErrNetwork) {
			t.Errorf("%s: %v", network, err)
		}
	}
}

// What a name resolves to is judged when the socket is connected, whatever else it
// resolves to.
func TestNamesThatPointInside(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inside was reached") }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t).Server("192.0.2.53").Zone("test.", `
@       SOA  ns hostmaster 1 3600 600 86400 60
@       NS   ns
inside  A    127.0.0.1
six     AAAA ::ffff:127.0.0.1
both    A    127.0.0.1
both    A    169.254.169.254
`)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, dns.Addr())
	}}
	d := safedial.New(safedial.Config{Resolver: resolver, MaxTime: 5 * time.Second})
	for _, name := range []string{"inside.test.", "six.test.", "both.test."} {
		_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(name, port))
		refused(t, err)
		_, _, err = get(t, d.Client(nil), "http://"+net.JoinHostPort(name, port))
		refused(t, err)
	}
	if len(dns.Queries()) == 0 {
		t.Error("nothing was resolved")
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	}))
	t.Cleanup(server.Close)
	status, _, err := get(t, safedial.New(safedial.Config{Allow: loopback}).Client(nil), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusFound || asked.Load() != 1 {
		t.Errorf("status %d after %d requests", status, asked.Load())
	}
}

func TestProxiesAreIgnored(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	_, _, err := get(t, safedial.New(safedial.Config{}).Client(nil), "http://10.0.0.1/")
	refused(t, err)
}

func TestBytesAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 200_000))
	}))
	t.Cleanup(server.Close)
	get := func(maxBytes int64) ([]byte, error) {
		_, b, err := get(t, safedial.New(safedial.Config{Allow: loopback, MaxBytes: maxBytes}).Client(nil), server.URL)
		return b, err
	}
	if b, err := get(1 << 20); err != nil || len(b) != 200_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if b, err := get(100_000); !errors.Is(err, safedial.ErrTooMuch) || len(b) > 100_000 {
		t.Errorf("%d bytes, %v; want ErrTooMuch", len(b), err)
	}
	if _, err := get(10); err == nil {
		t.Error("headers beyond the limit were read")
	}
}

func TestTimeIsBounded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own listener
	if err != nil {
		t.Fatal(err)
	}
	// Connections are accepted by the kernel, and nobody ever answers.
	t.Cleanup(func() { _ = listener.Close() })
	d := safedial.New(safedial.Config{Allow: loopback, MaxTime: 50 * time.Millisecond})
	if _, _, err := get(t, d.Client(nil), "http://"+listener.Addr().String()); err == nil {
		t.Error("an answer came")
	}
	conn, err := d.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// A deadline can't be moved away.
	for _, set := range []func(time.Time) error{conn.SetDeadline, conn.SetReadDeadline} {
		if err := set(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want a deadline", err)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d := safedial.New(safedial.Config{Allow: loopback})
	if _, b, err := get(t, d.Client(roots), server.URL); err != nil || string(b) != "ok" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, _, err := get(t, d.Client(x509.NewCertPool()), server.URL); err == nil {
		t.Error("a certificate of nobody was believed")
	}
}
