package service

import (
	"context"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// change runs one change of one site and answers with the site.
func (s *Sites) change(ctx context.Context, resourceName, etag string, fn func(e *siteEdit) error) (*breakwaterv1.Site, error) {
	name, err := siteName(resourceName)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Site, error) {
		e, err := s.cfg.siteOpen(tx, name)
		if err != nil {
			return nil, err
		}
		if err := siteMeets(tx, etag, sitestate.SiteEtag(e.rec), name.SiteName()); err != nil {
			return nil, err
		}
		if err := fn(e); err != nil {
			return nil, err
		}
		return e.shown(), nil
	})
}

// writable fails where the site is deleted.
func (e *siteEdit) writable() error {
	if e.rec.GetSite().GetState() != breakwaterv1.Site_DELETED {
		return nil
	}
	return rpcerr.Precondition(rpcerr.ReasonInvalidState, e.name.SiteName(),
		"%s is deleted; bring it back with :undelete first", e.name.SiteName())
}

// UpdateSite implements SiteService. A new origin makes a version; labels do not.
func (s *Sites) UpdateSite(ctx context.Context, req *breakwaterv1.UpdateSiteRequest) (*breakwaterv1.Site, error) {
	in := req.GetSite()
	return s.change(ctx, in.GetName(), in.GetEtag(), func(e *siteEdit) error {
		if err := e.writable(); err != nil {
			return err
		}
		// The origin is a part of the configuration; for the mask it is one of the site.
		site, _ := proto.Clone(e.rec.GetSite()).(*breakwaterv1.Site)
		site.Origin = e.rec.GetConfig().GetOrigin()
		changed, err := masks.Apply(site, in, req.GetUpdateMask(), masks.Options{Same: siteSameDomain})
		if err != nil || len(changed) == 0 {
			return err
		}
		origin := site.GetOrigin()
		site.Origin = nil
		siteFollowScheme(origin, e.before.GetOrigin(), in.GetOrigin(), req.GetUpdateMask())
		e.rec.Site = site
		if !proto.Equal(origin, e.before.GetOrigin()) {
			if err := e.setOrigin(origin); err != nil {
				return err
			}
			return e.commitVersion(siteAudit{summary: "site changed", fields: changed})
		}
		site.UpdateTime = timestampOf(e.tx.Now())
		return e.commitTouch(siteAudit{summary: "site changed", fields: changed})
	})
}

// setOrigin checks and takes an origin; nil takes it away.
func (e *siteEdit) setOrigin(origin *breakwaterv1.Origin) error {
	if origin == nil || proto.Equal(origin, &breakwaterv1.Origin{}) {
		e.rec.GetConfig().Origin = nil
		return nil
	}
	if v := siteOriginViolations(origin, e.name.Site); len(v) > 0 {
		return rpcerr.Invalid(v...)
	}
	e.rec.GetConfig().Origin = siteCanonicalOrigin(origin)
	return nil
}

func siteSameDomain(path, old, updated string) bool {
	if path != "domain" {
		return old == updated
	}
	d, err := domain.Parse(updated)
	return err == nil && d.String() == old
}

// PauseSite implements SiteService.
func (s *Sites) PauseSite(ctx context.Context, req *breakwaterv1.PauseSiteRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), req.GetEtag(), func(e *siteEdit) error { return e.pause(true) })
}

// ResumeSite implements SiteService.
func (s *Sites) ResumeSite(ctx context.Context, req *breakwaterv1.ResumeSiteRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), req.GetEtag(), func(e *siteEdit) error { return e.pause(false) })
}

func (e *siteEdit) pause(paused bool) error {
	if err := e.writable(); err != nil {
		return err
	}
	if e.rec.GetSite().GetPaused() == paused {
		return nil
	}
	e.rec.GetSite().Paused = paused
	summary := "site resumed"
	if paused {
		summary = "site paused"
	}
	return e.commitVersion(siteAudit{summary: summary, fields: []string{"paused"}})
}

// DeleteSite implements SiteService.
func (s *Sites) DeleteSite(ctx context.Context, req *breakwaterv1.DeleteSiteRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), req.GetEtag(), func(e *siteEdit) error {
		if err := s.step(e, sitestate.Delete, "", "site deleted"); err != nil || s.cfg.Billing == nil {
			return err
		}
		return s.cfg.Billing.SiteDeleted(e.tx, e.name.Account, e.name.Site)
	})
}

// UndeleteSite implements SiteService.
func (s *Sites) UndeleteSite(ctx context.Context, req *breakwaterv1.UndeleteSiteRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), req.GetEtag(), func(e *siteEdit) error {
		if purge := e.rec.GetSite().GetPurgeTime(); purge != nil && !e.tx.Now().Before(purge.AsTime()) &&
			e.rec.GetSite().GetState() == breakwaterv1.Site_DELETED {
			return rpcerr.Precondition(rpcerr.ReasonInvalidState, e.name.SiteName(),
				"%s is being purged: add it again in a moment", e.name.SiteName())
		}
		if err := siteAccountOpen(e.tx, resource.Name{Account: e.name.Account, Collection: "accounts"}); err != nil {
			return err
		}
		if err := s.step(e, sitestate.Undelete, "", "site undeleted"); err != nil || s.cfg.Billing == nil {
			return err
		}
		return s.cfg.Billing.SiteRestored(e.tx, e.name.Account, e.name.Site)
	})
}

// SuspendSite implements SiteService.
func (s *Sites) SuspendSite(ctx context.Context, req *breakwaterv1.SuspendSiteRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), req.GetEtag(), func(e *siteEdit) error {
		return s.step(e, sitestate.Suspend, req.GetReason(), "site suspended: "+req.GetReason())
	})
}

// UnsuspendSite implements SiteService.
func (s *Sites) UnsuspendSite(ctx context.Context, req *breakwaterv1.UnsuspendSiteRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), req.GetEtag(), func(e *siteEdit) error {
		return s.step(e, sitestate.Unsuspend, "", "suspension ended")
	})
}

// step moves the site to another state, and what is known of its domain with it.
func (s *Sites) step(e *siteEdit, event sitestate.Event, reason, summary string) error {
	was := e.rec.GetSite().GetState()
	if err := sitestate.Step(e.rec, event, reason, e.free(), e.tx.Now(), s.cfg.Times); err != nil {
		return rpcerr.Precondition(rpcerr.ReasonInvalidState, e.name.SiteName(),
			"can't %s %s: it is %s", event, e.name.SiteName(), was).WithMetadata("state", was.String()).WithCause(err)
	}
	index := &storev1.DomainRecord{}
	key := resource.DomainIndex(e.name.Site)
	if err := e.tx.Get(key, index); err != nil {
		return err
	}
	if sitestate.Follow(index, e.name.Account, event) {
		if err := e.tx.Put(key, index); err != nil {
			return err
		}
	}
	return e.commitVersion(siteAudit{summary: summary, fields: []string{"state"}})
}
