package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// MaxRejections is how many rejections are kept of a channel; the oldest go first.
const MaxRejections = 16

// Documents returns the list of a generation's documents as changes from the empty state,
// in order of kind and ID, checked against its state hash. The documents themselves are
// read with [Store.Blob].
func (s *Store) Documents(g Generation) ([]chain.Change, error) {
	var list []chain.Change
	err := s.view(func(tx *bolt.Tx) error {
		r, err := scan(tx, g.Channel)
		if err != nil {
			return err
		}
		state, err := r.state(tx, g.Channel, g)
		if err != nil {
			return err
		}
		list = listed(state)
		return nil
	})
	return list, err
}

// FallBack removes generations of a channel until the newest one is applied and whole, or
// none is left.
func (s *Store) FallBack(c wire.Channel) error {
	damaged := false
	for {
		s.mu.Lock()
		left := len(s.channels[c].gens)
		s.mu.Unlock()
		if left == 0 {
			if damaged {
				return s.SetLost(c, true)
			}
			return nil
		}
		if _, pending := s.Pending(c); !pending {
			err := s.check(c)
			if err == nil || !errors.Is(err, ErrDamaged) {
				return err
			}
			damaged = true
		}
		if err := s.Undo(c, nil); err != nil {
			return err
		}
	}
}

func (s *Store) check(c wire.Channel) error {
	head, ok := s.Head(c)
	if !ok {
		return nil
	}
	return s.view(func(tx *bolt.Tx) error {
		r, err := scan(tx, c)
		if err != nil {
			return err
		}
		state, err := r.state(tx, c, head)
		if err != nil {
			return err
		}
		return checkDocuments(tx, state)
	})
}

// Manifest returns a signed manifest; false where it is not there.
func (s *Store) Manifest(c wire.Channel, n int64) (raw []byte, ok bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b, err := bucket(tx, c, bucketManifests)
		if err != nil {
			return err
		}
		if v := b.Get(seqKey(uint64(n))); v != nil {
			raw, ok = append([]byte(nil), v...), true
		}
		return nil
	})
	return raw, ok, err
}

// Newest returns the highest number of a release of a channel that is on this disk, also
// where what serves is an older one; zero when there is none.
func (s *Store) Newest(c wire.Channel) (newest int64) {
	s.mu.Lock()
	if h := s.channels[c]; h != nil {
		for _, g := range h.gens {
			newest = max(newest, g.Release)
		}
	}
	s.mu.Unlock()
	// A disk that does not answer now is asked again for the next report.
	_ = s.view(func(tx *bolt.Tx) error {
		b, err := bucket(tx, c, bucketManifests)
		if err != nil {
			return err
		}
		if k, _ := b.Cursor().Last(); len(k) == 8 {
			newest = max(newest, int64(binary.BigEndian.Uint64(k)))
		}
		return nil
	})
	return newest
}

// Rejections returns what was refused of a channel, by release, oldest first.
func (s *Store) Rejections(c wire.Channel) ([]*edgev1.Rejection, error) {
	var all []*edgev1.Rejection
	err := s.view(func(tx *bolt.Tx) error {
		prefix := []byte(string(c) + "/")
		cursor := tx.Bucket(bucketRejections).Cursor()
		for k, v := cursor.Seek(prefix); len(k) > len(prefix) && string(k[:len(prefix)]) == string(prefix); k, v = cursor.Next() {
			r := &edgev1.Rejection{}
			if proto.Unmarshal(v, r) == nil {
				all = append(all, r)
			}
		}
		return nil
	})
	return all, err
}

// PutRejection keeps a rejection, in place of one of the same release.
func (s *Store) PutRejection(c wire.Channel, r *edgev1.Rejection) error {
	return s.update(func(tx *bolt.Tx) error { return putRejection(tx, c, r) })
}

func putRejection(tx *bolt.Tx, c wire.Channel, r *edgev1.Rejection) error {
	v, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("edge store: rejection: %w", err)
	}
	b := tx.Bucket(bucketRejections)
	if err := b.Put(numberKey(c, r.GetRelease()), v); err != nil {
		return err
	}
	var keys [][]byte
	prefix := string(c) + "/"
	cursor := b.Cursor()
	for k, _ := cursor.Seek([]byte(prefix)); len(k) > len(prefix) && string(k[:len(prefix)]) == prefix; k, _ = cursor.Next() {
		keys = append(keys, append([]byte(nil), k...))
	}
	for len(keys) > MaxRejections {
		if err := b.Delete(keys[0]); err != nil {
			return err
		}
		keys = keys[1:]
	}
	return nil
}

// DropRejection forgets that a release was refused.
func (s *Store) DropRejection(c wire.Channel, n int64) error {
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketRejections).Delete(numberKey(c, n)) })
}

// Seen is the cluster and the highest revision of it that the agent saw.
type Seen struct {
	Cluster  uint64
	Revision int64
}

// Seen returns what was noted last; zero when nothing was.
func (s *Store) Seen() (seen Seen, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(keySeen); len(v) == 16 {
			seen = Seen{Cluster: binary.BigEndian.Uint64(v), Revision: int64(binary.BigEndian.Uint64(v[8:]))}
		}
		return nil
	})
	return seen, err
}

func (s Seen) encode() []byte {
	v := binary.BigEndian.AppendUint64(nil, s.Cluster)
	return binary.BigEndian.AppendUint64(v, uint64(max(s.Revision, 0)))
}
