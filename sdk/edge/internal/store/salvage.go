package store

import (
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/boltfile"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// saved is what is whole of a channel.
type saved struct {
	head       Generation
	list       []chain.Change
	pending    Generation
	rejections []*edgev1.Rejection
	manifest   []byte
}

// salvage copies what is whole to a new file and goes on with that. Nobody else gets the
// damaged file meanwhile.
func (s *Store) salvage() error {
	if s.db != nil {
		_ = guard(s.db.Close)
		s.db = nil
	}
	f, err := lock(s.path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("edge store: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	stop, err := s.rewrite(f)
	if err != nil {
		return err
	}
	if err := putAside(s.path); err != nil {
		return fmt.Errorf("edge store: %w", err)
	}
	if err := os.Rename(s.path+".new", s.path); err != nil {
		return fmt.Errorf("edge store: %w", err)
	}
	s.order = 0
	if err := s.open(); err != nil {
		return err
	}
	s.stop = stop
	return s.load()
}

// rewrite makes the new file, and returns how the last process ended.
func (s *Store) rewrite(damaged *os.File) (Stop, error) {
	info, err := damaged.Stat()
	if err != nil {
		return Stop{}, fmt.Errorf("edge store: %w", err)
	}
	old := &Store{path: s.path + ".readable", opts: Options{NoSync: true, Fault: s.opts.Fault}}
	defer old.discard()
	if err := old.fill(damaged, info.Size()); err != nil {
		return Stop{}, err
	}
	fresh := &Store{path: s.path + ".new", opts: s.opts}
	if err := remove(fresh.path); err != nil {
		return Stop{}, err
	}
	// Of what cannot be read nobody knows which channel's it was.
	err = old.copyTo(fresh, boltfile.Check(damaged, info.Size()) == nil)
	if closed := fresh.Close(); err == nil {
		err = closed
	}
	return old.stop, err
}

// copyTo copies the newest whole generation of every channel. Sound says that the store is
// all that there was.
func (s *Store) copyTo(fresh *Store, sound bool) error {
	if err := fresh.open(); err != nil {
		return err
	}
	for _, c := range wire.Channels() {
		fresh.channels[c] = &history{}
		if err := s.save(c, fresh, sound); err != nil {
			return err
		}
	}
	if err := fresh.Sweep(); err != nil {
		return err
	}
	if fresh.opts.NoSync {
		return nil
	}
	if err := fresh.db.Sync(); err != nil {
		return fmt.Errorf("edge store: %w", err)
	}
	return nil
}

// discard closes a store and removes its file.
func (s *Store) discard() {
	_ = s.Close()
	_ = os.Remove(s.path)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("edge store: %w", err)
	}
	return nil
}

// save copies the newest whole generation of a channel. An error is one of the new file.
func (s *Store) save(c wire.Channel, fresh *Store, sound bool) error {
	var found saved
	blobs := map[wire.Sum][]byte{}
	some := !sound || s.Lost(c)
	err := s.view(func(tx *bolt.Tx) error {
		r, err := scan(tx, c)
		if err != nil {
			return err
		}
		gens := r.list()
		some = some || r.damaged || len(gens) > 1 || len(gens) > 0 && gens[0].Applied
		if n := len(gens); n > 0 && !gens[n-1].Applied {
			found.pending = gens[n-1]
		}
		for _, g := range slices.Backward(gens) {
			if !g.Applied {
				continue
			}
			if err := guard(func() error { return found.take(tx, r, g, blobs) }); err == nil {
				break
			}
		}
		return nil
	})
	found.rejections, _ = s.Rejections(c)
	if found.head.Seq > 0 {
		if raw, ok, err := s.Manifest(c, found.head.Release); err == nil && ok {
			found.manifest = raw
		}
	}
	if found.head.Seq == 0 && (some || err != nil) {
		if err := fresh.SetLost(c, true); err != nil {
			return err
		}
	}
	return fresh.restore(c, found, blobs)
}

// Lost says whether a channel had something that damage left nothing of, and nothing was
// applied since.
func (s *Store) Lost(c wire.Channel) (lost bool) {
	_ = s.view(func(tx *bolt.Tx) error {
		lost = tx.Bucket(bucketMeta).Get(lostKey(c)) != nil
		return nil
	})
	return lost
}

// SetLost notes that damage left nothing of a channel, or that there is nothing to have.
func (s *Store) SetLost(c wire.Channel, lost bool) error {
	return s.update(func(tx *bolt.Tx) error {
		if lost {
			return tx.Bucket(bucketMeta).Put(lostKey(c), []byte{1})
		}
		return tx.Bucket(bucketMeta).Delete(lostKey(c))
	})
}

func lostKey(c wire.Channel) []byte { return []byte("lost/" + string(c)) }

func (f *saved) take(tx *bolt.Tx, r records, g Generation, blobs map[wire.Sum][]byte) error {
	state, err := r.state(tx, g.Channel, g)
	if err != nil {
		return err
	}
	clear(blobs)
	for _, sum := range state {
		body, ok, err := blob(tx, sum)
		if err != nil || !ok {
			return errors.Join(ErrDamaged, err)
		}
		blobs[sum] = body
	}
	f.head, f.list = g, listed(state)
	return nil
}

func (s *Store) restore(c wire.Channel, f saved, blobs map[wire.Sum][]byte) error {
	if f.head.Seq > 0 {
		next := Next{
			Channel: c, TargetSequence: f.head.TargetSequence, Changes: f.list, State: f.head.State, Bodies: blobs,
		}
		if f.manifest != nil {
			next.Manifests = []*chain.Manifest{{Number: f.head.Release, Raw: f.manifest}}
		}
		if _, err := s.Begin(next); err != nil {
			return err
		}
		if err := s.Finish(c); err != nil {
			return err
		}
	}
	if f.pending.Seq > 0 {
		// Only who it was still matters: what it changes is fetched again.
		if _, err := s.Begin(Next{Channel: c, TargetSequence: f.pending.TargetSequence, State: f.pending.State}); err != nil {
			return err
		}
	}
	for _, r := range f.rejections {
		if err := s.PutRejection(c, r); err != nil {
			return err
		}
	}
	return nil
}
