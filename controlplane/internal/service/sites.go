package service

import (
	"context"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// SitesConfig is what the service of sites needs.
type SitesConfig struct {
	SiteBase
	// Apps is the catalogue that sites choose from.
	Apps *AppOffer
	// Feed tells of changes; without one, WatchSites is not available.
	Feed SiteFeed
	// Purges bounds how often a site is purged in a minute; without one, it is not bounded.
	Purges EventLimiter
	// Domains are the names that can't be onboarded here.
	Domains domain.Policy
	// NameServers is the pool from which pairs are assigned.
	NameServers []string
	// VerificationSecret makes verification tokens; at least 16 bytes.
	VerificationSecret []byte
	// VerificationZone is the zone of the deployment to which CNAME verifications point.
	VerificationZone string
	// Times are how long sites wait.
	Times sitestate.Times
	// Billing may be nil: then nobody is told of the end of a site.
	Billing BillingEnds
}

// EventLimiter bounds how often something happens. A [ratelimit.Limiter] is one.
type EventLimiter interface {
	// Take counts one event of the key, unless there were limit of them in the last window.
	Take(key string, limit int) ratelimit.Decision
}

// Sites implements SiteService.
type Sites struct {
	breakwaterv1.UnimplementedSiteServiceServer
	cfg SitesConfig
}

// NewSites makes the service of sites.
func NewSites(cfg SitesConfig) *Sites { return &Sites{cfg: cfg} }

var _ breakwaterv1.SiteServiceServer = (*Sites)(nil)

// GetSite implements SiteService. A deleted site is shown until it is purged.
func (s *Sites) GetSite(ctx context.Context, req *breakwaterv1.GetSiteRequest) (*breakwaterv1.Site, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	rec, revision, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.cfg.siteShown(rec, revision), nil
}

// siteListBatch is how many sites are read from a view at a time.
const siteListBatch = 256

// ListSites implements SiteService. Callers who are limited to named sites see only these.
func (s *Sites) ListSites(ctx context.Context, req *breakwaterv1.ListSitesRequest) (*breakwaterv1.ListSitesResponse, error) {
	parent, err := siteParent(req.GetParent())
	if err != nil {
		return nil, err
	}
	principal := call.From(ctx).Principal
	q, err := listing.Parse(req, &breakwaterv1.Site{}, listing.Options{
		OrderBy: []string{"domain", "createTime", "updateTime"}, KeyOrder: "domain",
		Scope: siteScope(principal, parent),
	})
	if err != nil {
		return nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := accountMustExist(view, parent); err != nil {
		return nil, err
	}
	tenant, visible := parent.Tenant(), authz.VisibleSites(principal, parent.Account)
	sites, next, err := listing.PageSorted(q, func(after string, yield func(string, *breakwaterv1.Site) bool) error {
		return siteScan(view, tenant.Sites(), after, func(d string, rec *storev1.SiteRecord, revision int64) bool {
			deleted := rec.GetSite().GetState() == breakwaterv1.Site_DELETED
			if !visible(d) || deleted && !q.ShowDeleted {
				return true
			}
			return yield(d, s.cfg.siteShown(rec, revision))
		})
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListSitesResponse{Sites: sites, NextPageToken: next}, nil
}

// siteScope ties a page token to what the caller may see.
func siteScope(p authn.Principal, parent interface{ String() string }) string {
	if p.Unlimited() {
		return parent.String()
	}
	return parent.String() + "\x00" + p.ID
}

// siteScan visits the sites below a prefix of keys, by domain, strictly after one.
func siteScan(view change.View, prefix, after string, visit func(domain string, rec *storev1.SiteRecord, revision int64) bool) error {
	cursor := ""
	if after != "" {
		cursor = prefix + after
	}
	for {
		kvs, more := view.List(prefix, cursor, siteListBatch)
		for _, kv := range kvs {
			rec := &storev1.SiteRecord{}
			if err := proto.Unmarshal(kv.Value, rec); err != nil {
				return err
			}
			if !visit(kv.Key[len(prefix):], rec, kv.ModRevision) {
				return nil
			}
			cursor = kv.Key
		}
		if !more {
			return nil
		}
	}
}
