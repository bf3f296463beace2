package publish

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// manifest is a sealed release as it was read back.
type manifest struct {
	number, parent int64
	// covered is the registry revision that it covers.
	covered int64
	changes []change
	hash    wire.StateHash
	signed  *edgev1.Signed
}

// change is one document of a release.
type change struct {
	id          wire.DocumentID
	old, wanted wire.Sum
	// body is the document, where it is at hand and not known to be stored.
	body []byte
}

// errNoManifest says that a manifest is not there: it was pruned.
var errNoManifest = errors.New("publish: manifest is gone")

// readManifest reads and checks a release. What is not signed by a trusted key is not
// believed: else whoever can write to the store could have it signed by us.
func (w *worker) readManifest(ctx context.Context, n int64) (*manifest, error) {
	kv, err := w.cfg.Edge.Get(ctx, wire.ReleaseKey(w.channel, n))
	if errors.Is(err, registry.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s %d", errNoManifest, w.channel, n)
	}
	if err != nil {
		return nil, err
	}
	var signed edgev1.Signed
	if err := proto.Unmarshal(kv.Value, &signed); err != nil {
		return nil, fmt.Errorf("publish: manifest %s %d: %w", w.channel, n, err)
	}
	return w.openManifest(&signed, n)
}

func (w *worker) openManifest(signed *edgev1.Signed, n int64) (*manifest, error) {
	var rec edgev1.Manifest
	if err := w.cfg.Trust.Open(signed, wire.ContextManifest, &rec); err != nil {
		return nil, fmt.Errorf("publish: manifest %s %d: %w", w.channel, n, err)
	}
	if rec.GetChannel() != string(w.channel) || rec.GetNumber() != n || rec.GetParent() >= n {
		return nil, fmt.Errorf("publish: manifest %s %d says that it is %s %d on %d",
			w.channel, n, rec.GetChannel(), rec.GetNumber(), rec.GetParent())
	}
	m := &manifest{number: n, parent: rec.GetParent(), covered: rec.GetCoveredRevision(), signed: signed}
	var err error
	if m.hash, err = wire.StateHashFromBytes(rec.GetStateHash()); err != nil {
		return nil, fmt.Errorf("publish: manifest %s %d: %w", w.channel, n, err)
	}
	for _, c := range rec.GetChanges() {
		one := change{id: wire.DocumentID{Kind: c.GetKind(), ID: c.GetId()}}
		if one.old, err = wire.SumFromBytes(c.GetOldSha256()); err == nil {
			one.wanted, err = wire.SumFromBytes(c.GetNewSha256())
		}
		if err != nil {
			return nil, fmt.Errorf("publish: manifest %s %d: %v: %w", w.channel, n, one.id, err)
		}
		m.changes = append(m.changes, one)
	}
	return m, nil
}
