package embedded_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	cfg.Fast = true
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func put(t *testing.T, s *embedded.Server, key string) {
	t.Helper()
	store := etcd.New(s.Client(), etcd.Config{})
	if _, err := store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, nil)}}); err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeepsData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s := start(t, embedded.Config{Dir: dir})
	put(t, s, "a")
	s.Close()
	s.Close()
	again := start(t, embedded.Config{Dir: dir})
	if _, err := etcd.New(again.Client(), etcd.Config{}).Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
}

func TestDeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	s := start(t, embedded.Config{Dir: dir})
	put(t, s, "a")
	socket := strings.TrimPrefix(s.Endpoints()[0], "unix://")
	if _, err := os.Stat(socket); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := os.Stat(filepath.Dir(socket)); !os.IsNotExist(err) {
		t.Fatalf("the sockets' directory is left behind: %v", err)
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{Dir: dir})
	if _, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Fast: true}); err == nil ||
		!strings.Contains(err.Error(), "in use") {
		t.Fatalf("err = %v", err)
	}
	put(t, s, "still here")
}

func TestListen(t *testing.T) {
	s := start(t, embedded.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if len(s.Endpoints()) != 2 {
		t.Fatalf("endpoints %q", s.Endpoints())
	}
	client, err := etcd.Dial(t.Context(), etcd.ClientConfig{Endpoints: s.Endpoints()[1:]})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // a test's client
	if _, err := etcd.New(client, etcd.Config{}).Revision(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStartFailsClearly(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // a test's listener
	dir := t.TempDir()
	_, err = embedded.Start(t.Context(), embedded.Config{Dir: dir, Fast: true, Listen: taken.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("err = %v", err)
	}
	start(t, embedded.Config{Dir: dir}) // nothing is left that keeps the next one out

	if _, err := embedded.Start(t.Context(), embedded.Config{}); err == nil {
		t.Fatal("no directory, no error")
	}
}

// TestCloseEndsForeignWatches makes sure that a client that watches does not hold up the
// shutdown.
func TestCloseEndsForeignWatches(t *testing.T) {
	s := start(t, embedded.Config{Dir: t.TempDir()})
	client, err := etcd.Dial(t.Context(), etcd.ClientConfig{Endpoints: s.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close() //nolint:errcheck // a test's client
	ctx, cancel := context.WithCancel(t.Context())
	w := etcd.New(client, etcd.Config{}).Watch(ctx, "", 1)
	<-w.C()

	began := time.Now()
	s.Close()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("closing took %v", took)
	}
	cancel()
	for range w.C() {
	}
	if !errors.Is(w.Err(), context.Canceled) {
		t.Errorf("err = %v", w.Err())
	}
}
