package connect_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/connect"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// etcd's own, after its member stopped.
		goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// certificate makes a certificate that is its own authority.
func certificate(t *testing.T) connect.Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := connect.Files{CA: filepath.Join(dir, "cert.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{
		f.Cert: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// replica takes reports while it leads.
type replica struct {
	edgev1.UnimplementedEdgeServiceServer
	leads, frozen atomic.Bool
}

func (r *replica) Report(s grpc.BidiStreamingServer[edgev1.ReportRequest, edgev1.ReportResponse]) error {
	if r.frozen.Load() {
		<-s.Context().Done()
		return s.Context().Err()
	}
	if !r.leads.Load() {
		return status.Error(codes.Unavailable, "report to another")
	}
	return s.Send(&edgev1.ReportResponse{})
}

func start(t *testing.T, f connect.Files) (*replica, string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
	})))
	r := &replica{}
	edgev1.RegisterEdgeServiceServer(s, r)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r, l.Addr().String()
}

// Whoever leads is found within as many attempts as there are replicas that run.
func TestReportsFindTheLeader(t *testing.T) {
	f := certificate(t)
	one, first := start(t, f)
	two, second := start(t, f)
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	conn, err := connect.OpenReports(connect.ReportsConfig{Addresses: []string{down.Addr().String(), first, second}, TLS: f})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	attempt := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := edgev1.NewEdgeServiceClient(conn).Report(ctx)
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for turn := range 6 {
		one.leads.Store(turn%2 == 0)
		two.leads.Store(turn%2 == 1)
		tries := 1
		for attempt() != nil {
			<-pause.C // as agents pause
			if tries++; tries > 500 {
				t.Fatalf("turn %d: the leader is not found", turn)
			}
		}
		// By the third turn there is a connection to both.
		if turn > 1 && tries > 3 {
			t.Errorf("turn %d: the leader is found after %d attempts", turn, tries)
		}
	}
}

// A replica that takes reports and does not answer loses its agents.
func TestSilenceEndsTheStream(t *testing.T) {
	f := certificate(t)
	r, address := start(t, f)
	r.leads.Store(true)
	clock := clockwork.NewFakeClock()
	conn, err := connect.OpenReports(connect.ReportsConfig{Addresses: []string{address}, TLS: f, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	open := func() grpc.BidiStreamingClient[edgev1.ReportRequest, edgev1.ReportResponse] {
		t.Helper()
		stream, err := edgev1.NewEdgeServiceClient(conn).Report(ctx, grpc.WaitForReady(true))
		if err == nil {
			err = stream.Send(&edgev1.ReportRequest{})
		}
		// A replica that answered and ended is not sent to; what it said is received.
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		return stream
	}
	if _, err := open().Recv(); err != nil {
		t.Fatalf("it answers: %v", err)
	}
	r.frozen.Store(true)
	stream := open()
	if err := clock.BlockUntilContext(ctx, 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("it is silent: %v", err)
	}
}

func TestSettings(t *testing.T) {
	f := certificate(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]connect.EtcdConfig{
		"no endpoint":                      {},
		"a certificate goes with a key":    {Endpoints: []string{"x"}, TLS: connect.Files{Cert: f.Cert}},
		"holds no certificate":             {Endpoints: []string{"x"}, TLS: connect.Files{CA: empty}},
		"no such file":                     {Endpoints: []string{"x"}, Username: "u", PasswordFile: empty + ".not"},
		"a user name goes with a password": {Endpoints: []string{"x"}, Username: "u", PasswordFile: empty},
	} {
		if _, err := connect.OpenEtcd(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if _, err := connect.OpenReports(connect.ReportsConfig{}); err == nil || !strings.Contains(err.Error(), "no address") {
		t.Errorf("no address: %v", err)
	}
}

// With nobody there, with a password or without, opening works, and calls fail.
func TestEtcdAway(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]connect.EtcdConfig{
		"without a password": {},
		"with a password":    {Username: "edge", PasswordFile: password},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Endpoints = []string{"http://127.0.0.1:1"}
			e, err := connect.OpenEtcd(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := e.Get(ctx, "k"); err == nil {
				t.Error("a read answers")
			}
			if cfg.Username != "" {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				// What follows would wait for a connection again.
			}
			if _, err := e.Txn(ctx).If().Then().Commit(); err == nil {
				t.Error("a transaction answers")
			}
			for range e.Watch(ctx, "k") {
				t.Error("a watch tells something")
			}
			if err := errors.Join(e.Close(), e.Close()); err != nil {
				t.Error(err)
			}
			if _, err := e.Get(t.Context(), "k"); err == nil {
				t.Error("a closed client answers")
			}
		})
	}
}
