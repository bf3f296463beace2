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
	// Fault is asked before every write, and its error fails the write: tests have full
	// disks with it.
	Fault func() error
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
	if err := remove(s.suspect()); err != nil {
		_ = s.Close()
		return nil, err
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
	if s.complete() {
		return nil
	}
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
		s.stop = stopOf(meta)
		return nil
	})
}

// complete says whether the file is one of this version, with all that it needs: then
// opening writes nothing, which a full disk would not allow.
func (s *Store) complete() bool {
	whole := false
	_ = s.view(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketBlobs, bucketRefs, bucketRejections} {
			if tx.Bucket(name) == nil {
				return nil
			}
		}
		for _, c := range wire.Channels() {
			for _, name := range [][]byte{bucketGenerations, bucketApplied, bucketCheckpoints, bucketManifests} {
				if _, err := bucket(tx, c, name); err != nil {
					return nil //nolint:nilerr // it is made
				}
			}
		}
		if meta := tx.Bucket(bucketMeta); slices.Equal(meta.Get(keyFormat), formatNow) {
			s.stop, whole = stopOf(meta), true
		}
		return nil
	})
	return whole
}

// Close gives the file back. The store is of no use afterwards.
func (s *Store) Close() error {
	if s.db == nil {
		return nil
	}
	return guard(s.db.Close)
}

func (s *Store) view(f func(tx *bolt.Tx) error) error {
	return guard(func() error { return s.db.View(f) })
}

func (s *Store) update(f func(tx *bolt.Tx) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.opts.Fault != nil {
		if err := s.opts.Fault(); err != nil {
			return full(err)
		}
	}
	err := guard(func() error { return s.db.Update(f) })
	if errors.Is(err, ErrDamaged) {
		s.Distrust()
	}
	return full(err)
}

// Distrust makes [Store.Damaged] true: what the store holds is to be opened anew, which
// leaves what is not whole. Without the note on the disk, the next start might find the
// damage only when it writes, too.
func (s *Store) Distrust() {
	s.damaged.Store(true)
	_ = os.WriteFile(s.suspect(), nil, 0o600)
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
