package prune

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestRound(t *testing.T) {
	w := newWorld(t, nil)
	w.grow(10)
	w.write(registry.Put(blobOf("nobody's"), []byte("nobody's")),
		registry.Put(wire.AbandonedKey(wire.Routine, 3), nil), registry.Put(wire.AbandonedKey(wire.Routine, 9), nil))
	if err := w.round(); err != nil {
		t.Fatal(err)
	}
	// Releases 7 to 10 are the last four generations.
	for n := range int64(11) {
		if n > 0 && w.has(wire.ReleaseKey(wire.Routine, n)) != (n >= 7) {
			t.Errorf("manifest %d: %v", n, w.has(wire.ReleaseKey(wire.Routine, n)))
		}
		// Release 7 replaced version 6, and may be undone.
		if n > 0 && w.has(blobOf(fmt.Sprintf("version %d", n))) != (n >= 6) {
			t.Errorf("document of release %d: %v", n, w.has(blobOf(fmt.Sprintf("version %d", n))))
		}
	}
	if w.has(blobOf("nobody's")) || !w.has(blobOf("stays")) {
		t.Errorf("documents: %q", w.keys(wire.BlobPrefix))
	}
	if w.has(wire.AbandonedKey(wire.Routine, 3)) || !w.has(wire.AbandonedKey(wire.Routine, 9)) {
		t.Errorf("marks: %q", w.keys(wire.AbandonedPrefix(wire.Routine)))
	}
	if got := len(w.keys(ledger.HistoryPrefix(wire.Routine))); got != 9 {
		t.Errorf("%d of 9 finished releases are remembered", got)
	}
	if got := w.pruner.Pruned(); got[kindManifest] != 6 || got[kindBlob] != 6 || got[kindHistory] != 0 {
		t.Errorf("pruned: %v", got)
	}
	if err := w.round(); err != nil || w.pruner.Pruned()[kindManifest] != 6 {
		t.Errorf("a second look: %v, %v", w.pruner.Pruned(), err)
	}
}

// TestManyReleases checks that all goes that may, however much it is, and that the history is
// bounded.
func TestManyReleases(t *testing.T) {
	w := newWorld(t, nil)
	const releases = History + 2*keysPerTxn
	w.grow(releases)
	w.write(w.put(ledger.QuarantineKey("site-old.test"), &storev1.QuarantineRecord{
		Kind: wire.KindSite, Id: "old.test", Channel: string(wire.Routine), Release: 5,
		BadSha256: make([]byte, 32), GoodSha256: sumOf("version 2"),
	}))
	if err := w.round(); err != nil {
		t.Fatal(err)
	}
	if got := len(w.keys(wire.ReleasePrefix(wire.Routine))); got != Generations {
		t.Errorf("%d manifests", got)
	}
	// The one before each kept version, what stays, and the good version of the quarantine.
	if got := len(w.keys(wire.BlobPrefix)); got != Generations+3 || !w.has(blobOf("version 2")) {
		t.Errorf("%d documents: %q", got, w.keys(wire.BlobPrefix))
	}
	if got := len(w.keys(ledger.HistoryPrefix(wire.Routine))); got != History+1 || !w.has(ledger.HistoryKey(wire.Routine, 5)) {
		t.Errorf("%d finished releases are remembered", got)
	}
}

func sumOf(content string) []byte {
	sum := wire.SumOf([]byte(content))
	return sum[:]
}

// meddling is a store in which something happens just before documents are removed.
type meddling struct {
	registry.Store
	before func()
}

func (s *meddling) Commit(ctx context.Context, txn registry.Txn) (int64, error) {
	if before := s.before; before != nil && txn.Then[0].Delete && strings.HasPrefix(txn.Then[0].Key, wire.BlobPrefix) {
		s.before = nil
		before()
	}
	return s.Store.Commit(ctx, txn)
}

// TestSealedWhileSweeping checks that a document stays that a release names again at the last
// moment.
func TestSealedWhileSweeping(t *testing.T) {
	store := &meddling{}
	w := newWorld(t, func(c *Config) {
		store.Store = c.Edge
		c.Edge = store
	})
	w.grow(10)
	store.before = func() { w.seal(map[string]string{"shop.test": "version 2"}) }
	if err := w.round(); err != nil {
		t.Fatal(err)
	}
	if store.before != nil || !w.has(blobOf("version 2")) || w.has(blobOf("version 3")) {
		t.Errorf("documents: %q", w.keys(wire.BlobPrefix))
	}
}

// TestRollbackWaits checks that no document goes while an operator's rollback may need it,
// nor the manifest that says which.
func TestRollbackWaits(t *testing.T) {
	w := newWorld(t, nil)
	w.grow(10)
	w.write(w.put(ledger.CommandKey("1"), &storev1.Command{
		Verb: storev1.Command_ROLLBACK, Channel: string(wire.Routine), Release: 4,
	}))
	if err := w.round(); !errors.Is(err, errBusy) {
		t.Errorf("err = %v", err)
	}
	if w.has(wire.ReleaseKey(wire.Routine, 3)) || !w.has(wire.ReleaseKey(wire.Routine, 4)) || !w.has(blobOf("version 1")) {
		t.Errorf("left: %q", w.keys(wire.EdgePrefix))
	}
	w.write(registry.Delete(ledger.CommandKey("1")))
	if err := w.round(); err != nil || w.has(wire.ReleaseKey(wire.Routine, 4)) || w.has(blobOf("version 1")) {
		t.Errorf("left: %q, %v", w.keys(wire.EdgePrefix), err)
	}
}

// TestUnreadable checks that all documents stay where something can't be read that may name
// them.
func TestUnreadable(t *testing.T) {
	for name, spoil := range map[string]func(*world) registry.Op{
		"manifest": func(w *world) registry.Op { return registry.Put(wire.ReleaseKey(wire.Routine, 9), []byte("no")) },
		"base":     func(w *world) registry.Op { return registry.Put(wire.BaseKey(wire.Routine), []byte("no")) },
		"chunk":    func(w *world) registry.Op { return registry.Put(wire.BaseChunkKey(wire.Routine, 10, 0), []byte("no")) },
		"rollout":  func(w *world) registry.Op { return registry.Put(ledger.RolloutKey(wire.Routine), []byte("no")) },
		"command":  func(w *world) registry.Op { return registry.Put(ledger.CommandKey("1"), []byte("no")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.grow(10)
			before := len(w.keys(wire.BlobPrefix))
			w.write(spoil(w))
			if err := w.round(); err == nil {
				t.Error("no error")
			}
			if got := len(w.keys(wire.BlobPrefix)); got != before {
				t.Errorf("%d of %d documents are left", got, before)
			}
		})
	}
}

// TestDeposed checks that a leader that was replaced removes nothing.
func TestDeposed(t *testing.T) {
	w := newWorld(t, nil)
	w.grow(10)
	old := &term{cfg: w.pruner.cfg, owner: w.pruner, fence: w.fence}
	w.elect()
	before := len(w.keys(""))
	if err := w.roundOf(old); !errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("err = %v", err)
	}
	if got := len(w.keys("")); got != before {
		t.Errorf("%d of %d keys are left", got, before)
	}
}

// TestSweeps checks when documents are looked at: at first, when manifests went, and now and
// then.
func TestSweeps(t *testing.T) {
	w := newWorld(t, nil)
	w.grow(10)
	leading := &term{cfg: w.pruner.cfg, owner: w.pruner, fence: w.fence, loose: true}
	swept := func(want bool) {
		t.Helper()
		w.write(registry.Put(blobOf("nobody's"), []byte("nobody's")))
		if err := w.roundOf(leading); err != nil {
			t.Fatal(err)
		}
		if got := !w.has(blobOf("nobody's")); got != want {
			t.Errorf("swept: %v, want %v", got, want)
		}
	}
	swept(true)
	swept(false)
	w.clock.Advance(w.pruner.cfg.SweepEvery)
	swept(false)
	w.grow(1)
	swept(true)
	w.grow(1)
	swept(false) // Too soon.
	w.clock.Advance(w.pruner.cfg.SweepEvery)
	swept(true)
	w.clock.Advance(w.pruner.cfg.IdleSweep)
	swept(true)
}

func TestRun(t *testing.T) {
	w := newWorld(t, nil)
	w.grow(10)
	run := func(ctx context.Context) chan error {
		done, leading := make(chan error, 1), office{w.fence}
		go func() { done <- w.pruner.Run(ctx, leading) }()
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := run(ctx)
	for w.has(blobOf("version 1")) {
		if err := w.clock.BlockUntilContext(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(w.pruner.cfg.Every)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("told to end: %v", err)
	}
	w.grow(5)
	done = run(t.Context())
	w.elect()
	for {
		w.clock.Advance(w.pruner.cfg.Every)
		select {
		case err := <-done:
			if !errors.Is(err, ledger.ErrDeposed) {
				t.Errorf("deposed: %v", err)
			}
			return
		default:
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no store")
	}
	w := newWorld(t, nil)
	if _, err := New(Config{Edge: w.store, Control: w.control}); err == nil {
		t.Error("no key")
	}
}
