package etcd_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, cfg embedded.Config) *embedded.Server {
	t.Helper()
	cfg.Fast = true
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// dial returns a client that outlives the server it is connected to.
func dial(t testing.TB, s *embedded.Server) *clientv3.Client {
	t.Helper()
	client, err := etcd.Dial(t.Context(), etcd.ClientConfig{Endpoints: s.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func compact(t *testing.T, client *clientv3.Client, rev int64) {
	t.Helper()
	if _, err := client.Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s *etcd.Store, key, value string) int64 {
	t.Helper()
	rev, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, []byte(value))}})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// TestConformance runs the suite over function calls and over a socket, which is how an
// external etcd is reached.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(testing.TB, *embedded.Server) *clientv3.Client{
		"local":  func(_ testing.TB, s *embedded.Server) *clientv3.Client { return s.Client() },
		"socket": dial,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, start(t, embedded.Config{}))
			store := etcd.New(client, etcd.Config{ProgressInterval: 100 * time.Millisecond})
			registrytest.Run(t, func(t *testing.T) registrytest.Harness {
				t.Helper()
				return registrytest.Harness{
					Store:   store,
					Compact: func(t *testing.T, rev int64) { t.Helper(); compact(t, client, rev) },
					Quick:   name == "local",
				}
			})
		})
	}
}

func TestCheckLimits(t *testing.T) {
	t.Parallel()
	if err := etcd.CheckLimits(t.Context(), start(t, embedded.Config{}).Client()); err != nil {
		t.Fatalf("the embedded one must do: %v", err)
	}
	tests := []struct {
		cfg  embedded.Config
		want []string
	}{
		{embedded.Config{MaxTxnOps: registry.MaxTxnOps - 1}, []string{"--max-txn-ops=8192"}},
		{embedded.Config{MaxRequestBytes: etcd.RequiredRequestBytes - 8192}, []string{"--max-request-bytes=13631488"}},
		{
			embedded.Config{MaxTxnOps: 128, MaxRequestBytes: 1 << 20, QuotaBytes: 1 << 30},
			[]string{"--max-txn-ops", "--max-request-bytes", "--quota-backend-bytes"},
		},
	}
	for _, tt := range tests {
		err := etcd.CheckLimits(t.Context(), start(t, tt.cfg).Client())
		var limits *etcd.LimitsError
		if !errors.As(err, &limits) || len(limits.Problems) != len(tt.want) {
			t.Errorf("%+v: %v", tt.cfg, err)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(limits.Problems[i], want) {
				t.Errorf("%q does not say %q", limits.Problems[i], want)
			}
		}
	}
}

func TestQuotaIsTooLarge(t *testing.T) {
	t.Parallel()
	server := start(t, embedded.Config{QuotaBytes: 1 << 20})
	store := etcd.New(server.Client(), etcd.Config{})
	value := make([]byte, 256<<10)
	var err error
	for range 500 { // etcd notices the size only when it commits to disk
		if _, err = store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put("k", value)}}); err != nil {
			break
		}
	}
	if !errors.Is(err, registry.ErrTooLarge) {
		t.Fatalf("err = %v", err)
	}
	var limits *etcd.LimitsError
	if err := etcd.CheckLimits(t.Context(), server.Client()); !errors.As(err, &limits) ||
		!strings.Contains(err.Error(), "out of space") {
		t.Fatalf("err = %v", err)
	}
	st, err := store.Status(t.Context())
	if err != nil || st.QuotaBytes != 1<<20 {
		t.Fatalf("%+v, %v", st, err)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	server := start(t, embedded.Config{})
	store := etcd.New(dial(t, server), etcd.Config{RequestTimeout: 100 * time.Millisecond})
	put(t, store, "a", "1")
	lease, err := store.Grant(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()

	ctx := t.Context()
	_, getErr := store.Get(ctx, "a")
	_, revErr := store.Revision(ctx)
	_, commitErr := store.Commit(ctx, registry.Txn{Then: []registry.Op{registry.Put("a", nil)}})
	_, statusErr := store.Status(ctx)
	for name, err := range map[string]error{
		"get": getErr, "revision": revErr, "commit": commitErr, "status": statusErr,
		"keep alive": store.KeepAlive(ctx, lease), "revoke": store.Revoke(ctx, lease),
	} {
		if !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDialFailsClearly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for name, cfg := range map[string]etcd.ClientConfig{
		"nobody listens":        {Endpoints: []string{"http://127.0.0.1:1"}, DialTimeout: 200 * time.Millisecond},
		"no endpoints":          {},
		"no such CA file":       {Endpoints: []string{"https://127.0.0.1:1"}, CAFile: "absent.pem"},
		"no key":                {Endpoints: []string{"https://127.0.0.1:1"}, CertFile: "cert.pem"},
		"no such password file": {Endpoints: []string{"http://127.0.0.1:1"}, Username: "u", PasswordFile: "absent"},
	} {
		if client, err := etcd.Dial(ctx, cfg); err == nil {
			_ = client.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestClientConfigHidesThePassword(t *testing.T) {
	t.Parallel()
	cfg := etcd.ClientConfig{Endpoints: []string{"http://e:1"}, Username: "root", Password: "hunter2"}
	if s := cfg.String(); strings.Contains(s, "hunter2") || !strings.Contains(s, "root") {
		t.Fatal(s)
	}
}
