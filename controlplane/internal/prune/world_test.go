package prune

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// world is a store in which a test plays the publisher and the rollout of one channel.
type world struct {
	t       *testing.T
	store   *memory.Store
	control *watchcache.Cache
	clock   *clockwork.FakeClock
	signer  ed25519.PrivateKey
	fence   registry.Compare
	pruner  *Pruner

	head    storev1.HeadRecord
	rollout storev1.RolloutRecord
	docs    map[string]wire.Sum
	hash    wire.StateHash
	// last is the newest manifest.
	last *edgev1.Signed
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{
		t: t, store: memory.New(memory.Config{}), clock: clockwork.NewFakeClock(),
		signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), docs: map[string]wire.Sum{},
	}
	w.control = watchcache.New(w.store, watchcache.Config{Prefix: ledger.ControlPrefix})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.control.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		w.store.Close()
	})
	public, ok := w.signer.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no public key")
	}
	cfg := Config{
		Edge: w.store, Control: w.control, Trust: wire.NewTrust(public), Clock: w.clock,
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.pruner, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	w.elect()
	return w
}

func (w *world) elect() {
	w.t.Helper()
	w.fence = registry.Compare{Key: ledger.LeaderKey, ModRevision: w.write(registry.Put(ledger.LeaderKey, nil))}
}

// office is a leadership.
type office struct{ fence registry.Compare }

func (o office) Fence() registry.Compare { return o.fence }
func (o office) Number() int64           { return 1 }

func (w *world) write(ops ...registry.Op) int64 {
	w.t.Helper()
	revision, err := w.store.Commit(context.Background(), registry.Txn{Then: ops})
	if err != nil {
		w.t.Fatal(err)
	}
	return revision
}

func (w *world) put(key string, m proto.Message) registry.Op {
	w.t.Helper()
	op, err := ledger.Put(key, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return op
}

func (w *world) sign(context string, m proto.Message) *edgev1.Signed {
	w.t.Helper()
	signed, err := wire.Sign(w.signer, context, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

// seal releases new versions of documents, `id=content`.
func (w *world) seal(versions map[string]string) int64 {
	w.t.Helper()
	n := w.head.GetLastNumber() + 1
	m := &edgev1.Manifest{Channel: string(wire.Routine), Number: n, Parent: w.head.GetRelease()}
	var ops []registry.Op
	for _, id := range slices.Sorted(maps.Keys(versions)) {
		before, after := w.docs[id], wire.SumOf([]byte(versions[id]))
		c := &edgev1.Manifest_Change{Kind: wire.KindSite, Id: id, NewSha256: after[:]}
		if !before.IsZero() {
			c.OldSha256 = before[:]
		}
		m.Changes = append(m.Changes, c)
		w.docs[id] = after
		w.hash = w.hash.Replace(wire.Routine, wire.DocumentID{Kind: wire.KindSite, ID: id}, before, after)
		ops = append(ops, registry.Put(wire.BlobKey(after), []byte(versions[id])))
	}
	m.StateHash = w.hash[:]
	w.last = w.sign(wire.ContextManifest, m)
	w.head.Release, w.head.LastNumber = n, n
	w.write(append(ops, w.put(wire.ReleaseKey(wire.Routine, n), w.last), w.put(ledger.HeadKey(wire.Routine), &w.head))...)
	return n
}

// good lets the head soak: it is last known good, and the one before is history.
func (w *world) good() {
	w.t.Helper()
	n := w.head.GetRelease()
	var ops []registry.Op
	for _, r := range w.rollout.GetReleases() {
		ops = append(ops, w.put(ledger.HistoryKey(wire.Routine, r.GetNumber()), r))
	}
	w.rollout.Releases = []*storev1.ReleaseProgress{{Number: n, State: storev1.ReleaseProgress_GOOD}}
	w.rollout.LastKnownGood, w.rollout.LastNumber, w.rollout.Live = n, n, n
	w.rollout.Generations = append(w.rollout.Generations, &storev1.Generation{Release: n})
	w.rollout.Targets = map[string]*storev1.TargetState{"SJC": {Release: n}}
	w.write(append(ops, w.put(ledger.RolloutKey(wire.Routine), &w.rollout))...)
}

// base writes the base of the head.
func (w *world) base() {
	w.t.Helper()
	n := w.head.GetRelease()
	chunk := &edgev1.BaseChunk{}
	for _, id := range slices.Sorted(maps.Keys(w.docs)) {
		sum := w.docs[id]
		chunk.Entries = append(chunk.Entries, &edgev1.BaseChunk_Entry{Kind: wire.KindSite, Id: id, Sha256: sum[:]})
	}
	op := w.put(wire.BaseChunkKey(wire.Routine, n, 0), chunk)
	digest := wire.SumOf(op.Value)
	rec := &edgev1.Base{
		Channel: string(wire.Routine), Release: n, StateHash: w.hash[:], Manifest: w.last, ChunkSha256: [][]byte{digest[:]},
	}
	w.write(op, w.put(wire.BaseKey(wire.Routine), w.sign(wire.ContextBase, rec)))
}

// grow makes so many good releases of a document that changes in each.
func (w *world) grow(releases int) {
	w.t.Helper()
	for range releases {
		n := w.head.GetLastNumber() + 1
		w.seal(map[string]string{"shop.test": fmt.Sprintf("version %d", n), fmt.Sprintf("s%d.test", n): "stays"})
		w.good()
	}
	w.base()
}

// round prunes once, at any pace.
func (w *world) round() error {
	w.t.Helper()
	return w.roundOf(&term{cfg: w.pruner.cfg, owner: w.pruner, fence: w.fence, loose: true})
}

func (w *world) roundOf(t *term) error {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for w.clock.BlockUntilContext(ctx, 1) == nil {
			w.clock.Advance(w.pruner.cfg.Pace)
		}
	})
	err := t.round(w.t.Context())
	cancel()
	wg.Wait()
	return err
}

func (w *world) keys(prefix string) []string {
	w.t.Helper()
	page, err := w.store.List(w.t.Context(), registry.ListRequest{Prefix: prefix, KeysOnly: true, Limit: 10_000})
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, kv := range page.KVs {
		out = append(out, kv.Key)
	}
	return out
}

func (w *world) has(key string) bool {
	w.t.Helper()
	_, err := w.store.Get(w.t.Context(), key)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		w.t.Fatal(err)
	}
	return err == nil
}

func blobOf(content string) string { return wire.BlobKey(wire.SumOf([]byte(content))) }
