package resource

import (
	"encoding/base32"
	"io"
	"time"
)

var idDigits = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewID makes an ID that orders by time and is never used again: 48 bits of milliseconds
// and 80 random bits, as 26 lower-case digits of base 32 (the layout of a ULID).
func NewID(now time.Time, random io.Reader) string {
	var b [16]byte
	ms := now.UnixMilli()
	for i := 5; i >= 0; i-- {
		b[i] = byte(ms)
		ms >>= 8
	}
	// A source of randomness that fails ends the process where it is crypto/rand, which it
	// is but in tests.
	_, _ = io.ReadFull(random, b[6:])
	out := make([]byte, idDigits.EncodedLen(len(b)))
	idDigits.Encode(out, b[:])
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}
