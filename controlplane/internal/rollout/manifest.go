package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// manifest reads a sealed release, checks its signature and returns it as the machine
// takes it in. It fails with [registry.ErrNotFound] when there is none.
func (d *Driver) manifest(ctx context.Context, c wire.Channel, n int64) (Release, error) {
	kv, err := d.cfg.Edge.Get(ctx, wire.ReleaseKey(c, n))
	if err != nil {
		return Release{}, fmt.Errorf("rollout: manifest %s %d: %w", c, n, err)
	}
	var signed edgev1.Signed
	if err := proto.Unmarshal(kv.Value, &signed); err != nil {
		return Release{}, fmt.Errorf("rollout: manifest %s %d: %w", c, n, err)
	}
	var m edgev1.Manifest
	if err := d.cfg.Trust.Open(&signed, wire.ContextManifest, &m); err != nil {
		return Release{}, fmt.Errorf("rollout: manifest %s %d: %w", c, n, err)
	}
	if m.GetChannel() != string(c) || m.GetNumber() != n {
		return Release{}, fmt.Errorf("rollout: manifest %s %d says that it is %s %d", c, n, m.GetChannel(), m.GetNumber())
	}
	r, err := ReleaseFromManifest(&m)
	if err != nil {
		return Release{}, fmt.Errorf("rollout: manifest %s %d: %w", c, n, err)
	}
	return r, nil
}

// ReleaseFromManifest is a release as it was sealed.
func ReleaseFromManifest(m *edgev1.Manifest) (Release, error) {
	hash, err := wire.StateHashFromBytes(m.GetStateHash())
	if err != nil {
		return Release{}, err
	}
	r := Release{
		Number: m.GetNumber(), Parent: m.GetParent(), Cause: m.GetCause(), StateHash: hash,
		SealTime: unstamp(m.GetSealTime()), ChangeCount: len(m.GetChanges()),
		FromRevision: m.GetFromRevision(), CoveredRevision: m.GetCoveredRevision(),
	}
	for _, c := range m.GetChanges() {
		before, err := wire.SumFromBytes(c.GetOldSha256())
		if err != nil {
			return Release{}, err
		}
		after, err := wire.SumFromBytes(c.GetNewSha256())
		if err != nil {
			return Release{}, err
		}
		r.Changes = append(r.Changes, Change{
			Document: wire.DocumentID{Kind: c.GetKind(), ID: c.GetId()}, Old: before, New: after,
		})
	}
	if !slices.IsSortedFunc(r.Changes, func(a, b Change) int { return a.Document.Compare(b.Document) }) {
		return Release{}, errors.New("its changes are out of order")
	}
	return r, nil
}

// sealed reads the releases of a channel that are newer than the state knows, and that the
// head names: what a manifest says that no head names was never released.
func (d *Driver) sealed(ctx context.Context, ch *Chain, last int64) ([]Release, error) {
	var out []Release
	for n := ch.LastNumber + 1; n <= last; n++ {
		r, err := d.manifest(ctx, ch.Channel, n)
		if errors.Is(err, registry.ErrNotFound) {
			d.cfg.Logger.WarnContext(ctx, "a release has no manifest and is passed over", "channel", ch.Channel, "release", n)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
