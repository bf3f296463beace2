package store

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Blob returns a copy of a document, checked against its digest. It says false where the
// document is not there, and [ErrDamaged] where something else is.
func (s *Store) Blob(sum wire.Sum) (body []byte, ok bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		body, ok, err = blob(tx, sum)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return body, ok, nil
}

func blob(tx *bolt.Tx, sum wire.Sum) ([]byte, bool, error) {
	b := tx.Bucket(bucketBlobs).Get(sum[:])
	if b == nil {
		return nil, false, nil
	}
	if wire.SumOf(b) != sum {
		return nil, false, fmt.Errorf("%w: document %s", ErrDamaged, sum)
	}
	return append(make([]byte, 0, len(b)), b...), true, nil
}

// HasBlob says whether a document is there, without checking it.
func (s *Store) HasBlob(sum wire.Sum) (ok bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		ok = tx.Bucket(bucketBlobs).Get(sum[:]) != nil
		return nil
	})
	return ok, err
}

// PutBlobs keeps documents that a generation is going to need, so that a large one need
// not be in memory at once. They also replace damaged ones. [Store.Sweep] removes those
// that no generation came to need.
func (s *Store) PutBlobs(blobs map[wire.Sum][]byte) error {
	return s.update(func(tx *bolt.Tx) error {
		refs := tx.Bucket(bucketRefs)
		for sum, body := range blobs {
			if err := tx.Bucket(bucketBlobs).Put(sum[:], body); err != nil {
				return err
			}
			if refs.Get(sum[:]) == nil {
				if err := refs.Put(sum[:], []byte{0}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Sweep removes documents that were put and that no generation needs.
func (s *Store) Sweep() error {
	return s.update(func(tx *bolt.Tx) error {
		var idle [][]byte
		refs := tx.Bucket(bucketRefs)
		err := refs.ForEach(func(k, v []byte) error {
			if n, _ := binary.Uvarint(v); n == 0 {
				idle = append(idle, append([]byte(nil), k...))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, k := range idle {
			if err := refs.Delete(k); err != nil {
				return err
			}
			if err := tx.Bucket(bucketBlobs).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// ref notes that a document is needed once more. Its body, if given, is kept.
func ref(tx *bolt.Tx, sum wire.Sum, body []byte) error {
	refs := tx.Bucket(bucketRefs)
	was := refs.Get(sum[:])
	n, _ := binary.Uvarint(was)
	if was == nil {
		if body == nil {
			return fmt.Errorf("edge store: document %s is not there", sum)
		}
		if err := tx.Bucket(bucketBlobs).Put(sum[:], body); err != nil {
			return err
		}
	}
	return refs.Put(sum[:], binary.AppendUvarint(nil, n+1))
}

// unref notes that a document is needed once less, and removes it after the last time.
func unref(tx *bolt.Tx, sum wire.Sum) error {
	refs := tx.Bucket(bucketRefs)
	n, _ := binary.Uvarint(refs.Get(sum[:]))
	if n > 1 {
		return refs.Put(sum[:], binary.AppendUvarint(nil, n-1))
	}
	if err := refs.Delete(sum[:]); err != nil {
		return err
	}
	return tx.Bucket(bucketBlobs).Delete(sum[:])
}
