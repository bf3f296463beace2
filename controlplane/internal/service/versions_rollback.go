package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// RollbackSite implements VersionService. What has ended since stays ended, and everything is
// judged as if it were given now, but for rules that do nothing and no harm.
func (s *Versions) RollbackSite(ctx context.Context, req *breakwaterv1.RollbackSiteRequest) (*breakwaterv1.SiteConfig, error) {
	name, err := siteName(req.GetName())
	if err != nil {
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
		if err := siteMeets(tx, req.GetEtag(), sitestate.SiteEtag(e.rec), name.SiteName()); err != nil {
			return nil, err
		}
		if err := e.restore(req.GetVersion()); err != nil {
			return nil, err
		}
		for _, id := range slices.Sorted(maps.Keys(e.rec.GetConfig().GetApps())) {
			if _, ok := apps.Get(id); !ok {
				delete(e.rec.GetConfig().GetApps(), id) // The catalogue lost it: it could only be off.
			}
		}
		e.tidyApps()
		judge := siteJudge{
			edit: e, apps: apps, settings: "settings.", threats: "threatSettings.", app: siteAppField, all: true,
		}
		if err := judge.judge(); err != nil {
			return nil, err
		}
		if err := e.commitConfig("", fmt.Sprintf("rolled back to version %d", req.GetVersion())); err != nil {
			return nil, err
		}
		return s.cfg.shownConfig(e.rec, apps), nil
	})
}

// restore takes the configuration of an older version.
func (e *siteEdit) restore(number int64) error {
	v := &breakwaterv1.Version{}
	err := e.tx.Get(e.name.Tenant().Version(e.name.Site, number), v)
	if errors.Is(err, registry.ErrNotFound) || err == nil && v.GetNumber() < e.rec.GetOldestVersion() {
		return rpcerr.NotFound(resource.VersionName(e.name.Account, e.name.Site, number))
	}
	if err != nil {
		return err
	}
	config, _ := proto.Clone(v.GetConfig()).(*breakwaterv1.SiteConfig)
	sitestate.CompleteConfig(config)
	sitestate.Expire(config, e.tx.Now())
	config.Name, config.Version = e.before.GetName(), e.before.GetVersion()
	e.rec.Config = config
	// The configuration as a whole is decided: nothing comes back to it by itself.
	e.unparked, e.rec.Parked = e.rec.GetParked() != nil, nil
	if config.GetOrigin() == nil {
		return nil
	}
	if v := siteOriginViolations(config.GetOrigin(), e.name.Site); len(v) > 0 {
		return rpcerr.Invalid(v...)
	}
	return nil
}
