package service

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// AppsConfig is what the service of apps needs.
type AppsConfig struct {
	SiteBase
	Apps *AppOffer
	// Logger takes the operators' log; by default it is discarded.
	Logger *slog.Logger
}

// Apps implements AppService.
type Apps struct {
	breakwaterv1.UnimplementedAppServiceServer
	cfg AppsConfig
}

// NewApps makes the service of apps.
func NewApps(cfg AppsConfig) *Apps {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Apps{cfg: cfg}
}

var _ breakwaterv1.AppServiceServer = (*Apps)(nil)

// ListSiteApps implements AppService.
func (s *Apps) ListSiteApps(ctx context.Context, req *breakwaterv1.ListSiteAppsRequest) (*breakwaterv1.ListSiteAppsResponse, error) {
	name, err := siteName(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &breakwaterv1.SiteApp{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	rec, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	list, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.SiteApp) bool) error {
		for _, app := range apps.All() {
			id := catalog.ID(app)
			if id > after && !yield(id, s.cfg.shownApp(rec, app)) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListSiteAppsResponse{Apps: list, NextPageToken: next}, nil
}

// GetSiteApp implements AppService.
func (s *Apps) GetSiteApp(ctx context.Context, req *breakwaterv1.GetSiteAppRequest) (*breakwaterv1.SiteApp, error) {
	name, app, err := s.siteApp(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	rec, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.cfg.shownApp(rec, app), nil
}

// siteApp finds the entry of the catalogue that a switch is for.
func (s *Apps) siteApp(ctx context.Context, full string) (resource.Name, *breakwaterv1.App, error) {
	name, err := siteName(full)
	if err != nil {
		return name, nil, err
	}
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return name, nil, err
	}
	app, ok := apps.Get(name.ID)
	if !ok || name.Collection != "apps" {
		return name, nil, rpcerr.NotFound(full)
	}
	return name, app, nil
}

// appKilled is why an app is not available that the operator switched off for everybody.
const appKilled = "KILLED"

// shownApp is a site's switch as the API shows it.
func (b *SiteBase) shownApp(rec *storev1.SiteRecord, app *breakwaterv1.App) *breakwaterv1.SiteApp {
	id := catalog.ID(app)
	out := &breakwaterv1.SiteApp{}
	if on, settings, ok := entitle.View(app, rec.GetConfig()); ok {
		out.Enabled, out.Settings = on, settings
	} else if t := rec.GetConfig().GetApps()[id]; t != nil {
		out.Enabled = t.GetEnabled()
		out.Settings, _ = proto.Clone(t.GetSettings()).(*structpb.Struct)
	}
	out.Etag = sitestate.AppEtag(out)
	if out.GetSettings() == nil {
		out.Settings = &structpb.Struct{}
	}
	out.Name = resource.SiteAppName(sitestate.Account(rec), rec.GetSite().GetDomain(), id)
	out.Category, out.MinimumPlan, out.Owner = app.GetCategory(), app.GetMinimumPlan(), app.GetOwner()
	switch {
	case app.GetKilled():
		out.UnavailableReason = appKilled
	case !b.Plans.Allows(rec.GetSite().GetPlan(), app.GetMinimumPlan()):
		out.UnavailableReason = string(rpcerr.ReasonPlanRequired)
	default:
		out.Available = true
	}
	out.Version = rec.GetSite().GetVersion()
	return out
}

// shownConfig is a site's whole configuration as the API shows it, with its apps' switches as
// they show alone.
func (b *SiteBase) shownConfig(rec *storev1.SiteRecord, apps *catalog.Catalog) *breakwaterv1.SiteConfig {
	c := sitestate.Config(rec)
	for id := range c.GetApps() {
		if app, ok := apps.Get(id); ok {
			c.Apps[id] = b.shownApp(rec, app)
		}
	}
	return c
}

// UpdateSiteApp implements AppService.
func (s *Apps) UpdateSiteApp(ctx context.Context, req *breakwaterv1.UpdateSiteAppRequest) (*breakwaterv1.SiteApp, error) {
	in := req.GetSiteApp()
	name, app, err := s.siteApp(ctx, in.GetName())
	if err != nil {
		return nil, err
	}
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.SiteApp, error) {
		e, err := s.cfg.siteOpenWritable(tx, name)
		if err != nil {
			return nil, err
		}
		if err := siteAppOwned(app, e, "enabled"); err != nil {
			return nil, err
		}
		toggle := e.toggle(name.ID)
		if err := siteMeets(tx, in.GetEtag(), sitestate.AppEtag(toggle), name.String()); err != nil {
			return nil, err
		}
		if _, err := masks.Apply(toggle, in, req.GetUpdateMask(), masks.Options{}); err != nil {
			return nil, err
		}
		if mask := req.GetUpdateMask().GetPaths(); in.GetEnabled() || slices.Contains(mask, "enabled") || slices.Contains(mask, "*") {
			e.decided(name.ID)
		}
		e.tidyApps()
		judge := siteJudge{edit: e, apps: apps, app: func(id string) string {
			return strings.TrimPrefix(siteAppField(id), siteAppField(name.ID))
		}}
		if err := judge.judge(); err != nil {
			return nil, err
		}
		if err := e.commitConfig(name.String(), "app "+name.ID+" changed"); err != nil {
			return nil, err
		}
		return s.cfg.shownApp(e.rec, app), nil
	})
}
