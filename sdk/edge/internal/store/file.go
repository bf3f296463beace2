package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long [Open] waits for another process to let the file go.
const lockTimeout = 2 * time.Second

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

// openFile opens a bbolt file. A damaged one is [ErrDamaged].
func openFile(path string, noSync bool) (*bolt.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("edge store: %w", err)
	}
	var db *bolt.DB
	err := guard(func() error {
		if err := checkLength(path); err != nil {
			return err
		}
		var err error
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:      lockTimeout,
			NoSync:       noSync,
			FreelistType: bolt.FreelistMapType,
		})
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case NoSpace(err):
		return nil, full(err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("edge store: %s: %w", path, err)
	default:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
}

// guard runs f on bbolt, which panics on pages that make no sense and faults where the
// file is shorter than its pages say. Both become [ErrDamaged].
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return f()
}

// The layout of bbolt's first two pages, as far as needed to learn the file's length: a
// page header, then magic, version, page size, flags, root bucket, free list, the highest
// page in use, a transaction's number, and a checksum over all these.
const (
	pageHeader  = 16
	pageSizeAt  = 8
	highPageAt  = 40
	checksumAt  = 56
	metaLength  = 64
	boltMagic   = 0xED0CDAED
	minPageSize = 1 << 10
	maxPageSize = 1 << 16
)

// checkLength finds a file that was cut short, before it is mapped into memory: reading a
// page beyond the end would be a fault.
func checkLength(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	meta := make([]byte, metaLength)
	for _, at := range []int64{0, int64(os.Getpagesize())} {
		if _, err := f.ReadAt(meta, at+pageHeader); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:checksumAt]) // a hash never fails
		pageSize := uint64(binary.NativeEndian.Uint32(meta[pageSizeAt:]))
		if binary.NativeEndian.Uint32(meta) != boltMagic || sum.Sum64() != binary.NativeEndian.Uint64(meta[checksumAt:]) ||
			pageSize < minPageSize || pageSize > maxPageSize {
			continue // bbolt takes the other one
		}
		if high := binary.NativeEndian.Uint64(meta[highPageAt:]); high > uint64(info.Size())/pageSize {
			return fmt.Errorf("%w: %d bytes do not hold %d pages", ErrDamaged, info.Size(), high)
		}
	}
	return nil
}
