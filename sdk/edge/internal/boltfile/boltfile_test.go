package boltfile_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/boltfile"
)

// pairs are what a file holds, by the names of the buckets and the key. A bucket has the
// value "bucket".
type pairs map[string]string

func (p pairs) add(buckets [][]byte, key, value []byte) {
	text := "bucket"
	if value != nil {
		text = "value " + string(value)
	}
	p[string(bytes.Join(append(slices.Clip(buckets), key), []byte("/")))] = text
}

// byUs is what a file holds as this package reads it.
func byUs(raw []byte) (pairs, error) {
	found := pairs{}
	err := boltfile.Each(bytes.NewReader(raw), int64(len(raw)), func(buckets [][]byte, key, value []byte) error {
		found.add(buckets, key, value)
		return nil
	})
	return found, err
}

// byBolt is what a file holds as bbolt reads it.
func byBolt(db *bolt.DB) (pairs, error) {
	found := pairs{}
	var each func(b *bolt.Bucket, names [][]byte) error
	each = func(b *bolt.Bucket, names [][]byte) error {
		return b.ForEach(func(k, v []byte) error {
			found.add(names, k, v)
			if v != nil {
				return nil
			}
			return each(b.Bucket(k), append(slices.Clip(names), k))
		})
	}
	err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(k []byte, b *bolt.Bucket) error {
			found.add(nil, k, nil)
			return each(b, [][]byte{k})
		})
	})
	return found, err
}

func check(raw []byte) error { return boltfile.Check(bytes.NewReader(raw), int64(len(raw))) }

// TestReadsWhatBoltWrites has bbolt do random things, and reads each file that comes of it.
func TestReadsWhatBoltWrites(t *testing.T) {
	folder := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(folder, fmt.Sprint(runs))
		options := bolt.Options{NoSync: true, NoGrowSync: true, NoFreelistSync: rapid.Bool().Draw(t, "free list in memory")}
		options.PageSize = rapid.SampledFrom([]int{0, 1024, 16384}).Draw(t, "page size")
		db, err := bolt.Open(path, 0o600, &options)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the file is thrown away
		name := rapid.Custom(func(t *rapid.T) []byte { return fmt.Append(nil, rapid.IntRange(0, 3).Draw(t, "name")) })
		t.Repeat(map[string]func(t *rapid.T){
			"write": func(t *rapid.T) {
				err := db.Update(func(tx *bolt.Tx) error { return random(t, tx, name) })
				if err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				raw, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := check(raw); err != nil {
					t.Fatal(err)
				}
				want, err := byBolt(db)
				if err != nil {
					t.Fatal(err)
				}
				got, err := byUs(raw)
				if err != nil || !maps.Equal(got, want) {
					t.Fatalf("%v, not %v: %v", got, want, err)
				}
			},
		})
	})
}

// random fills a bucket, removes from it, or removes it.
func random(t *rapid.T, tx *bolt.Tx, name *rapid.Generator[[]byte]) error {
	top := name.Draw(t, "bucket")
	if rapid.IntRange(0, 9).Draw(t, "drop") == 0 && tx.Bucket(top) != nil {
		return tx.DeleteBucket(top)
	}
	b, err := tx.CreateBucketIfNotExists(top)
	for range rapid.IntRange(0, 2).Draw(t, "depth") {
		if err == nil {
			b, err = b.CreateBucketIfNotExists(name.Draw(t, "bucket within"))
		}
	}
	if err != nil {
		return err
	}
	size := rapid.SampledFrom([]int{0, 10, 300, 2000}).Draw(t, "size")
	first, n := rapid.IntRange(0, 60).Draw(t, "first"), rapid.IntRange(0, 20).Draw(t, "keys")
	for i := range n {
		key := fmt.Appendf(nil, "key %04d", first+i)
		if size == 0 {
			err = b.Delete(key)
		} else {
			err = b.Put(key, bytes.Repeat([]byte{'v'}, size))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sample is a file with everything that there is: branch pages, pages that overflow,
// buckets in pages of their own and in values, free pages.
func sample(tb testing.TB) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "sample")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true, PageSize: 1024})
	if err != nil {
		tb.Fatal(err)
	}
	for round := range 3 {
		if err := db.Update(func(tx *bolt.Tx) error {
			large, err := tx.CreateBucketIfNotExists([]byte("large"))
			if err != nil {
				return err
			}
			for i := range 200 {
				if err := large.Put(fmt.Appendf(nil, "%03d", i), fmt.Append(nil, round, "value", i)); err != nil {
					return err
				}
			}
			if err := large.Put([]byte("long"), bytes.Repeat([]byte("x"), 5000)); err != nil {
				return err
			}
			small, err := large.CreateBucketIfNotExists([]byte("small"))
			if err != nil {
				return err
			}
			return small.Put([]byte("k"), []byte("v"))
		}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// TestDamaged flips bits and cuts. What passes the check is what it was, as far as the
// structure goes, for bbolt too, and takes writes.
func TestDamaged(t *testing.T) {
	whole := sample(t)
	all, err := byUs(whole)
	if err != nil || len(all) != 204 {
		t.Fatalf("%d pairs: %v", len(all), err)
	}
	const samples = 400
	random := rand.New(rand.NewPCG(3, 4))
	passed, part := 0, 0
	for i := range samples {
		raw := slices.Clone(whole)
		if i%10 == 0 {
			raw = raw[:random.IntN(len(raw))]
		} else {
			for range 1 + random.IntN(8) {
				raw[random.IntN(len(raw))] ^= byte(1 << random.IntN(8))
			}
		}
		if check(raw) == nil {
			passed++
			trust(t, raw)
		}
		if got, err := byUs(raw); err != nil {
			t.Fatal(err)
		} else if len(got) > 0 && len(got) < len(all) {
			part++
		}
	}
	t.Logf("%d of %d pass, of %d a part is read", passed, samples, part)
	if passed == 0 || passed > samples*3/4 || part < samples/10 {
		t.Errorf("%d of %d pass, of %d a part is read", passed, samples, part)
	}
}

// trust has bbolt read and write a file that passed the check.
func trust(tb testing.TB, raw []byte) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "checked")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		tb.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the file is thrown away
	want, err := byUs(raw)
	if err != nil {
		tb.Fatal(err)
	}
	got, err := byBolt(db)
	if err != nil || !maps.Equal(got, want) {
		tb.Fatalf("bbolt reads %v, not %v: %v", got, want, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("another"))
		if err != nil {
			return err
		}
		for i := range 100 {
			if err := b.Put(fmt.Append(nil, i), bytes.Repeat([]byte{'y'}, 100)); err != nil {
				return err
			}
		}
		if l := tx.Bucket([]byte("large")); l != nil {
			return tx.DeleteBucket([]byte("large"))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err == nil {
		err = check(after)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// FuzzEach reads anything. What passes the check, bbolt reads as this package does.
func FuzzEach(f *testing.F) {
	f.Add(sample(f), 2000, byte(1))
	f.Add([]byte(nil), 0, byte(0))
	f.Fuzz(func(t *testing.T, raw []byte, at int, flip byte) {
		if at >= 0 && at < len(raw) {
			raw = slices.Clone(raw)
			raw[at] ^= flip
		}
		if _, err := byUs(raw); err != nil {
			t.Fatal(err)
		}
		if check(raw) == nil && len(raw) > 0 {
			trust(t, raw)
		}
	})
}
