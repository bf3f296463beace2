package chain

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// maxName bounds the length of a document's kind and of its ID, in bytes.
const maxName = 512

// Change is what becomes of one document. An absent digest stands for an absent document.
type Change struct {
	ID     wire.DocumentID
	Before wire.Sum
	After  wire.Sum
}

// Manifest is one release, checked.
type Manifest struct {
	Channel   wire.Channel
	Number    int64
	Parent    int64
	Changes   []Change
	StateHash wire.StateHash
	Documents int64
	// Digest identifies the release: after a restored backup, a number can be given a
	// second time.
	Digest wire.Sum
	// Raw is the signed manifest as it was read.
	Raw []byte
}

// CorruptError says that something of a release is wrong: a signature, a digest, a hash.
type CorruptError struct {
	// Release is the release at fault; zero where a base is.
	Release int64
	// Document and Sum are the document at fault, where it is one.
	Document wire.DocumentID
	Sum      wire.Sum
	Reason   string
}

func (e *CorruptError) Error() string {
	if e.Document != (wire.DocumentID{}) {
		return fmt.Sprintf("edge: release %d: document %s: %s", e.Release, e.Document, e.Reason)
	}
	return fmt.Sprintf("edge: release %d: %s", e.Release, e.Reason)
}

func corrupt(release int64, format string, args ...any) error {
	return &CorruptError{Release: release, Reason: fmt.Sprintf(format, args...)}
}

// OpenManifest checks a signed manifest that was read under the key of release n.
func OpenManifest(trust wire.Trust, c wire.Channel, n int64, raw []byte) (*Manifest, error) {
	var signed edgev1.Signed
	if err := proto.Unmarshal(raw, &signed); err != nil {
		return nil, corrupt(n, "manifest: %v", err)
	}
	m, err := openSigned(trust, c, n, &signed)
	if err != nil {
		return nil, err
	}
	m.Raw = raw
	return m, nil
}

func openSigned(trust wire.Trust, c wire.Channel, n int64, signed *edgev1.Signed) (*Manifest, error) {
	var p edgev1.Manifest
	if err := trust.Open(signed, wire.ContextManifest, &p); err != nil {
		return nil, corrupt(n, "manifest: %v", err)
	}
	m := &Manifest{
		Channel:   wire.Channel(p.GetChannel()),
		Number:    p.GetNumber(),
		Parent:    p.GetParent(),
		Documents: p.GetDocuments(),
		Digest:    wire.SumOf(signed.GetPayload()),
		Changes:   make([]Change, len(p.GetChanges())),
	}
	if m.Channel != c || m.Number != n {
		return nil, corrupt(n, "the manifest is that of %s/%d", m.Channel, m.Number)
	}
	if m.Parent < 0 || m.Parent >= m.Number || m.Documents < 0 {
		return nil, corrupt(n, "parent %d, %d documents", m.Parent, m.Documents)
	}
	var err error
	if m.StateHash, err = wire.StateHashFromBytes(p.GetStateHash()); err != nil {
		return nil, corrupt(n, "state hash: %v", err)
	}
	for i, change := range p.GetChanges() {
		if m.Changes[i], err = parseChange(c, change); err != nil {
			return nil, corrupt(n, "change %d: %v", i, err)
		}
		if i > 0 && m.Changes[i-1].ID.Compare(m.Changes[i].ID) >= 0 {
			return nil, corrupt(n, "change %d is out of order", i)
		}
	}
	return m, nil
}

func parseChange(c wire.Channel, p *edgev1.Manifest_Change) (Change, error) {
	id, err := parseID(c, p.GetKind(), p.GetId())
	if err != nil {
		return Change{}, err
	}
	before, err := wire.SumFromBytes(p.GetOldSha256())
	if err != nil {
		return Change{}, err
	}
	after, err := wire.SumFromBytes(p.GetNewSha256())
	if err != nil {
		return Change{}, err
	}
	if before == after {
		return Change{}, fmt.Errorf("document %s does not change", id)
	}
	return Change{ID: id, Before: before, After: after}, nil
}

// parseID checks a document's name. A kind that this version does not know may be in any
// channel: what to do with it is the data plane's business.
func parseID(c wire.Channel, kind, id string) (wire.DocumentID, error) {
	if kind == "" || id == "" || len(kind) > maxName || len(id) > maxName || bytes.IndexByte([]byte(kind), '/') >= 0 {
		return wire.DocumentID{}, fmt.Errorf("%.20q/%.20q is not a document's name", kind, id)
	}
	if of, known := wire.ChannelOf(kind); known && of != c {
		return wire.DocumentID{}, fmt.Errorf("kind %s is not of this channel", kind)
	}
	return wire.DocumentID{Kind: kind, ID: id}, nil
}
