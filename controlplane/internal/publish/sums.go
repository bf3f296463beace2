package publish

import (
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Sums compiles a site as the publisher would and returns the digests of its documents, so
// that a reader can tell whether what is held is the site as it is now.
func Sums(view watchcache.View, rec *storev1.SiteRecord) (map[wire.DocumentID]wire.Sum, error) {
	name, err := resource.ParseName(rec.GetSite().GetName())
	if err != nil {
		return nil, err
	}
	in := compile.SiteInput{Record: rec}
	if in.Limits, err = limitsOf(view); err != nil {
		return nil, err
	}
	if rec.GetSite().GetSetup() == breakwaterv1.Site_FULL {
		if in.Zone, err = zoneOf(view, name.Tenant(), name.Site); err != nil {
			return nil, err
		}
	}
	documents, err := compile.Site(in)
	if err != nil {
		return nil, err
	}
	sums := map[wire.DocumentID]wire.Sum{}
	for _, d := range documents {
		sums[d.ID] = d.Sum
	}
	return sums, nil
}
