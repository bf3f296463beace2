package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long [Open] waits for another process to let the file go.
const lockTimeout = 2 * time.Second

// ErrDamaged says that the file does not hold what was written to it.
var ErrDamaged = errors.New("edge store: the file is damaged")

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
// page header, then magic, version, page size, flags, root bucket, free list and the
// highest page in use.
const (
	pageHeader  = 16
	magicAt     = pageHeader
	pageSizeAt  = pageHeader + 8
	highPageAt  = pageHeader + 40
	metaLength  = pageHeader + 64
	boltMagic   = 0xED0CDAED
	minPageSize = 1 << 10
	maxPageSize = 1 << 16
)

// checkLength finds a file that was cut short, before it is mapped into memory: reading a
// page beyond the end would be a fault.
func checkLength(path string) error {
	f, err := os.Open(path) //nolint:gosec // the path is the agent's configuration
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
	if _, err := io.ReadFull(f, meta); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	pageSize := int64(binary.NativeEndian.Uint32(meta[pageSizeAt:]))
	if binary.NativeEndian.Uint32(meta[magicAt:]) != boltMagic || pageSize < minPageSize || pageSize > maxPageSize {
		return nil // bbolt tries the second meta page, which tells the same length or none
	}
	high := int64(binary.NativeEndian.Uint64(meta[highPageAt:])) //nolint:gosec // compared below
	if _, err := f.ReadAt(meta, pageSize); err == nil {
		// Of the two, one may be older; the shorter one is what certainly was written.
		high = min(high, int64(binary.NativeEndian.Uint64(meta[highPageAt:]))) //nolint:gosec // compared below
	}
	if high < 0 || high > info.Size()/pageSize {
		return fmt.Errorf("%w: %d bytes do not hold %d pages", ErrDamaged, info.Size(), high)
	}
	return nil
}
