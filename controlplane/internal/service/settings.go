package service

import (
	"context"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// SettingsConfig is what the service of settings needs.
type SettingsConfig struct {
	SiteBase
	Apps  *AppOffer
	Times sitestate.Times
}

// Settings implements SettingsService.
type Settings struct {
	breakwaterv1.UnimplementedSettingsServiceServer
	cfg SettingsConfig
}

// NewSettings makes the service of settings.
func NewSettings(cfg SettingsConfig) *Settings { return &Settings{cfg: cfg} }

var _ breakwaterv1.SettingsServiceServer = (*Settings)(nil)

// GetSettings implements SettingsService.
func (s *Settings) GetSettings(ctx context.Context, req *breakwaterv1.GetSettingsRequest) (*breakwaterv1.Settings, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	rec, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	return sitestate.Settings(rec), nil
}

// UpdateSettings implements SettingsService.
func (s *Settings) UpdateSettings(ctx context.Context, req *breakwaterv1.UpdateSettingsRequest) (*breakwaterv1.Settings, error) {
	name, err := siteName(req.GetSettings().GetName())
	if err != nil {
		return nil, err
	}
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	full := resource.SettingsName(name.Account, name.Site)
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Settings, error) {
		e, err := s.cfg.siteOpenWritable(tx, name)
		if err != nil {
			return nil, err
		}
		if err := siteMeets(tx, req.GetSettings().GetEtag(), sitestate.SettingsEtag(e.rec), full); err != nil {
			return nil, err
		}
		if err := e.applySettings(req.GetSettings(), req.GetUpdateMask(), s.cfg.Times); err != nil {
			return nil, err
		}
		judge := siteJudge{edit: e, apps: apps, app: siteAppField}
		if err := judge.judge(); err != nil {
			return nil, err
		}
		if err := e.commitConfig(full, "settings changed"); err != nil {
			return nil, err
		}
		return sitestate.Settings(e.rec), nil
	})
}

// siteAppField is the prefix of an app's fields where several apps may be meant.
func siteAppField(id string) string { return "apps." + id + "." }
