package boltfile

import (
	"bytes"
	"io"
	"slices"
)

// maxDepth is how many pages and buckets may stand above a key. A tree of bbolt's has at
// least two keys on a page, so that a real one is far from it.
const maxDepth = 64

// Visit is called with a key, the names of the buckets around it, outermost first, and its
// value, which is nil where the key names a bucket. The slices stay as they are. An error
// ends the walk.
type Visit func(buckets [][]byte, key, value []byte) error

// Check returns nil where bbolt can read and write the file: every page that the root leads
// to is there, once, with its keys in order, and no free page is one of them. It reads the
// whole file. An error says what is damaged first, or that the file could not be read.
func Check(r io.ReaderAt, size int64) error {
	w, err := start(r, size)
	if err != nil {
		return err
	}
	w.found = func(err error) error { return err }
	w.visit = func([][]byte, []byte, []byte) error { return nil }
	if err := w.freelist(); err != nil {
		return err
	}
	return w.tree(w.root, limits{}, nil, 0)
}

// Each visits what can be read of a file, sound or not. What a page or an element makes no
// sense of is left out, and with a page what stands below it; so a key may come out of
// order, twice, or in a bucket that was not visited. The error is the visit's.
func Each(r io.ReaderAt, size int64, visit Visit) error {
	w, _ := start(r, size)
	if w == nil {
		return nil
	}
	w.found = func(error) error { return nil }
	w.visit = visit
	return w.tree(w.root, limits{}, nil, 0)
}

// limits are the keys that a page may hold: from the first one to before the second one,
// which is nil where there is none.
type limits struct{ from, before []byte }

func (l limits) hold(key []byte) bool {
	return bytes.Compare(key, l.from) >= 0 && (l.before == nil || bytes.Compare(key, l.before) < 0)
}

type walker struct {
	meta
	r     io.ReaderAt
	seen  []uint64 // a bit for every page
	visit Visit
	// found is told of damage, and returns an error to end the walk.
	found func(error) error
}

// start returns a walker also for a file that is too short, and none where no meta page is
// whole.
func start(r io.ReaderAt, size int64) (*walker, error) {
	m, err := readMeta(r, size)
	if m == (meta{}) {
		return nil, err
	}
	m.pages = min(m.pages, uint64(size)/m.pageSize)
	return &walker{meta: m, r: r, seen: make([]uint64, m.pages/64+1)}, err
}

// mark notes that a page is in use; false where it was before.
func (w *walker) mark(id uint64) bool {
	word, bit := &w.seen[id/64], uint64(1)<<(id%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// read returns a page that was not read before.
func (w *walker) read(id uint64) (page, error) {
	if id < 2 || id >= w.pages {
		return nil, damaged("there is no page %d", id)
	}
	p := make(page, w.pageSize)
	if n, err := w.r.ReadAt(p, int64(id*w.pageSize)); n < len(p) {
		return nil, damaged("page %d: %w", id, err)
	}
	more := p.overflow()
	if p.id() != id || more >= w.pages-id {
		return nil, damaged("page %d says that it is page %d with %d more", id, p.id(), more)
	}
	for i := range more + 1 {
		if !w.mark(id + i) {
			return nil, damaged("page %d is used twice", id+i)
		}
	}
	if more > 0 {
		p = append(p, make(page, more*w.pageSize)...)
		rest := p[w.pageSize:]
		if n, err := w.r.ReadAt(rest, int64((id+1)*w.pageSize)); n < len(rest) {
			return nil, damaged("page %d: %w", id, err)
		}
	}
	return p, nil
}

// freelist marks the free pages, so that none of them is found in a tree.
func (w *walker) freelist() error {
	if w.meta.freelist == noFreelist {
		return nil
	}
	p, err := w.read(w.meta.freelist)
	if err != nil {
		return err
	}
	at, count := uint64(pageHeader), uint64(p.count())
	if count == manyFree {
		b, _ := p.bytes(at, 8) // a page is longer than its header
		at, count = at+8, native.Uint64(b)
	}
	ids, ok := p.bytes(at, min(count, w.pages)*8)
	if p.flags() != flagFreelist || !ok || count > w.pages {
		return damaged("page %d is no list of %d free pages", p.id(), count)
	}
	for b := range slices.Chunk(ids, 8) {
		id := native.Uint64(b)
		if id < 2 || id >= w.pages || !w.mark(id) {
			return damaged("page %d cannot be free", id)
		}
	}
	return nil
}

// tree visits a page and what stands below it.
func (w *walker) tree(id uint64, may limits, buckets [][]byte, depth int) error {
	if depth > maxDepth {
		return w.found(damaged("page %d is too deep", id))
	}
	p, err := w.read(id)
	if err != nil {
		return w.found(err)
	}
	switch p.flags() {
	case flagLeaf:
		return w.leaf(p, may, buckets, depth)
	case flagBranch:
		return w.branch(p, may, buckets, depth)
	default:
		return w.found(damaged("page %d has flags %x", id, p.flags()))
	}
}

func (w *walker) branch(p page, may limits, buckets [][]byte, depth int) error {
	if p.count() == 0 {
		return w.found(damaged("branch page %d is empty", p.id()))
	}
	for i := range p.count() {
		child, key, ok := p.branchElement(i)
		below := limits{from: key, before: may.before}
		if i+1 < p.count() {
			_, next, nextOK := p.branchElement(i + 1)
			if ok = ok && nextOK && bytes.Compare(key, next) < 0; ok {
				below.before = next
			}
		}
		if !ok || !may.hold(key) {
			if err := w.found(damaged("branch page %d, element %d", p.id(), i)); err != nil {
				return err
			}
		}
		if err := w.tree(child, below, buckets, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(p page, may limits, buckets [][]byte, depth int) error {
	var last []byte
	for i := range p.count() {
		flags, key, value, ok := p.leafElement(i)
		sound := ok && len(key) > 0 && flags <= flagBucket
		if !sound || !may.hold(key) || bytes.Compare(last, key) >= 0 {
			if err := w.found(damaged("leaf page %d, element %d", p.id(), i)); err != nil {
				return err
			}
		}
		if !sound {
			continue
		}
		last = key
		if flags == flagBucket {
			if err := w.bucket(key, value, buckets, depth); err != nil {
				return err
			}
		} else if err := w.visit(buckets, key, value); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) bucket(key, value []byte, buckets [][]byte, depth int) error {
	if len(value) < bucketSize {
		return w.found(damaged("bucket %q is too short", key))
	}
	if err := w.visit(buckets, key, nil); err != nil {
		return err
	}
	buckets = append(slices.Clip(buckets), key)
	if root := native.Uint64(value); root != 0 {
		return w.tree(root, limits{}, buckets, depth+1)
	}
	inline := page(value[bucketSize:])
	if len(inline) < pageHeader || inline.flags() != flagLeaf || inline.id() != 0 || inline.overflow() != 0 {
		return w.found(damaged("bucket %q has no page", key))
	}
	for i := range inline.count() {
		if flags, _, _, ok := inline.leafElement(i); ok && flags != 0 {
			return w.found(damaged("bucket %q has a bucket in its page", key))
		}
	}
	return w.leaf(inline, limits{}, buckets, depth+1)
}
