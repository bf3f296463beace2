package propagation

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Documents returns what a release changes. It is asked for trials only, once for each, and
// is on the way of readers: it must answer or fail soon.
type Documents func(c wire.Channel, release int64) ([]wire.DocumentID, error)

// manifestWait bounds how long readers wait for a manifest.
const manifestWait = 250 * time.Millisecond

// Manifests reads what releases change from their manifests.
func Manifests(store registry.Store, trust wire.Trust) Documents {
	return func(c wire.Channel, release int64) ([]wire.DocumentID, error) {
		ctx, cancel := context.WithTimeout(context.Background(), manifestWait)
		defer cancel()
		kv, err := store.Get(ctx, wire.ReleaseKey(c, release))
		if err != nil {
			return nil, fmt.Errorf("propagation: manifest %d of %s: %w", release, c, err)
		}
		var signed edgev1.Signed
		var m edgev1.Manifest
		if err := proto.Unmarshal(kv.Value, &signed); err != nil {
			return nil, fmt.Errorf("propagation: manifest %d of %s: %w", release, c, err)
		}
		if err := trust.Open(&signed, wire.ContextManifest, &m); err != nil {
			return nil, fmt.Errorf("propagation: manifest %d of %s: %w", release, c, err)
		}
		out := make([]wire.DocumentID, 0, len(m.GetChanges()))
		for _, ch := range m.GetChanges() {
			out = append(out, wire.DocumentID{Kind: ch.GetKind(), ID: ch.GetId()})
		}
		return out, nil
	}
}

// trial is a trial of a bisection that is on its way.
type trial struct {
	channel wire.Channel
	release int64
	// documents is nil where the manifest could not be read: then it may hold anything.
	documents map[wire.DocumentID]struct{}
}

// has says whether the trial carries a document of the site.
func (t *trial) has(domain string) bool {
	if t.documents == nil {
		return true
	}
	for _, kind := range siteKinds {
		if _, ok := t.documents[wire.DocumentID{Kind: kind, ID: domain}]; ok {
			return true
		}
	}
	return false
}
