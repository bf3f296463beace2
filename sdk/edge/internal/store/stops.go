package store

import (
	"encoding/binary"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Stop is how the last process ended.
type Stop struct {
	// Fresh says that there was none.
	Fresh bool
	// Clean says that it stopped in order.
	Clean bool
	// Boot is what [Store.Started] was told then, and Since when that was; zero where it is
	// not known.
	Boot  string
	Since time.Time
}

var (
	keyClean   = []byte("clean")
	keyBoot    = []byte("boot")
	keySince   = []byte("since")
	keyGivenUp = []byte("given-up")
)

func stopOf(meta *bolt.Bucket) Stop {
	s := Stop{Clean: len(meta.Get(keyClean)) == 1, Boot: string(meta.Get(keyBoot))}
	if v := meta.Get(keySince); len(v) == 8 {
		s.Since = time.Unix(0, int64(binary.BigEndian.Uint64(v)))
	}
	return s
}

// LastStop is how the process before this one ended.
func (s *Store) LastStop() Stop { return s.stop }

// Started notes that a process began to use the store at a time; boot tells starts of the
// machine apart.
func (s *Store) Started(boot string, now time.Time) error {
	return s.update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyBoot, []byte(boot)); err != nil {
			return err
		}
		if err := meta.Put(keySince, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))); err != nil {
			return err
		}
		return meta.Delete(keyClean)
	})
}

// Stopped notes that the process stops in order.
func (s *Store) Stopped() error {
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyClean, []byte{1}) })
}

// Interrupted counts how often in a row a release was found applying for a reason other
// than itself, this time included. [Store.Finish] ends the row.
func (s *Store) Interrupted(c wire.Channel, n int64) (times int, err error) {
	err = s.update(func(tx *bolt.Tx) error {
		times, err = count(tx, interruptedKey(c), n)
		return err
	})
	return times, err
}

// Crashed counts a crash of the process against what it served of every channel, and
// returns how often in a row that was so. [Store.Lasted] ends the row.
func (s *Store) Crashed() (times map[wire.Channel]int, err error) {
	times = map[wire.Channel]int{}
	err = s.update(func(tx *bolt.Tx) error {
		for _, c := range wire.Channels() {
			head, ok := s.Head(c)
			if !ok {
				continue
			}
			if times[c], err = count(tx, crashedKey(c), head.Release); err != nil {
				return err
			}
		}
		return nil
	})
	return times, err
}

// Crashes returns the most crashes in a row that are counted against anything that serves.
func (s *Store) Crashes() (most int) {
	_ = s.view(func(tx *bolt.Tx) error {
		for _, c := range wire.Channels() {
			if head, ok := s.Head(c); ok {
				most = max(most, counted(tx, crashedKey(c), head.Release))
			}
		}
		return nil
	})
	return most
}

// GivenUp counts the generations that were left for crashes, this one included, and lowers
// what is counted against the others to most. [Store.Lasted] ends the row.
func (s *Store) GivenUp(most int) (times int, err error) {
	err = s.update(func(tx *bolt.Tx) error {
		for _, c := range wire.Channels() {
			if v := tx.Bucket(bucketMeta).Get(crashedKey(c)); len(v) == 9 && int(v[8]) > most {
				lower := append(slices.Clone(v[:8]), byte(most))
				if err := tx.Bucket(bucketMeta).Put(crashedKey(c), lower); err != nil {
					return err
				}
			}
		}
		times, err = count(tx, keyGivenUp, 0)
		return err
	})
	return times, err
}

// Lasted forgets what crashes were counted: the process serves well for long enough. It
// writes only where there is something to forget, and says whether there was.
func (s *Store) Lasted() (some bool, err error) {
	keys := [][]byte{keyGivenUp}
	for _, c := range wire.Channels() {
		keys = append(keys, crashedKey(c))
	}
	err = s.view(func(tx *bolt.Tx) error {
		for _, key := range keys {
			some = some || tx.Bucket(bucketMeta).Get(key) != nil
		}
		return nil
	})
	if err != nil || !some {
		return false, err
	}
	return true, s.update(func(tx *bolt.Tx) error {
		for _, key := range keys {
			if err := tx.Bucket(bucketMeta).Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
}

// Before returns the newest generation that the data plane took of a release before a given
// one; false when there is none.
func (s *Store) Before(c wire.Channel, release int64) (Generation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.channels[c]; h != nil {
		for _, g := range slices.Backward(h.gens) {
			if g.Applied && g.Release < release {
				return g, true
			}
		}
	}
	return Generation{}, false
}

// count adds one to a counter that holds for one number only.
func count(tx *bolt.Tx, key []byte, n int64) (int, error) {
	times := min(counted(tx, key, n)+1, 255)
	v := append(binary.BigEndian.AppendUint64(nil, uint64(max(n, 0))), byte(times))
	return times, tx.Bucket(bucketMeta).Put(key, v)
}

func counted(tx *bolt.Tx, key []byte, n int64) int {
	if v := tx.Bucket(bucketMeta).Get(key); len(v) == 9 && int64(binary.BigEndian.Uint64(v)) == n {
		return int(v[8])
	}
	return 0
}

func interruptedKey(c wire.Channel) []byte { return []byte("interrupted/" + string(c)) }

func crashedKey(c wire.Channel) []byte { return []byte("crashed/" + string(c)) }
