package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// records are the records of a channel whose checksums hold.
type records struct {
	generations map[uint64]Generation
	checkpoints map[uint64]Generation
	// damaged says that there are others.
	damaged bool
}

func scan(tx *bolt.Tx, c wire.Channel) (records, error) {
	r := records{generations: map[uint64]Generation{}, checkpoints: map[uint64]Generation{}}
	applied, err := bucket(tx, c, bucketApplied)
	if err != nil {
		return r, err
	}
	for name, into := range map[string]map[uint64]Generation{
		string(bucketGenerations): r.generations, string(bucketCheckpoints): r.checkpoints,
	} {
		b, err := bucket(tx, c, []byte(name))
		if err != nil {
			return r, err
		}
		err = b.ForEach(func(k, v []byte) error {
			g, _, err := decode(c, v, false)
			if err != nil || len(k) != 8 || binary.BigEndian.Uint64(k) != g.Seq {
				r.damaged = true
				return nil //nolint:nilerr // a damaged record is noted, and the others are read
			}
			g.Applied = applied.Get(k) != nil
			into[g.Seq] = g
			return nil
		})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// list returns every generation, oldest first, also those whose state cannot be had.
func (r records) list() []Generation {
	all := maps.Clone(r.checkpoints)
	maps.Copy(all, r.generations)
	return slices.SortedFunc(maps.Values(all), func(a, b Generation) int { return cmp.Compare(a.Seq, b.Seq) })
}

// state is what documents a channel has at a generation: the newest checkpoint that is
// whole, and the records after it.
func (r records) state(tx *bolt.Tx, c wire.Channel, want Generation) (map[wire.DocumentID]wire.Sum, error) {
	from := slices.Sorted(maps.Keys(r.checkpoints))
	slices.Reverse(from)
	from = append(from, 0)
	var err error
	for _, seq := range from {
		if seq > want.Seq {
			continue
		}
		state, tried := r.build(tx, c, seq, want)
		if tried == nil {
			return state, nil
		}
		if err == nil {
			err = tried // the newest checkpoint's failure says most
		}
	}
	return nil, err
}

func (r records) build(tx *bolt.Tx, c wire.Channel, from uint64, want Generation) (map[wire.DocumentID]wire.Sum, error) {
	state := make(map[wire.DocumentID]wire.Sum, want.Documents)
	if from > 0 {
		if err := replay(tx, c, bucketCheckpoints, from, state); err != nil {
			return nil, err
		}
	}
	for seq := from + 1; seq <= want.Seq; seq++ {
		if err := replay(tx, c, bucketGenerations, seq, state); err != nil {
			return nil, err
		}
	}
	var hash wire.StateHash
	for id, sum := range state {
		hash = hash.Add(c, id, sum)
	}
	if hash != want.StateHash {
		return nil, fmt.Errorf("%w: generation %d of %s has another state hash", ErrDamaged, want.Seq, c)
	}
	return state, nil
}

// replay does the changes of one record.
func replay(tx *bolt.Tx, c wire.Channel, in []byte, seq uint64, state map[wire.DocumentID]wire.Sum) error {
	changes, err := read(tx, c, in, seq)
	if err != nil {
		return err
	}
	for _, change := range changes {
		if state[change.ID] != change.Before {
			return fmt.Errorf("%w: generation %d of %s does not follow", ErrDamaged, seq, c)
		}
		if change.After.IsZero() {
			delete(state, change.ID)
		} else {
			state[change.ID] = change.After
		}
	}
	return nil
}

// read returns the changes of one record.
func read(tx *bolt.Tx, c wire.Channel, in []byte, seq uint64) ([]chain.Change, error) {
	b, err := bucket(tx, c, in)
	if err != nil {
		return nil, err
	}
	v := b.Get(seqKey(seq))
	if v == nil {
		return nil, fmt.Errorf("%w: generation %d of %s is not there", ErrDamaged, seq, c)
	}
	_, changes, err := decode(c, v, true)
	if err != nil {
		return nil, fmt.Errorf("%w: generation %d of %s", ErrDamaged, seq, c)
	}
	return changes, nil
}

// checkDocuments makes sure that every document of a state is there and is what it was.
func checkDocuments(tx *bolt.Tx, state map[wire.DocumentID]wire.Sum) error {
	blobs := tx.Bucket(bucketBlobs)
	for id, sum := range state {
		if body := blobs.Get(sum[:]); body == nil || wire.SumOf(body) != sum {
			return fmt.Errorf("%w: document %s", ErrDamaged, id)
		}
	}
	return nil
}

// load fills the lists, and checks every record and the newest applied generation of every
// channel.
func (s *Store) load() error {
	return s.view(func(tx *bolt.Tx) error {
		for _, c := range wire.Channels() {
			r, err := scan(tx, c)
			if err != nil {
				return err
			}
			if r.damaged {
				return fmt.Errorf("%w: a record of %s", ErrDamaged, c)
			}
			h := &history{gens: r.list(), checkpoints: slices.Sorted(maps.Keys(r.checkpoints))}
			for i, g := range h.gens {
				if i > 0 && h.gens[i-1].Seq+1 != g.Seq {
					return fmt.Errorf("%w: generation %d of %s is not there", ErrDamaged, g.Seq-1, c)
				}
				if i < len(h.gens)-1 && !g.Applied {
					return fmt.Errorf("%w: generation %d of %s was never applied", ErrDamaged, g.Seq, c)
				}
				s.order = max(s.order, g.Order)
				if len(h.checkpoints) == 0 || g.Seq > h.checkpoints[len(h.checkpoints)-1] {
					h.pending += g.weight + 1
				}
			}
			s.channels[c] = h
			if head, ok := h.head(); ok {
				state, err := r.state(tx, c, head)
				if err == nil {
					err = checkDocuments(tx, state)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// head is the newest generation that the data plane took.
func (h *history) head() (Generation, bool) {
	for _, g := range slices.Backward(h.gens) {
		if g.Applied {
			return g, true
		}
	}
	return Generation{}, false
}
