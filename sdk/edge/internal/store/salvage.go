package store

import (
	"errors"
	"fmt"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
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

// salvage copies what is whole to a new file and goes on with that. bbolt may not be
// trusted with a file that it would have to change on damaged pages.
func (s *Store) salvage() error {
	old := s.db
	fresh := &Store{path: s.path + ".new", opts: s.opts}
	if err := os.Remove(fresh.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("edge store: %w", err)
	}
	if err := fresh.open(); err != nil {
		return err
	}
	stop := Stop{Fresh: true}
	if old == nil {
		for _, c := range wire.Channels() {
			if err := fresh.SetLost(c, true); err != nil {
				_ = fresh.Close()
				return err
			}
		}
	} else {
		stop = s.stop
		for _, c := range wire.Channels() {
			fresh.channels[c] = &history{}
			if err := s.save(c, fresh); err != nil {
				_ = fresh.Close()
				return err
			}
		}
		_ = guard(old.Close)
		s.db = nil
	}
	if err := fresh.Sweep(); err != nil {
		_ = fresh.Close()
		return err
	}
	if !s.opts.NoSync {
		if err := fresh.db.Sync(); err != nil {
			_ = fresh.Close()
			return fmt.Errorf("edge store: %w", err)
		}
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	if err := putAside(s.path); err != nil {
		return fmt.Errorf("edge store: %w", err)
	}
	if err := os.Rename(fresh.path, s.path); err != nil {
		return fmt.Errorf("edge store: %w", err)
	}
	s.order = 0
	if err := s.open(); err != nil {
		return err
	}
	s.stop = stop
	return s.load()
}

// save copies the newest whole generation of a channel. A page that cannot be read loses
// what is on it, no more; an error is one of the new file.
func (s *Store) save(c wire.Channel, fresh *Store) error {
	var found saved
	blobs := map[wire.Sum][]byte{}
	some := s.Lost(c)
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
	_ = guard(func() error {
		var err error
		found.rejections, err = s.Rejections(c)
		return err
	})
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
