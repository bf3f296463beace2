package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// chunkEntries is how many documents a chunk of a base lists.
	chunkEntries = 4_000
	// baseShare is the part of all documents that changed, as its denominator, at which a
	// base is written anew.
	baseShare = 4
	// baseInterval is the shortest time between two bases where the store fills up.
	baseInterval = time.Minute
)

// readBase reads and checks the stored base; nil when there is none.
func (w *worker) readBase(ctx context.Context) (*books, error) {
	var signed edgev1.Signed
	revision, err := ledger.Load(ctx, w.cfg.Edge, wire.BaseKey(w.channel), &signed)
	if revision == 0 || err != nil {
		return nil, err
	}
	var rec edgev1.Base
	if err := w.cfg.Trust.Open(&signed, wire.ContextBase, &rec); err != nil {
		return nil, fmt.Errorf("publish: base of %s: %w", w.channel, err)
	}
	m, err := w.openManifest(rec.GetManifest(), rec.GetRelease())
	if err != nil {
		return nil, err
	}
	b := newBooks()
	for i, want := range rec.GetChunkSha256() {
		kv, err := w.cfg.Edge.Get(ctx, wire.BaseChunkKey(w.channel, m.number, i))
		if err != nil {
			return nil, fmt.Errorf("publish: base of %s, chunk %d: %w", w.channel, i, err)
		}
		if got := wire.SumOf(kv.Value); string(got[:]) != string(want) {
			return nil, fmt.Errorf("publish: base of %s, chunk %d has another digest", w.channel, i)
		}
		var chunk edgev1.BaseChunk
		if err := proto.Unmarshal(kv.Value, &chunk); err != nil {
			return nil, fmt.Errorf("publish: base of %s, chunk %d: %w", w.channel, i, err)
		}
		for _, e := range chunk.GetEntries() {
			sum, err := wire.SumFromBytes(e.GetSha256())
			if err != nil {
				return nil, fmt.Errorf("publish: base of %s, chunk %d: %w", w.channel, i, err)
			}
			b.set(w.channel, wire.DocumentID{Kind: e.GetKind(), ID: e.GetId()}, wire.Sum{}, sum)
		}
	}
	if b.hash != m.hash {
		return nil, fmt.Errorf("publish: base of %s has another state hash than release %d", w.channel, m.number)
	}
	b.release = m.number
	return b, nil
}

// keepBase writes a base where there is none, or where the last known good release is far
// ahead of it. A base is always of a release that is never abandoned: the genesis release,
// or last known good. What is older than the base can be pruned, so a base follows sooner
// where much changes or the store fills up.
func (w *worker) keepBase(ctx context.Context) error {
	if w.books == nil || w.books.release == 0 {
		return nil
	}
	good := w.holds.good
	if w.base != 0 && !w.baseDue(good) {
		return nil
	}
	back := w.books.clone()
	var m *manifest
	for {
		var err error
		if m, err = w.readManifest(ctx, back.release); err != nil {
			return err
		}
		if m.parent == 0 || good != 0 && m.number <= good {
			break
		}
		back.revert(w.channel, m)
	}
	return w.putBase(ctx, back, m)
}

// baseDue says whether a base of the last known good release is worth its writing.
func (w *worker) baseDue(good int64) bool {
	if good <= w.base {
		return false
	}
	changes := 0
	for _, s := range w.books.since {
		if s.release <= good {
			changes += s.changes
		}
	}
	return good-w.base >= int64(w.cfg.BaseEvery) ||
		changes >= max(BaseChanges, len(w.books.docs)/baseShare) ||
		w.quota.tight && w.cfg.Clock.Since(w.baseTime) >= baseInterval
}

// putBase writes chunks, then the header that names them, then removes the chunks that
// nobody may still be reading: those older than the base before.
func (w *worker) putBase(ctx context.Context, b *books, m *manifest) error {
	rec := &edgev1.Base{Channel: string(w.channel), Release: m.number, StateHash: b.hash[:], Manifest: m.signed}
	ids := slices.SortedFunc(maps.Keys(b.docs), wire.DocumentID.Compare)
	for part := range slices.Chunk(ids, chunkEntries) {
		chunk := &edgev1.BaseChunk{}
		for _, id := range part {
			sum := b.docs[id]
			chunk.Entries = append(chunk.Entries, &edgev1.BaseChunk_Entry{Kind: id.Kind, Id: id.ID, Sha256: sum[:]})
		}
		op, err := ledger.Put(wire.BaseChunkKey(w.channel, m.number, len(rec.GetChunkSha256())), chunk)
		if err != nil {
			return err
		}
		if err := w.write(ctx, op); err != nil {
			return err
		}
		sum := wire.SumOf(op.Value)
		rec.ChunkSha256 = append(rec.ChunkSha256, sum[:])
	}
	signed, err := wire.Sign(w.cfg.Signer, wire.ContextBase, rec)
	if err != nil {
		return err
	}
	op, err := ledger.Put(wire.BaseKey(w.channel), signed)
	if err != nil {
		return err
	}
	if err := w.write(ctx, op); err != nil {
		return err
	}
	before := w.base
	w.base, w.baseTime = m.number, w.cfg.Clock.Now()
	w.books.since = slices.DeleteFunc(w.books.since, func(s step) bool { return s.release <= m.number })
	w.log.Info("wrote a base", "release", m.number, "documents", len(ids))
	return w.dropChunks(ctx, before)
}

func (w *worker) write(ctx context.Context, ops ...registry.Op) error {
	_, err := ledger.Commit(ctx, w.cfg.Edge, w.term.Fence(), registry.Txn{Then: ops})
	return err
}

// dropChunks removes the chunks of bases older than a release.
func (w *worker) dropChunks(ctx context.Context, before int64) error {
	for {
		page, err := w.cfg.Edge.List(ctx, registry.ListRequest{Prefix: wire.BaseChunkPrefix(w.channel), Limit: 100})
		if err != nil {
			return err
		}
		var ops []registry.Op
		for _, kv := range page.KVs {
			if kv.Key < wire.BaseChunkKey(w.channel, before, 0) {
				ops = append(ops, registry.Delete(kv.Key))
			}
		}
		if len(ops) == 0 {
			return nil
		}
		if err := w.write(ctx, ops...); err != nil {
			return err
		}
	}
}
