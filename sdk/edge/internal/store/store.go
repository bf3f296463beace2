package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// keepCheckpoints is how many whole lists are kept of a channel.
	keepCheckpoints = 3
	// defaultCheckpointEvery is how many changes at least lie between two checkpoints.
	defaultCheckpointEvery = 512
)

// Options say how to keep a store.
type Options struct {
	// NoSync leaves it to the operating system when writes reach the disk. After a power
	// cut the file may be damaged, and what is lost is fetched again; a crash of the
	// process loses nothing.
	NoSync bool
	// CheckpointEvery is how many changes at least lie between two checkpoints; zero
	// means 512.
	CheckpointEvery int
	// Logger gets what was found damaged.
	Logger *slog.Logger
}

// Store is an open store.
type Store struct {
	path string
	opts Options
	db   *bolt.DB
	stop Stop

	damaged atomic.Bool

	write    sync.Mutex // one writer at a time, around the database and the lists
	mu       sync.Mutex // the lists
	channels map[wire.Channel]*history
	order    uint64
}

// history is what is known of a channel's generations without reading the file.
type history struct {
	gens        []Generation // oldest first; the first one's state is in a checkpoint, or empty
	checkpoints []uint64     // sequences, oldest first
	pending     int          // changes since the newest checkpoint
}

// Stop is how the last process ended.
type Stop struct {
	// Fresh says that there was none.
	Fresh bool
	// Clean says that it stopped in order.
	Clean bool
	// Boot is what [Store.Started] was told then.
	Boot string
}

var (
	bucketMeta       = []byte("meta")
	bucketBlobs      = []byte("blobs")
	bucketRefs       = []byte("refs")
	bucketRejections = []byte("rejections")

	bucketGenerations = []byte("generations")
	bucketApplied     = []byte("applied")
	bucketCheckpoints = []byte("checkpoints")
	bucketManifests   = []byte("manifests")

	keyFormat = []byte("format")
	keyClean  = []byte("clean")
	keyBoot   = []byte("boot")
	keySeen   = []byte("seen")

	formatNow = []byte{1}
)

// Open opens the store at path, or makes one, and checks what it holds.
func Open(path string, opts Options) (*Store, error) {
	if opts.CheckpointEvery <= 0 {
		opts.CheckpointEvery = defaultCheckpointEvery
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{path: path, opts: opts}
	err := s.open()
	if err == nil {
		err = s.load()
	}
	if err == nil && exists(s.suspect()) {
		err = fmt.Errorf("%w: a write found it", ErrDamaged)
	}
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, ErrDamaged) {
		_ = s.Close()
		return nil, err
	}
	opts.Logger.Warn("edge store: damaged, keeping what is whole", "path", path, "error", err)
	if err := s.salvage(); err != nil {
		_ = s.Close()
		return nil, err
	}
	if err := os.Remove(s.suspect()); err != nil && !errors.Is(err, os.ErrNotExist) {
		_ = s.Close()
		return nil, fmt.Errorf("edge store: %w", err)
	}
	return s, nil
}

// Damaged says that a write found damage.
func (s *Store) Damaged() bool { return s.damaged.Load() }

// suspect is a file that is there after a write found damage: not all damage shows before.
func (s *Store) suspect() string { return s.path + ".suspect" }

// open opens the file and makes its buckets.
func (s *Store) open() error {
	s.channels = map[wire.Channel]*history{}
	db, err := openFile(s.path, s.opts.NoSync)
	if err != nil {
		return err
	}
	s.db = db
	return s.update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketBlobs, bucketRefs, bucketRejections} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		for _, c := range wire.Channels() {
			b, err := tx.CreateBucketIfNotExists([]byte(c))
			if err != nil {
				return err
			}
			for _, name := range [][]byte{bucketGenerations, bucketApplied, bucketCheckpoints, bucketManifests} {
				if _, err := b.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
		}
		meta := tx.Bucket(bucketMeta)
		switch format := meta.Get(keyFormat); {
		case format == nil:
			s.stop = Stop{Fresh: true}
			return meta.Put(keyFormat, formatNow)
		case !slices.Equal(format, formatNow):
			// Another version's file: what it serves is fetched again.
			return fmt.Errorf("%w: format %x", ErrDamaged, format)
		}
		s.stop = Stop{Clean: len(meta.Get(keyClean)) == 1, Boot: string(meta.Get(keyBoot))}
		return nil
	})
}

// Close gives the file back. The store is of no use afterwards.
func (s *Store) Close() error {
	if s.db == nil {
		return nil
	}
	return guard(s.db.Close)
}

// LastStop is how the process before this one ended.
func (s *Store) LastStop() Stop { return s.stop }

// Started notes that a process began to use the store; boot tells starts of the machine
// apart.
func (s *Store) Started(boot string) error {
	return s.update(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyBoot, []byte(boot)); err != nil {
			return err
		}
		return meta.Delete(keyClean)
	})
}

// Stopped notes that the process stops in order.
func (s *Store) Stopped() error {
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyClean, []byte{1}) })
}

func (s *Store) view(f func(tx *bolt.Tx) error) error {
	return guard(func() error { return s.db.View(f) })
}

func (s *Store) update(f func(tx *bolt.Tx) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	err := guard(func() error { return s.db.Update(f) })
	if errors.Is(err, ErrDamaged) {
		// Without this note, the next start may find the damage only when it writes, too.
		s.damaged.Store(true)
		_ = os.WriteFile(s.suspect(), nil, 0o600)
	}
	return err
}

// bucket returns one of a channel's buckets.
func bucket(tx *bolt.Tx, c wire.Channel, name []byte) (*bolt.Bucket, error) {
	if b := tx.Bucket([]byte(c)); b != nil {
		if b = b.Bucket(name); b != nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: channel %q has no %s", ErrDamaged, c, name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// putAside keeps a damaged file for whoever wants to know what happened; the one before it
// is overwritten.
func putAside(path string) error {
	err := os.Rename(path, path+".damaged")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
