package activation

import (
	"context"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// purgeBatch is how many versions one change removes.
const purgeBatch = 500

// purge removes a site for good. Its versions go first, in batches, then all the rest at
// once: whatever stops it in between leaves a deleted site that is due to be purged.
func (w *Worker) purge(ctx context.Context, seen *storev1.SiteRecord) error {
	tenant, domain := sitestate.Tenant(seen), seen.GetSite().GetDomain()
	for {
		page, err := w.cfg.History.List(ctx, registry.ListRequest{Prefix: tenant.Versions(domain), Limit: purgeBatch})
		if err != nil {
			return err
		}
		if len(page.KVs) == 0 {
			break
		}
		err = w.change(ctx, seen, sitestate.DuePurge, func(e *edit) error {
			for _, kv := range page.KVs {
				e.tx.Delete(kv.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return w.change(ctx, seen, sitestate.DuePurge, func(e *edit) error {
		zone, err := sitestate.LoadZone(e.tx.Get, tenant, domain)
		if err != nil {
			return err
		}
		zone.Drop(e.tx, tenant, domain)
		e.tx.Delete(tenant.Zone(domain))
		e.tx.Delete(tenant.Site(domain))
		index, key, err := e.index()
		if err != nil {
			return err
		}
		if sitestate.Release(index, tenant.Account(), e.tx.Now(), e.tx.Now().Add(w.cfg.Times.Retired)) {
			e.tx.Delete(key)
		} else if err := e.tx.Put(key, index); err != nil {
			return err
		}
		if w.cfg.Billing != nil {
			if err := w.cfg.Billing.SitePurged(e.tx, tenant.Account(), domain); err != nil {
				return err
			}
		}
		e.tx.Audit(&breakwaterv1.AuditEvent{
			Method: "PurgeSite", Resource: e.rec.GetSite().GetName(), Summary: "site purged for good",
		})
		return nil
	})
}
