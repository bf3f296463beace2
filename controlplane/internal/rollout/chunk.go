package rollout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Where many changes are under suspicion at once, as after undoing all that did not soak,
// a record with all of them would be megabytes, written at every step of the search. They
// are therefore kept in chunks, written once and before the record that names them; the
// record has runs of places in chunks. Searching only cuts and drops runs.

// recordSuspects puts the suspects into a record, or their runs.
func (c *Chain) recordSuspects(rec *storev1.RolloutRecord) {
	var run *storev1.SuspectRun
	chunked := false
	for i := range c.Suspects {
		s := &c.Suspects[i]
		place := s.Place
		if s.Chunk == 0 {
			place = len(rec.GetSuspects())
			rec.Suspects = append(rec.Suspects, s.record())
		}
		chunked = chunked || s.Chunk != 0
		if run != nil && run.GetChunk() == s.Chunk && int(run.GetFirst()+run.GetSize()) == place {
			run.Size++
			continue
		}
		run = &storev1.SuspectRun{Chunk: s.Chunk, First: int32(place), Size: 1}
		rec.SuspectRuns = append(rec.SuspectRuns, run)
	}
	if !chunked {
		rec.SuspectRuns = nil // The record has them all, in order.
	}
}

func (s *Suspect) record() *storev1.Suspect {
	return &storev1.Suspect{
		Kind: s.Document.Kind, Id: s.Document.ID, BadSha256: sumBytes(s.Bad), GoodSha256: sumBytes(s.Good),
		Release: s.Release, FromRevision: s.FromRevision, Origin: storev1.Suspect_Origin(s.Origin),
	}
}

// takeSuspects takes in suspects in their order, and where the record says that they are.
func (c *Chain) takeSuspects(rec *storev1.RolloutRecord, suspects []*storev1.Suspect) error {
	for _, s := range suspects {
		bad, err := wire.SumFromBytes(s.GetBadSha256())
		if err != nil {
			return err
		}
		good, err := wire.SumFromBytes(s.GetGoodSha256())
		if err != nil {
			return err
		}
		c.Suspects = append(c.Suspects, Suspect{
			Document: wire.DocumentID{Kind: s.GetKind(), ID: s.GetId()}, Bad: bad, Good: good,
			Release: s.GetRelease(), FromRevision: s.GetFromRevision(), Origin: Origin(s.GetOrigin()),
		})
	}
	at := 0
	for _, run := range rec.GetSuspectRuns() {
		for i := range int(run.GetSize()) {
			if at == len(c.Suspects) {
				return fmt.Errorf("rollout: %d suspects, and runs of more", at)
			}
			if run.GetChunk() != 0 {
				c.Suspects[at].Chunk, c.Suspects[at].Place = run.GetChunk(), int(run.GetFirst())+i
			}
			at++
		}
	}
	return nil
}

// chunks are the chunks that the suspects are in. What was dropped before the chunk was ever
// written leaves a hole that no run names.
func (c *Chain) chunks() map[int64]*storev1.SuspectChunk {
	out := map[int64]*storev1.SuspectChunk{}
	for i := range c.Suspects {
		s := &c.Suspects[i]
		if s.Chunk == 0 {
			continue
		}
		chunk := out[s.Chunk]
		if chunk == nil {
			chunk = &storev1.SuspectChunk{}
			out[s.Chunk] = chunk
		}
		for len(chunk.GetSuspects()) <= s.Place {
			chunk.Suspects = append(chunk.Suspects, &storev1.Suspect{})
		}
		chunk.Suspects[s.Place] = s.record()
	}
	return out
}

// inChunks are the numbers of the chunks that the suspects are in.
func (c *Chain) inChunks() map[int64]bool {
	out := map[int64]bool{}
	for i := range c.Suspects {
		if n := c.Suspects[i].Chunk; n != 0 {
			out[n] = true
		}
	}
	return out
}

// loadChunks finds the chunks that a chain uses, and returns deletions of the others: a
// leader wrote them and died before it wrote the record that names them.
func (r *run) loadChunks(ch *Chain) []registry.Op {
	r.chunks[ch.Channel] = ch.inChunks()
	prefix := ledger.SuspectsPrefix(ch.Channel)
	var ops []registry.Op
	r.view.Ascend(prefix, func(kv registry.KV) bool {
		if n, err := strconv.ParseInt(strings.TrimPrefix(kv.Key, prefix), 16, 64); err != nil || !r.chunks[ch.Channel][n] {
			ops = append(ops, registry.Delete(kv.Key))
		}
		return true
	})
	return ops
}

// writeChunks writes the chunks of a chain that no stored record names yet. It comes before
// the record that does; where that is not written in the end, the next step writes them anew.
func (r *run) writeChunks(ctx context.Context, ch *Chain, used map[int64]bool) error {
	var ops []registry.Op
	var chunks map[int64]*storev1.SuspectChunk
	for _, n := range slices.Sorted(maps.Keys(used)) {
		if r.chunks[ch.Channel][n] {
			continue
		}
		if chunks == nil {
			chunks = ch.chunks()
		}
		op, err := ledger.Put(ledger.SuspectsKey(ch.Channel, n), chunks[n])
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	_, err := r.commit(ctx, nil, ops)
	return err
}

// unused are the deletions of the chunks that a chain needs no more.
func (r *run) unused(ch *Chain, used map[int64]bool) []registry.Op {
	var ops []registry.Op
	for _, n := range slices.Sorted(maps.Keys(r.chunks[ch.Channel])) {
		if !used[n] {
			ops = append(ops, registry.Delete(ledger.SuspectsKey(ch.Channel, n)))
		}
	}
	return ops
}
