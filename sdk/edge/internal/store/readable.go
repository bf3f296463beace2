package store

import (
	"io"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/boltfile"
)

// copyBatch is about how many bytes are copied in one transaction.
const copyBatch = 1 << 20

// fill makes a file of all that can be read of a damaged one, whether it makes sense or not.
func (s *Store) fill(damaged io.ReaderAt, size int64) error {
	if err := remove(s.path); err != nil {
		return err
	}
	db, err := openFile(s.path, true)
	if err != nil {
		return err
	}
	s.db = db
	type pair struct {
		buckets    [][]byte
		key, value []byte
	}
	var batch []pair
	bytes := 0
	flush := func() error {
		err := s.update(func(tx *bolt.Tx) error {
			for _, p := range batch {
				// What bbolt does not take cannot have been in the file.
				_ = put(tx, p.buckets, p.key, p.value)
			}
			return nil
		})
		batch, bytes = nil, 0
		return err
	}
	err = boltfile.Each(damaged, size, func(buckets [][]byte, key, value []byte) error {
		batch = append(batch, pair{buckets, key, value})
		if bytes += len(key) + len(value); bytes < copyBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	return s.view(func(tx *bolt.Tx) error {
		s.stop = Stop{Fresh: true}
		if meta := tx.Bucket(bucketMeta); meta != nil {
			s.stop = stopOf(meta)
		}
		return nil
	})
}

// put puts a value, or makes a bucket where there is none.
func put(tx *bolt.Tx, buckets [][]byte, key, value []byte) error {
	if value == nil {
		buckets = append(slices.Clip(buckets), key)
	}
	if len(buckets) == 0 {
		return nil // bbolt has only buckets there
	}
	b, err := tx.CreateBucketIfNotExists(buckets[0])
	for _, name := range buckets[1:] {
		if err == nil {
			b, err = b.CreateBucketIfNotExists(name)
		}
	}
	if err != nil || value == nil {
		return err
	}
	return b.Put(key, value)
}
