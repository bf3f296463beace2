package server

import (
	"context"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service"
)

// seed stores the platform's own records where there are none: the app catalogue, entry by
// entry, and the limits of documents. Several replicas may do it at once; what operators
// changed is left alone.
func seed(ctx context.Context, w *change.Writer) error {
	apps, err := catalog.Default()
	if err != nil {
		return err
	}
	if err := service.SeedApps(ctx, w, apps); err != nil {
		return err
	}
	_, err = change.Do(ctx, w, resource.Tenant{}, func(tx *change.Tx) (*opsv1.Limits, error) {
		limits := compile.DefaultLimits()
		exists, err := tx.Exists(resource.LimitsKey)
		if err != nil || exists {
			return limits, err
		}
		return limits, tx.Put(resource.LimitsKey, &storev1.LimitsRecord{Limits: limits})
	})
	return err
}
