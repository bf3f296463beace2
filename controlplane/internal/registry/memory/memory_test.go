package memory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) (*memory.Store, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClock()
	s := memory.New(memory.Config{Clock: clock})
	t.Cleanup(s.Close)
	return s, clock
}

func TestConformance(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) registrytest.Harness {
		t.Helper()
		s, clock := open(t)
		return registrytest.Harness{
			Store:   s,
			Compact: func(_ *testing.T, rev int64) { s.Compact(rev) },
			Advance: clock.Advance,
		}
	})
}

func put(t *testing.T, s *memory.Store, key, value string) int64 {
	t.Helper()
	rev, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, []byte(value))}})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func drain(t *testing.T, w registry.Watch) error {
	t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		select {
		case _, ok := <-w.C():
			if !ok {
				return w.Err()
			}
		case <-timeout.C:
			t.Fatal("the watch goes on")
		}
	}
}

func TestUnavailable(t *testing.T) {
	s, _ := open(t)
	rev := put(t, s, "a", "1")
	w := s.Watch(t.Context(), "", rev)
	s.SetUnavailable(true)
	if err := drain(t, w); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("watch: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("get: %v", err)
	}
	if err := drain(t, s.Watch(t.Context(), "", rev)); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("new watch: %v", err)
	}
	s.SetUnavailable(false)
	if _, err := s.Get(t.Context(), "a"); err != nil {
		t.Fatalf("get: %v", err)
	}
}

func TestLostAnswer(t *testing.T) {
	s, _ := open(t)
	s.LoseAnswers(1)
	_, err := s.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put("a", nil)}})
	if !errors.Is(err, registry.ErrUnknownOutcome) {
		t.Fatalf("err = %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); err != nil {
		t.Fatalf("the write was to be kept: %v", err)
	}
	put(t, s, "b", "")
}

func TestRestoreEndsWatches(t *testing.T) {
	s, _ := open(t)
	put(t, s, "a", "1")
	before, _ := s.Status(t.Context())
	backup := s.Backup()
	rev := put(t, s, "a", "2")
	w := s.Watch(t.Context(), "", rev)
	s.Restore(backup)
	var reset *registry.ResetError
	if err := drain(t, w); !errors.As(err, &reset) {
		t.Fatalf("watch: %v", err)
	}
	if kv, err := s.Get(t.Context(), "a"); err != nil || string(kv.Value) != "1" {
		t.Fatalf("got %+v, %v", kv, err)
	}
	if after, _ := s.Status(t.Context()); after.Cluster == before.Cluster {
		t.Fatal("the cluster is still the same")
	}
}

func TestSlowWatcherEnds(t *testing.T) {
	s := memory.New(memory.Config{Clock: clockwork.NewFakeClock(), MaxBuffered: 10})
	t.Cleanup(s.Close)
	w := s.Watch(t.Context(), "", 1)
	for range 12 { // one may be in the goroutine's hand
		put(t, s, "a", "1")
	}
	if err := drain(t, w); !errors.Is(err, registry.ErrUnavailable) {
		t.Fatalf("err = %v", err)
	}
}

func TestSilentWatchOwesItsEvents(t *testing.T) {
	s, _ := open(t)
	s.SetSilent(true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := s.Watch(ctx, "", 1)
	rev := put(t, s, "a", "1")
	select {
	case b := <-w.C():
		t.Fatalf("got %+v", b)
	default:
	}
	s.SetSilent(false)
	for b := range w.C() {
		if b.Revision == rev {
			return
		}
	}
	t.Fatalf("ended: %v", w.Err())
}
