package crumb

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"sync"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxRecord bounds the file.
const maxRecord = 4 << 10

// Crumb is what the data plane has in hand.
type Crumb struct {
	Channel  wire.Channel
	Release  int64
	Document wire.DocumentID
	Sum      wire.Sum
}

// File keeps the newest breadcrumb.
type File struct {
	mu sync.Mutex
	f  *os.File
	b  []byte
}

// Open opens the file at path, or makes it.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("edge breadcrumb: %w", err)
	}
	return &File{f: f}, nil
}

// Set replaces the breadcrumb.
func (f *File) Set(c Crumb) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := append(f.b[:0], make([]byte, 8)...) // length and checksum come last
	b = binary.BigEndian.AppendUint64(b, uint64(max(c.Release, 0)))
	b = append(b, c.Sum[:]...)
	for _, text := range []string{string(c.Channel), c.Document.Kind, c.Document.ID} {
		b = binary.BigEndian.AppendUint16(b, uint16(min(len(text), 1024)))
		b = append(b, text[:min(len(text), 1024)]...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	binary.BigEndian.PutUint32(b[4:], crc32.ChecksumIEEE(b[8:]))
	f.b = b
	_, _ = f.f.WriteAt(b, 0) // a lost breadcrumb stops nothing
}

// Clear removes the breadcrumb.
func (f *File) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.f.WriteAt(make([]byte, 8), 0) // a stale one is told apart by its release
}

// Read returns the breadcrumb; false when there is none or it is damaged.
func (f *File) Read() (Crumb, bool) {
	b := make([]byte, maxRecord)
	f.mu.Lock()
	n, _ := f.f.ReadAt(b, 0) // a short file holds what it holds
	f.mu.Unlock()
	return parse(b[:n])
}

func parse(b []byte) (Crumb, bool) {
	if len(b) < 8 {
		return Crumb{}, false
	}
	length, sum := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	b = b[8:]
	if length < 8+32 || uint64(length) > uint64(len(b)) || crc32.ChecksumIEEE(b[:length]) != sum {
		return Crumb{}, false
	}
	b = b[:length]
	var c Crumb
	c.Release = int64(binary.BigEndian.Uint64(b))
	copy(c.Sum[:], b[8:])
	b = b[8+32:]
	var texts [3]string
	for i := range texts {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return Crumb{}, false
		}
		end := 2 + int(binary.BigEndian.Uint16(b))
		texts[i], b = string(b[2:end]), b[end:]
	}
	c.Channel = wire.Channel(texts[0])
	c.Document = wire.DocumentID{Kind: texts[1], ID: texts[2]}
	return c, true
}

// Close gives the file back.
func (f *File) Close() error { return f.f.Close() }
