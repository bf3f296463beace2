package server

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// defaultLimits bound every compiled document until an operator changes them.
func defaultLimits() *opsv1.Limits {
	return &opsv1.Limits{
		MaxDocumentBytes:  1 << 20,
		MaxRulesPerSite:   12_000,
		MaxExpressionCost: 10_000,
		MaxPacketBytes:    9_216, // jumbo frames; the largest that the network carries
		Version:           1,
	}
}

// seed stores the platform's own records where there are none: the app catalogue, entry by
// entry, and the limits. Several replicas may do it at once; entries that operators changed
// are left alone.
func seed(ctx context.Context, store registry.Store) error {
	apps, err := catalog.Default()
	if err != nil {
		return err
	}
	limits, err := proto.Marshal(&storev1.LimitsRecord{Limits: defaultLimits()})
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	if err := create(ctx, store, resource.LimitsKey, registry.Put(resource.LimitsKey, limits)); err != nil {
		return err
	}
	for _, app := range apps {
		ops, err := catalog.Put(app)
		if err != nil {
			return err
		}
		if err := create(ctx, store, resource.App(catalog.ID(app)), ops...); err != nil {
			return err
		}
	}
	return nil
}

// create commits ops unless key exists.
func create(ctx context.Context, store registry.Store, key string, ops ...registry.Op) error {
	_, err := store.Get(ctx, key)
	if !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	_, err = store.Commit(ctx, registry.Txn{If: []registry.Compare{{Key: key}}, Then: ops})
	var conflict *registry.ConflictError
	if errors.As(err, &conflict) {
		return nil
	}
	return err
}
