package service

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// ConfigureSite implements SiteService. An app's switch and its settings stay where its entry
// does not say them.
func (s *Sites) ConfigureSite(ctx context.Context, req *breakwaterv1.ConfigureSiteRequest) (*breakwaterv1.SiteConfig, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	if err := siteConfigureMask(req); err != nil {
		return nil, err
	}
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.SiteConfig, error) {
		e, err := s.cfg.siteOpenWritable(tx, name)
		if err != nil {
			return nil, err
		}
		if err := siteMeets(tx, "", sitestate.SiteEtag(e.rec), name.SiteName()); err != nil {
			return nil, err
		}
		if err := siteConfigureMeets(e, req); err != nil {
			return nil, err
		}
		if err := s.configure(e, req, apps); err != nil {
			return nil, err
		}
		judge := siteJudge{edit: e, apps: apps, settings: "settings.", threats: "threatSettings.", app: siteAppField}
		if err := judge.judge(); err != nil {
			return nil, err
		}
		if err := e.commitConfig("", "site configured"); err != nil {
			return nil, err
		}
		return s.cfg.shownConfig(e.rec, apps), nil
	})
}

// siteConfigureMask refuses a mask that names what is no part of a configuration.
func siteConfigureMask(req *breakwaterv1.ConfigureSiteRequest) error {
	mask := req.GetUpdateMask()
	if mask == nil {
		return nil
	}
	return masks.Check((&breakwaterv1.SiteConfig{}).ProtoReflect().Descriptor(), mask, masks.Options{})
}

// siteConfigureMeets holds the etags within the request against what is stored. If-Match is
// the site's, so it is no word on the parts.
func siteConfigureMeets(e *siteEdit, req *breakwaterv1.ConfigureSiteRequest) error {
	site := e.name.SiteName()
	if !siteTagMeets(req.GetSettings().GetEtag(), sitestate.SettingsEtag(e.rec)) {
		return rpcerr.EtagMismatch(site + "/settings")
	}
	if !siteTagMeets(req.GetThreatSettings().GetEtag(), sitestate.ThreatSettingsEtag(e.rec)) {
		return rpcerr.EtagMismatch(site + "/threatSettings")
	}
	for _, id := range slices.Sorted(maps.Keys(req.GetApps())) {
		stored := e.rec.GetConfig().GetApps()[id]
		if !siteTagMeets(req.GetApps()[id].GetEtag(), sitestate.AppEtag(stored)) {
			return rpcerr.EtagMismatch(site + "/apps/" + id)
		}
	}
	return nil
}

func (s *Sites) configure(e *siteEdit, req *breakwaterv1.ConfigureSiteRequest, apps *catalog.Catalog) error {
	mask := req.GetUpdateMask()
	if req.GetSettings() != nil || mask != nil {
		if err := e.applySettings(req.GetSettings(), siteSubMask(mask, "settings", req.GetSettings() != nil), s.cfg.Times); err != nil {
			return err
		}
	}
	if req.GetThreatSettings() != nil || mask != nil {
		if err := e.applyThreats(req.GetThreatSettings(), siteSubMask(mask, "threatSettings", req.GetThreatSettings() != nil)); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(req.GetApps())) {
		app, ok := apps.Get(id)
		if !ok {
			return rpcerr.InvalidField("apps."+id, "unknown", "there is no app %q", id)
		}
		if err := siteAppOwned(app, e, "apps."+id); err != nil {
			return err
		}
		given, t := req.GetApps()[id], e.toggle(id)
		if given.Enabled != nil {
			t.Enabled = given.GetEnabled()
			e.decided(id)
		}
		if given.GetSettings() != nil {
			t.Settings, _ = proto.Clone(given.GetSettings()).(*structpb.Struct)
		}
	}
	e.tidyApps()
	return nil
}

// siteSubMask is the part of a mask for one message of the request. What `*` means for a
// message that is not there is nothing.
func siteSubMask(mask *fieldmaskpb.FieldMask, field string, given bool) *fieldmaskpb.FieldMask {
	if !given && slices.Contains(mask.GetPaths(), "*") {
		return &fieldmaskpb.FieldMask{}
	}
	return masks.Sub(mask, field)
}
