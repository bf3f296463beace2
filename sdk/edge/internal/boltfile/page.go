package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

const (
	magic   = 0xED0CDAED
	version = 2

	// noFreelist stands in a meta page for a list of free pages that is not in the file.
	noFreelist = ^uint64(0)

	pageHeader  = 16 // id, flags, count, overflow
	elementSize = 16 // of a leaf and of a branch page
	bucketSize  = 16 // root page, sequence

	// metaLength is what a meta page holds after its header: magic, version, page size,
	// flags, root bucket, page of the free list, number of pages, transaction, checksum
	// over all these.
	metaLength = 64
	checksumAt = 56

	minPageSize = 1 << 10
	maxPageSize = 1 << 24

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	flagBucket = 0x01 // of a leaf's element

	// manyFree is the count of a free list that has its length in front.
	manyFree = 0xFFFF
)

var native = binary.NativeEndian

// errDamaged begins every message about a file.
var errDamaged = errors.New("bbolt file is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errDamaged, fmt.Errorf(format, args...)) //nolint:err113 // the message is the finding
}

// meta is what counts of a meta page.
type meta struct {
	pageSize, root, freelist, pages, transaction uint64
}

// readMeta returns the newer of the meta pages that are whole.
func readMeta(r io.ReaderAt, size int64) (newest meta, err error) {
	found := false
	take := func(at int64) {
		if m, ok := metaAt(r, at); ok && (!found || m.transaction > newest.transaction) {
			newest, found = m, true
		}
	}
	take(0)
	if found {
		take(int64(newest.pageSize))
	} else {
		// The size of a page is not known.
		for at := int64(minPageSize); at <= maxPageSize && at < size && !found; at *= 2 {
			take(at)
		}
	}
	switch {
	case !found:
		return meta{}, damaged("no meta page is whole")
	case newest.pages > uint64(size)/newest.pageSize:
		return newest, damaged("%d bytes do not hold %d pages of %d", size, newest.pages, newest.pageSize)
	}
	return newest, nil
}

func metaAt(r io.ReaderAt, at int64) (meta, bool) {
	b := make([]byte, metaLength)
	if n, _ := r.ReadAt(b, at+pageHeader); n < len(b) {
		return meta{}, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:checksumAt]) // a hash never fails
	m := meta{
		pageSize: uint64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), transaction: native.Uint64(b[48:]),
	}
	whole := native.Uint32(b) == magic && native.Uint32(b[4:]) == version && native.Uint64(b[checksumAt:]) == sum.Sum64() &&
		m.pageSize >= minPageSize && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0
	return m, whole
}

// page is a page with those it overflows to, as it is in the file.
type page []byte

func (p page) id() uint64       { return native.Uint64(p) }
func (p page) flags() uint16    { return native.Uint16(p[8:]) }
func (p page) count() int       { return int(native.Uint16(p[10:])) }
func (p page) overflow() uint64 { return uint64(native.Uint32(p[12:])) }

// bytes returns n bytes at an offset; false where the page does not have them.
func (p page) bytes(at, n uint64) ([]byte, bool) {
	if at > uint64(len(p)) || n > uint64(len(p))-at {
		return nil, false
	}
	return p[at : at+n : at+n], true
}

// leafElement returns an element of a leaf page.
func (p page) leafElement(i int) (flags uint32, key, value []byte, ok bool) {
	at := uint64(pageHeader + i*elementSize)
	e, ok := p.bytes(at, elementSize)
	if !ok {
		return 0, nil, nil, false
	}
	at += uint64(native.Uint32(e[4:]))
	keySize := uint64(native.Uint32(e[8:]))
	key, keyOK := p.bytes(at, keySize)
	value, valueOK := p.bytes(at+keySize, uint64(native.Uint32(e[12:])))
	return native.Uint32(e), key, value, keyOK && valueOK
}

// branchElement returns an element of a branch page.
func (p page) branchElement(i int) (child uint64, key []byte, ok bool) {
	at := uint64(pageHeader + i*elementSize)
	e, ok := p.bytes(at, elementSize)
	if !ok {
		return 0, nil, false
	}
	key, ok = p.bytes(at+uint64(native.Uint32(e)), uint64(native.Uint32(e[4:])))
	return native.Uint64(e[8:]), key, ok
}
