package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/chain"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Generation is the state of a channel at a release, without its documents.
type Generation struct {
	Channel wire.Channel
	// Seq counts the generations of the channel on this disk.
	Seq uint64
	// Order counts the generations of all channels, in the order in which they came.
	Order uint64
	// TargetSequence is that of the target that asked for it.
	TargetSequence int64
	chain.State
	// Applied says whether the data plane took it.
	Applied bool

	// weight is how many changes its record holds.
	weight int
}

var errRecord = errors.New("edge store: a record is damaged")

// encode is the form of a generation's record and of a checkpoint, whose changes are from
// the empty state: fields, changes, and SHA-256 over them and the channel.
func encode(g Generation, changes []chain.Change) []byte {
	b := make([]byte, 0, 256+100*len(changes))
	b = binary.AppendUvarint(b, g.Seq)
	b = binary.AppendUvarint(b, g.Order)
	b = binary.AppendVarint(b, g.TargetSequence)
	b = binary.AppendVarint(b, g.Release)
	b = append(b, g.Digest[:]...)
	b = append(b, g.StateHash[:]...)
	b = binary.AppendVarint(b, g.Documents)
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for _, c := range changes {
		b = appendText(b, c.ID.Kind)
		b = appendText(b, c.ID.ID)
		b = appendSum(b, c.Before)
		b = appendSum(b, c.After)
	}
	sum := checksum(g.Channel, b)
	return append(b, sum[:]...)
}

func checksum(c wire.Channel, b []byte) wire.Sum {
	h := sha256.New()
	_, _ = h.Write([]byte(c)) // a hash never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(b)
	var sum wire.Sum
	h.Sum(sum[:0])
	return sum
}

// decode checks a record and parses it. Without changes, it returns only the fields.
func decode(c wire.Channel, b []byte, withChanges bool) (Generation, []chain.Change, error) {
	if len(b) < sha256.Size {
		return Generation{}, nil, errRecord
	}
	body := b[:len(b)-sha256.Size]
	if checksum(c, body) != wire.Sum(b[len(body):]) {
		return Generation{}, nil, errRecord
	}
	r := reader{b: body}
	g := Generation{Channel: c, Seq: r.uvarint(), Order: r.uvarint(), TargetSequence: r.varint()}
	g.Release = r.varint()
	g.Digest = r.sum()
	g.StateHash = wire.StateHash(r.sum())
	g.Documents = r.varint()
	count := r.uvarint()
	if r.failed || count > uint64(len(body)) {
		return Generation{}, nil, errRecord
	}
	g.weight = int(count)
	if !withChanges {
		return g, nil, nil
	}
	changes := make([]chain.Change, 0, count)
	for range count {
		id := wire.DocumentID{Kind: r.text(), ID: r.text()}
		changes = append(changes, chain.Change{ID: id, Before: r.optionalSum(), After: r.optionalSum()})
	}
	if r.failed || len(r.b) != 0 {
		return Generation{}, nil, errRecord
	}
	return g, changes, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendSum(b []byte, s wire.Sum) []byte {
	if s.IsZero() {
		return append(b, 0)
	}
	return append(append(b, 1), s[:]...)
}

// reader takes a record apart; once something is short, it only returns zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.failed, r.b = true, nil
		return
	}
	r.b = r.b[n:]
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) sum() (s wire.Sum) {
	copy(s[:], r.take(uint64(len(s))))
	return s
}

func (r *reader) optionalSum() wire.Sum {
	if present := r.take(1); len(present) == 1 && present[0] == 1 {
		return r.sum()
	}
	return wire.Sum{}
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func numberKey(c wire.Channel, n int64) []byte { return fmt.Appendf(nil, "%s/%016x", c, n) }
