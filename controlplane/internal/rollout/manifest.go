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
	return d.open(c, n, kv.Value)
}

func (d *Driver) open(c wire.Channel, n int64, value []byte) (Release, error) {
	var signed edgev1.Signed
	if err := proto.Unmarshal(value, &signed); err != nil {
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

// manifestPage is how many manifests are read at once; each may list 8,000 changes.
const manifestPage = 16

// sealed reads the releases of a channel that are newer than the state knows, up to the last
// number that the head says was given: what a manifest says that no head names was never
// released. Numbers without a manifest were passed over.
func (d *Driver) sealed(ctx context.Context, ch *Chain, last int64) ([]Release, error) {
	var out []Release
	after, more := wire.ReleaseKey(ch.Channel, ch.LastNumber), ch.LastNumber < last
	for more {
		page, err := d.cfg.Edge.List(ctx, registry.ListRequest{Prefix: wire.ReleasePrefix(ch.Channel), After: after, Limit: manifestPage})
		if err != nil {
			return nil, fmt.Errorf("rollout: manifests of %s: %w", ch.Channel, err)
		}
		for _, kv := range page.KVs {
			n := wire.ParseEdgeKey(kv.Key).Release
			if n > last {
				return out, nil
			}
			r, err := d.open(ch.Channel, n, kv.Value)
			if err != nil {
				return nil, err
			}
			out, after = append(out, r), kv.Key
		}
		more = page.More
	}
	return out, nil
}
