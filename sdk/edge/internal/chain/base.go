package chain

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxChunks bounds a base: 1,048,576 chunks are more than etcd holds.
const maxChunks = 1 << 20

// Base is the checked head of a list of all documents at one release.
type Base struct {
	Manifest *Manifest
	chunks   []wire.Sum
}

// Point names a release that is held. A zero release is the empty state.
type Point struct {
	Release int64
	// Digest is [Manifest.Digest]; absent where it is not known.
	Digest wire.Sum
}

// OpenBase checks the signed head of a channel's base.
func OpenBase(trust wire.Trust, c wire.Channel, raw []byte) (*Base, error) {
	var signed edgev1.Signed
	if err := proto.Unmarshal(raw, &signed); err != nil {
		return nil, corrupt(0, "base: %v", err)
	}
	var p edgev1.Base
	if err := trust.Open(&signed, wire.ContextBase, &p); err != nil {
		return nil, corrupt(0, "base: %v", err)
	}
	if p.GetChannel() != string(c) || len(p.GetChunkSha256()) > maxChunks {
		return nil, corrupt(0, "base of channel %q with %d chunks", p.GetChannel(), len(p.GetChunkSha256()))
	}
	m, err := openSigned(trust, c, p.GetRelease(), p.GetManifest())
	if err != nil {
		return nil, err
	}
	if m.Raw, err = proto.Marshal(p.GetManifest()); err != nil {
		return nil, corrupt(0, "base: %v", err)
	}
	hash, err := wire.StateHashFromBytes(p.GetStateHash())
	if err != nil || hash != m.StateHash {
		return nil, corrupt(0, "the base's state hash is not that of release %d", m.Number)
	}
	b := &Base{Manifest: m, chunks: make([]wire.Sum, len(p.GetChunkSha256()))}
	for i, sum := range p.GetChunkSha256() {
		if b.chunks[i], err = wire.SumFromBytes(sum); err != nil || b.chunks[i].IsZero() {
			return nil, corrupt(0, "base: the digest of chunk %d is not one", i)
		}
	}
	return b, nil
}

// Chunks is the number of chunks.
func (b *Base) Chunks() int { return len(b.chunks) }

// Read checks and returns the whole list, as changes from the empty state in order of
// kind and ID. chunk returns the bytes of one chunk.
func (b *Base) Read(chunk func(i int) ([]byte, error)) ([]Change, error) {
	var (
		all  []Change
		hash wire.StateHash
	)
	for i, want := range b.chunks {
		raw, err := chunk(i)
		if err != nil {
			return nil, err
		}
		if wire.SumOf(raw) != want {
			return nil, corrupt(0, "chunk %d of the base at release %d has another digest", i, b.Manifest.Number)
		}
		entries, err := parseChunk(b.Manifest.Channel, raw)
		if err != nil {
			return nil, corrupt(0, "chunk %d of the base at release %d: %v", i, b.Manifest.Number, err)
		}
		for _, e := range entries {
			if len(all) > 0 && all[len(all)-1].ID.Compare(e.ID) >= 0 {
				return nil, corrupt(0, "base at release %d: %s is out of order", b.Manifest.Number, e.ID)
			}
			hash = hash.Add(b.Manifest.Channel, e.ID, e.After)
			all = append(all, e)
		}
	}
	if hash != b.Manifest.StateHash {
		return nil, corrupt(0, "the base's documents do not have the state hash of release %d", b.Manifest.Number)
	}
	return all, nil
}

func parseChunk(c wire.Channel, raw []byte) ([]Change, error) {
	var p edgev1.BaseChunk
	if err := proto.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	entries := make([]Change, len(p.GetEntries()))
	for i, e := range p.GetEntries() {
		id, err := parseID(c, e.GetKind(), e.GetId())
		if err != nil {
			return nil, err
		}
		sum, err := wire.SumFromBytes(e.GetSha256())
		if err != nil {
			return nil, err
		}
		if sum.IsZero() {
			return nil, fmt.Errorf("document %s has no digest", id)
		}
		entries[i] = Change{ID: id, After: sum}
	}
	return entries, nil
}
