package rollout

import (
	"context"
	"fmt"
	"sync"
	"testing"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// dying is the store of a process that dies at its nth write: before it, or after it was
// stored and before the answer came. From then on nothing it writes arrives.
type dying struct {
	registry.Store
	after bool

	mu   sync.Mutex
	left int
	dead chan struct{}
}

func (s *dying) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	switch {
	case s.left < 0:
		return 0, registry.ErrUnavailable
	case s.left == 0:
		defer close(s.dead)
		if s.after {
			if _, err := s.Store.Commit(ctx, txn); err != nil {
				return 0, err
			}
			return 0, registry.ErrUnknownOutcome
		}
		return 0, registry.ErrUnavailable
	}
	return s.Store.Commit(ctx, txn)
}

// killedAt runs a story in which leaders die at every nth write: a release with a document
// that is refused, one that goes live, and an operator's rollback. It returns whether
// anyone died.
func killedAt(t *testing.T, store registry.Store, n int, after bool) (died bool) {
	t.Helper()
	w := newWorld(t, store, 7)
	w.edges.refuse["bad.test"] = true
	// Leaders die and are replaced until the story is over.
	deaths := 0
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for round := 0; ; round++ {
			s := &dying{Store: store, after: after, left: n + round, dead: make(chan struct{})}
			ctx, cancel := context.WithCancel(w.ctx)
			tm := w.elect()
			done := make(chan struct{})
			d := w.driver(s, 1)
			go func() { defer close(done); _ = d.Run(ctx, tm) }()
			select {
			case <-s.dead:
				deaths++
				cancel()
				<-done
			case <-over:
				cancel()
				<-done
				return
			}
		}
	})
	defer func() { close(over); wg.Wait(); died = deaths > 0 }()
	bad := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "bad.test", "good.test")
	w.eventually("abandoned", func() bool { return w.abandoned(wire.Routine, bad) })
	good := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "good.test")
	w.live(wire.Routine, good)
	w.order("1", &storev1.Command{Verb: storev1.Command_ROLLBACK, Channel: string(wire.Routine), Release: good})
	w.eventually("rolled back", func() bool {
		return w.abandoned(wire.Routine, good) && w.edges.serving(wire.Routine, 1) == 7
	})
	last := w.seal(wire.Routine, edgev1.Manifest_CHANGES, "other.test")
	w.live(wire.Routine, last)
	w.eventually("served everywhere", func() bool { return w.edges.serving(wire.Routine, last) == 7 })
	var q storev1.QuarantineRecord
	id := ledger.QuarantineID(wire.DocumentID{Kind: wire.KindSite, ID: "bad.test"})
	if rev, err := ledger.Load(w.ctx, store, ledger.QuarantineKey(id), &q); err != nil || rev == 0 {
		t.Fatalf("the quarantine was lost: %v", err)
	}
	return false // Unless somebody died.
}

func TestKilledAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			more := false
			t.Run(fmt.Sprintf("%d,after=%v", n, after), func(t *testing.T) { more = killedAt(t, newStore(t), n, after) })
			if !more || t.Failed() {
				break
			}
		}
	}
}

func TestKilledOverEtcd(t *testing.T) {
	for _, n := range []int{1, 3, 6} {
		server, err := embedded.Start(t.Context(), embedded.Config{Fast: true, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		t.Run(fmt.Sprint(n), func(t *testing.T) { killedAt(t, etcd.New(server.Client(), etcd.Config{}), n, n%2 == 0) })
	}
}
