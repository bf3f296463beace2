package service

import (
	"context"
	"math"
	"slices"
	"sync"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// AppOfferConfig is what an AppOffer needs.
type AppOfferConfig struct {
	Source  change.Source
	History catalog.History
	// Covered is the registry revision up to which every data center is known to hold the
	// catalogue. Nil means that it holds all.
	Covered func() int64
}

// AppOffer is the app catalogue as every data center is known to hold it: what sites may
// choose from. It is safe for concurrent use.
type AppOffer struct {
	cfg AppOfferConfig

	mu sync.Mutex
	// revisions and covered are what current was made from.
	revisions []int64
	covered   int64
	current   *catalog.Catalog
}

// NewAppOffer makes an AppOffer.
func NewAppOffer(cfg AppOfferConfig) *AppOffer { return &AppOffer{cfg: cfg} }

// Catalog returns the catalogue. It costs little unless an entry changed.
func (o *AppOffer) Catalog(ctx context.Context) (*catalog.Catalog, error) {
	covered := int64(math.MaxInt64)
	if o.cfg.Covered != nil {
		covered = o.cfg.Covered()
	}
	entries, _ := o.cfg.Source.Cached().List(resource.AppsPrefix, "", 0)
	revisions := make([]int64, len(entries))
	waits := false
	for i, kv := range entries {
		revisions[i] = kv.ModRevision
		waits = waits || kv.ModRevision > covered
	}
	if !waits {
		covered = math.MaxInt64 // How far it goes beyond the newest entry changes nothing.
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current != nil && o.covered == covered && slices.Equal(o.revisions, revisions) {
		return o.current, nil
	}
	apps, err := catalog.Offered(ctx, entries, o.cfg.History, covered)
	if err != nil {
		return nil, err
	}
	next, err := o.build(apps)
	if err != nil {
		return nil, err
	}
	o.current, o.covered, o.revisions = next, covered, revisions
	return next, nil
}

func (o *AppOffer) build(apps []*breakwaterv1.App) (*catalog.Catalog, error) {
	if o.current != nil {
		return o.current.Update(apps)
	}
	return catalog.New(apps)
}
