package prune

import (
	"encoding/binary"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// marks are the documents that something needs, by the first 8 bytes of their digests: a
// quarter of the memory, and two that are alike only keep one more.
type marks map[uint64]struct{}

func markOf(sum wire.Sum) uint64 { return binary.BigEndian.Uint64(sum[:8]) }

func (m marks) add(sums ...wire.Sum) {
	for _, sum := range sums {
		if !sum.IsZero() {
			m[markOf(sum)] = struct{}{}
		}
	}
}

func (m marks) has(sum wire.Sum) bool {
	_, ok := m[markOf(sum)]
	return ok
}

// manifest marks what a release brings and what it replaces: whoever goes back over it, or
// undoes it, needs that again.
func (m marks) manifest(changes []*edgev1.Manifest_Change) error {
	for _, c := range changes {
		before, err := wire.SumFromBytes(c.GetOldSha256())
		if err != nil {
			return err
		}
		after, err := wire.SumFromBytes(c.GetNewSha256())
		if err != nil {
			return err
		}
		m.add(before, after)
	}
	return nil
}

// chunk marks what a part of a base lists.
func (m marks) chunk(entries []*edgev1.BaseChunk_Entry) error {
	for _, e := range entries {
		sum, err := wire.SumFromBytes(e.GetSha256())
		if err != nil {
			return err
		}
		m.add(sum)
	}
	return nil
}
