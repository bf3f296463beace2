package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/jonboulle/clockwork"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/boltfile"
)

// lockTimeout is how long [Open] waits for another process to let the file go, and lockPause
// how long it waits between two looks.
const (
	lockTimeout = 2 * time.Second
	lockPause   = 20 * time.Millisecond
)

// ErrDamaged says that the file does not hold what was written to it.
var ErrDamaged = errors.New("edge store: the file is damaged")

// ErrFull says that the disk has no room. Nothing was changed.
var ErrFull = errors.New("edge store: the disk is full")

// full tells a full disk from other errors. bbolt keeps of some only the text.
func full(err error) error {
	if err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrDamaged) || !NoSpace(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// NoSpace says whether an error is one of a disk without room.
func NoSpace(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

// openFile opens a bbolt file that is sound. Another one is [ErrDamaged].
func openFile(path string, noSync bool) (*bolt.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("edge store: %w", err)
	}
	var db *bolt.DB
	err := guard(func() error {
		var err error
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			NoSync:       noSync,
			FreelistType: bolt.FreelistMapType,
			OpenFile:     openSound,
		})
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case NoSpace(err):
		return nil, full(err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, fileutil.ErrLocked):
		return nil, fmt.Errorf("edge store: %s: %w", path, err)
	default:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
}

// openSound opens a file, takes its lock, and finds damage before bbolt maps it into memory.
// A file that is empty is sound.
func openSound(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := lock(path, flag, mode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = boltfile.Check(f, info.Size())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lock opens a file that no other process has. Closing the file lets it go.
func lock(path string, flag int, mode os.FileMode) (*os.File, error) {
	clock := clockwork.NewRealClock() // which is the other process's, too
	for looks := lockTimeout / lockPause; ; looks-- {
		f, err := fileutil.TryLockFile(path, flag, mode)
		if err == nil {
			return f.File, nil
		}
		if !errors.Is(err, fileutil.ErrLocked) || looks == 0 {
			return nil, err
		}
		clock.Sleep(lockPause)
	}
}

// guard runs f on bbolt, which panics on pages that make no sense and faults where the
// file is shorter than its pages say: what is damaged while the file is in use. Both become
// [ErrDamaged]. Other damage of that kind can end the process; the next one checks the file.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return f()
}
