package service

import (
	"context"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// ThreatsConfig is what the service of threat settings needs.
type ThreatsConfig struct {
	SiteBase
	Apps *AppOffer
}

// Threats implements ThreatService.
type Threats struct {
	breakwaterv1.UnimplementedThreatServiceServer
	cfg ThreatsConfig
}

// NewThreats makes the service of threat settings.
func NewThreats(cfg ThreatsConfig) *Threats { return &Threats{cfg: cfg} }

var _ breakwaterv1.ThreatServiceServer = (*Threats)(nil)

// GetThreatSettings implements ThreatService.
func (s *Threats) GetThreatSettings(ctx context.Context, req *breakwaterv1.GetThreatSettingsRequest) (*breakwaterv1.ThreatSettings, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	rec, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	return sitestate.ThreatSettings(rec), nil
}

// UpdateThreatSettings implements ThreatService.
func (s *Threats) UpdateThreatSettings(
	ctx context.Context, req *breakwaterv1.UpdateThreatSettingsRequest,
) (*breakwaterv1.ThreatSettings, error) {
	in := req.GetThreatSettings()
	name, err := siteName(in.GetName())
	if err != nil {
		return nil, err
	}
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	full := resource.ThreatSettingsName(name.Account, name.Site)
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.ThreatSettings, error) {
		e, err := s.cfg.siteOpenWritable(tx, name)
		if err != nil {
			return nil, err
		}
		if err := siteMeets(tx, in.GetEtag(), sitestate.ThreatSettingsEtag(e.rec), full); err != nil {
			return nil, err
		}
		if err := e.applyThreats(in, req.GetUpdateMask()); err != nil {
			return nil, err
		}
		judge := siteJudge{edit: e, apps: apps, app: siteAppField}
		if err := judge.judge(); err != nil {
			return nil, err
		}
		if err := e.commitConfig(full, "threat settings changed"); err != nil {
			return nil, err
		}
		return sitestate.ThreatSettings(e.rec), nil
	})
}
