package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// form names the canonical form, so that another one can follow it.
const form = "breakwater-audit-1"

// zeroHash stands before the first event.
var zeroHash [sha256.Size]byte

// Hash is the hash of an event that has its place, after the hash before it.
func Hash(previous []byte, e *breakwaterv1.AuditEvent) []byte {
	h := sha256.New()
	h.Write(previous)
	Canonical(h, e)
	return h.Sum(nil)
}

// Canonical writes an event in the form that is hashed: the form's name, then every field
// but the hash in the order of its number. A text is its length (8 bytes, big-endian) and
// its UTF-8 bytes; a number is 8 bytes, big-endian; a time is its seconds and nanoseconds; a
// list is its length and its elements.
func Canonical(h hash.Hash, e *breakwaterv1.AuditEvent) {
	number := func(n int64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	text := func(s string) {
		number(int64(len(s)))
		h.Write([]byte(s))
	}
	text(form)
	text(e.GetName())
	number(e.GetCreateTime().GetSeconds())
	number(int64(e.GetCreateTime().GetNanos()))
	text(e.GetPrincipal())
	text(e.GetOnBehalfOf())
	text(e.GetMethod())
	text(e.GetResource())
	number(e.GetVersion())
	text(e.GetSummary())
	number(int64(len(e.GetChangedFields())))
	for _, f := range e.GetChangedFields() {
		text(f)
	}
	text(e.GetSourceAddress())
	text(e.GetHttpRequestId())
	number(e.GetSequence())
}

// seal gives an event its place and hash, and returns the hash.
func seal(previous []byte, sequence int64, e *breakwaterv1.AuditEvent) []byte {
	e.Sequence, e.Hash = sequence, ""
	sum := Hash(previous, e)
	e.Hash = hex.EncodeToString(sum)
	return sum
}

// perSegment is how many events a segment holds; the last segment may hold fewer. It must
// never change: it decides the keys of what is stored.
const perSegment = 32

// segmentOf is the first place of the segment that a place is in.
func segmentOf(sequence int64) int64 { return (sequence-1)/perSegment*perSegment + 1 }
