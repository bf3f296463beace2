package leader_test

import (
	"errors"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/leader"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
)

// TestOverEtcd hands over on a real etcd, also after it was stopped and started again.
func TestOverEtcd(t *testing.T) {
	dir := t.TempDir()
	open := func() *embedded.Server {
		s, err := embedded.Start(t.Context(), embedded.Config{Dir: dir, Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	server := open()
	client, err := etcd.Dial(t.Context(), etcd.ClientConfig{Endpoints: server.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	store := etcd.New(client, etcd.Config{
		RequestTimeout: time.Second, ProgressInterval: 50 * time.Millisecond, Silence: 500 * time.Millisecond,
	})

	a := start(t, store, "a", leader.Config{TTL: 2 * time.Second})
	first := receive(t, a.terms)
	b := start(t, store, "b", leader.Config{TTL: 2 * time.Second})
	began := time.Now()
	a.stop()
	second := receive(t, b.terms)
	if took := time.Since(began); took > time.Second || second.Number() <= first.Number() {
		t.Fatalf("term %d after %d, in %v", second.Number(), first.Number(), took)
	}

	server.Close()
	receive(t, b.ended)
	open()
	third := receive(t, b.terms)
	if third.Number() <= second.Number() {
		t.Fatalf("term %d after %d", third.Number(), second.Number())
	}
	if err := write(t.Context(), store, third); err != nil {
		t.Fatal(err)
	}
	var conflict *registry.ConflictError
	if err := write(t.Context(), store, second); !errors.As(err, &conflict) {
		t.Fatalf("a write of the old leader: %v", err)
	}
}
