package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Sum is a SHA-256 digest.
type Sum [sha256.Size]byte

// SumOf is the digest of a document.
func SumOf(document []byte) Sum { return sha256.Sum256(document) }

// String is the digest in lower-case hexadecimal.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// IsZero says whether the digest is absent.
func (s Sum) IsZero() bool { return s == Sum{} }

// ParseSum parses 64 lower-case hexadecimal digits.
func ParseSum(text string) (Sum, error) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return Sum{}, fmt.Errorf("wire: digest: %w", err)
	}
	return SumFromBytes(b)
}

// SumFromBytes takes 32 bytes; no bytes are the absent digest.
func SumFromBytes(b []byte) (Sum, error) {
	var s Sum
	if len(b) == 0 {
		return s, nil
	}
	if len(b) != len(s) {
		return Sum{}, fmt.Errorf("wire: digest has %d bytes, not %d", len(b), len(s))
	}
	copy(s[:], b)
	return s, nil
}

// StateHash is the sum modulo 2^256 of SHA-256 over (length-prefixed channel, kind, id,
// sha) of every live document of a channel. It can be updated by what a release changes,
// in any order, and shows in 32 bytes that a data center holds what it should. It detects
// drift; it is no commitment against someone who chooses documents, for which manifests
// are signed. The zero value is the hash of no documents.
type StateHash [sha256.Size]byte

// String is the hash in lower-case hexadecimal.
func (h StateHash) String() string { return hex.EncodeToString(h[:]) }

// StateHashFromBytes takes 32 bytes; no bytes are the hash of no documents.
func StateHashFromBytes(b []byte) (StateHash, error) {
	s, err := SumFromBytes(b)
	return StateHash(s), err
}

// Add returns the hash with one more document.
func (h StateHash) Add(c Channel, id DocumentID, sum Sum) StateHash {
	return h.combine(element(c, id, sum), bits.Add64)
}

// Remove returns the hash with one document less.
func (h StateHash) Remove(c Channel, id DocumentID, sum Sum) StateHash {
	return h.combine(element(c, id, sum), bits.Sub64)
}

// Replace returns the hash after a document changed; an absent digest stands for an
// absent document.
func (h StateHash) Replace(c Channel, id DocumentID, before, after Sum) StateHash {
	if !before.IsZero() {
		h = h.Remove(c, id, before)
	}
	if !after.IsZero() {
		h = h.Add(c, id, after)
	}
	return h
}

func (h StateHash) combine(e Sum, op func(x, y, carry uint64) (uint64, uint64)) StateHash {
	var out StateHash
	var carry uint64
	for at := len(h) - 8; at >= 0; at -= 8 {
		var word uint64
		word, carry = op(binary.BigEndian.Uint64(h[at:]), binary.BigEndian.Uint64(e[at:]), carry)
		binary.BigEndian.PutUint64(out[at:], word)
	}
	return out
}

func element(c Channel, id DocumentID, sum Sum) Sum {
	b := make([]byte, 0, 128)
	for _, part := range []string{string(c), id.Kind, id.ID} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(sum)))
	b = append(b, sum[:]...)
	return sha256.Sum256(b)
}
