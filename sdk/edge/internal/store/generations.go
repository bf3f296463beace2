package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Next is a generation to begin.
type Next struct {
	Channel        wire.Channel
	TargetSequence int64
	// Changes and State are the way's, see [chain.Way].
	Changes []chain.Change
	State   chain.State
	// Bodies are the new documents that the store does not have yet.
	Bodies map[wire.Sum][]byte
	// Manifests are those of the releases on the way, to undo them without etcd.
	Manifests []*chain.Manifest
	// Seen is noted in the same step, where it is given.
	Seen Seen
}

// Head returns the newest generation that the data plane took; false when there is none.
func (s *Store) Head(c wire.Channel) (Generation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.channels[c]; h != nil {
		return h.head()
	}
	return Generation{}, false
}

// Pending returns the generation that was begun and not finished.
func (s *Store) Pending(c wire.Channel) (Generation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.channels[c]
	if h == nil || len(h.gens) == 0 || h.gens[len(h.gens)-1].Applied {
		return Generation{}, false
	}
	return h.gens[len(h.gens)-1], true
}

// Begin keeps a new generation and marks it as applying, in one step. It takes the place of
// one that was begun and neither finished nor undone, because the disk was full.
func (s *Store) Begin(n Next) (Generation, error) {
	s.mu.Lock()
	g := Generation{
		Channel: n.Channel, Seq: 1, Order: s.order + 1, TargetSequence: n.TargetSequence,
		State: n.State, weight: len(n.Changes),
	}
	h := s.channels[n.Channel]
	next := history{gens: slices.Clone(h.gens), checkpoints: slices.Clone(h.checkpoints), pending: h.pending}
	left := len(next.gens) > 0 && !next.gens[len(next.gens)-1].Applied
	s.mu.Unlock()

	err := s.update(func(tx *bolt.Tx) error {
		if left {
			if err := next.pop(tx, n.Channel); err != nil {
				return err
			}
		}
		if gens := next.gens; len(gens) > 0 {
			g.Seq = gens[len(gens)-1].Seq + 1
		}
		for _, c := range n.Changes {
			if c.After.IsZero() {
				continue
			}
			if err := ref(tx, c.After, n.Bodies[c.After]); err != nil {
				return err
			}
		}
		manifests, err := bucket(tx, n.Channel, bucketManifests)
		if err != nil {
			return err
		}
		for _, m := range n.Manifests {
			if err := manifests.Put(seqKey(uint64(m.Number)), m.Raw); err != nil {
				return err
			}
		}
		if n.Seen != (Seen{}) {
			if err := tx.Bucket(bucketMeta).Put(keySeen, n.Seen.encode()); err != nil {
				return err
			}
		}
		generations, err := bucket(tx, n.Channel, bucketGenerations)
		if err != nil {
			return err
		}
		return generations.Put(seqKey(g.Seq), encode(g, n.Changes))
	})
	if err != nil {
		return Generation{}, err
	}
	next.gens = append(next.gens, g)
	next.pending += g.weight + 1
	s.mu.Lock()
	defer s.mu.Unlock()
	*h = next
	s.order = g.Order
	return g, nil
}

// Finish marks the generation that is applying as applied, and removes what is too old.
func (s *Store) Finish(c wire.Channel) error {
	s.mu.Lock()
	h := s.channels[c]
	next := history{gens: slices.Clone(h.gens), checkpoints: slices.Clone(h.checkpoints), pending: h.pending}
	s.mu.Unlock()
	if len(next.gens) == 0 {
		return fmt.Errorf("edge store: nothing of %s is applying", c)
	}
	g := &next.gens[len(next.gens)-1]
	g.Applied = true
	err := s.update(func(tx *bolt.Tx) error {
		applied, err := bucket(tx, c, bucketApplied)
		if err != nil {
			return err
		}
		if err := applied.Put(seqKey(g.Seq), []byte{1}); err != nil {
			return err
		}
		for _, key := range [][]byte{interruptedKey(c), lostKey(c)} {
			if err := tx.Bucket(bucketMeta).Delete(key); err != nil {
				return err
			}
		}
		if next.pending < max(s.opts.CheckpointEvery, int(g.Documents)) {
			return nil
		}
		if err := checkpoint(tx, c, *g); err != nil {
			return err
		}
		next.checkpoints = append(next.checkpoints, g.Seq)
		next.pending = 0
		return next.prune(tx, c)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*h = next
	return nil
}

// checkpoint writes the whole list of a generation.
func checkpoint(tx *bolt.Tx, c wire.Channel, g Generation) error {
	r, err := scan(tx, c)
	if err != nil {
		return err
	}
	state, err := r.state(tx, c, g)
	if err != nil {
		return err
	}
	checkpoints, err := bucket(tx, c, bucketCheckpoints)
	if err != nil {
		return err
	}
	return checkpoints.Put(seqKey(g.Seq), encode(g, listed(state)))
}

// listed returns a state as changes from the empty one, in order.
func listed(state map[wire.DocumentID]wire.Sum) []chain.Change {
	list := make([]chain.Change, 0, len(state))
	for id, sum := range state {
		list = append(list, chain.Change{ID: id, After: sum})
	}
	slices.SortFunc(list, func(a, b chain.Change) int { return a.ID.Compare(b.ID) })
	return list
}

// prune removes checkpoints but the newest, generations before the oldest one left, and
// documents that only they needed.
func (h *history) prune(tx *bolt.Tx, c wire.Channel) error {
	if len(h.checkpoints) <= keepCheckpoints {
		return nil
	}
	drop := h.checkpoints[:len(h.checkpoints)-keepCheckpoints]
	h.checkpoints = h.checkpoints[len(drop):]
	oldest := h.checkpoints[0]
	checkpoints, err := bucket(tx, c, bucketCheckpoints)
	if err != nil {
		return err
	}
	for _, seq := range drop {
		if err := checkpoints.Delete(seqKey(seq)); err != nil {
			return err
		}
	}
	generations, err := bucket(tx, c, bucketGenerations)
	if err != nil {
		return err
	}
	applied, err := bucket(tx, c, bucketApplied)
	if err != nil {
		return err
	}
	for len(h.gens) > 0 && h.gens[0].Seq <= oldest {
		g := h.gens[0]
		if generations.Get(seqKey(g.Seq)) != nil {
			changes, err := read(tx, c, bucketGenerations, g.Seq)
			if err != nil {
				return err
			}
			for _, change := range changes {
				if change.Before.IsZero() {
					continue
				}
				if err := unref(tx, change.Before); err != nil {
					return err
				}
			}
			if err := generations.Delete(seqKey(g.Seq)); err != nil {
				return err
			}
		}
		if g.Seq == oldest {
			break // its state stays, in the checkpoint
		}
		if err := applied.Delete(seqKey(g.Seq)); err != nil {
			return err
		}
		h.gens = h.gens[1:]
	}
	return h.pruneManifests(tx, c)
}

// pruneManifests removes the manifests below every release that is kept.
func (h *history) pruneManifests(tx *bolt.Tx, c wire.Channel) error {
	lowest := h.gens[0].Release
	for _, g := range h.gens {
		lowest = min(lowest, g.Release)
	}
	manifests, err := bucket(tx, c, bucketManifests)
	if err != nil {
		return err
	}
	var old [][]byte
	cursor := manifests.Cursor()
	for k, _ := cursor.First(); len(k) == 8 && int64(binary.BigEndian.Uint64(k)) < lowest; k, _ = cursor.Next() {
		old = append(old, slices.Clone(k))
	}
	for _, k := range old {
		if err := manifests.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Undo removes the newest generation, applied or not, and keeps the rejection, if one is
// given, in the same step.
func (s *Store) Undo(c wire.Channel, why *edgev1.Rejection) error {
	s.mu.Lock()
	h := s.channels[c]
	next := history{gens: slices.Clone(h.gens), checkpoints: slices.Clone(h.checkpoints), pending: h.pending}
	s.mu.Unlock()
	if len(next.gens) == 0 {
		return fmt.Errorf("edge store: %s has no generation", c)
	}
	err := s.update(func(tx *bolt.Tx) error {
		if err := next.pop(tx, c); err != nil || why == nil {
			return err
		}
		return putRejection(tx, c, why)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*h = next
	return nil
}

func (h *history) pop(tx *bolt.Tx, c wire.Channel) error {
	g := h.gens[len(h.gens)-1]
	h.gens = h.gens[:len(h.gens)-1]
	h.pending = max(h.pending-g.weight-1, 0)
	if n := len(h.checkpoints); n > 0 && h.checkpoints[n-1] == g.Seq {
		h.checkpoints = h.checkpoints[:n-1]
	}
	changes, err := read(tx, c, bucketGenerations, g.Seq)
	if err != nil {
		// The oldest one has only its checkpoint.
		if changes, err = read(tx, c, bucketCheckpoints, g.Seq); err != nil {
			return err
		}
	}
	for _, change := range changes {
		if change.After.IsZero() {
			continue
		}
		if err := unref(tx, change.After); err != nil {
			return err
		}
	}
	for _, name := range [][]byte{bucketGenerations, bucketApplied, bucketCheckpoints} {
		b, err := bucket(tx, c, name)
		if err != nil {
			return err
		}
		if err := b.Delete(seqKey(g.Seq)); err != nil {
			return err
		}
	}
	return nil
}
