package service

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
)

// maxApps bounds the catalogue where all of it is read.
const maxApps = 1000

// entries is the catalogue as the caller sees it: operators see what is stored, so that they
// see what they did; everybody else what is offered.
func (s *Apps) entries(ctx context.Context) ([]*breakwaterv1.App, error) {
	if !call.From(ctx).Principal.Unlimited() {
		offered, err := s.cfg.Apps.Catalog(ctx)
		if err != nil {
			return nil, err
		}
		return offered.All(), nil
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	kvs, _ := view.List(resource.AppsPrefix, "", maxApps)
	return appsOf(kvs)
}

func appsOf(kvs []registry.KV) ([]*breakwaterv1.App, error) {
	apps := make([]*breakwaterv1.App, 0, len(kvs))
	for _, kv := range kvs {
		rec := &storev1.AppRecord{}
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			return nil, err
		}
		apps = append(apps, rec.GetApp())
	}
	return apps, nil
}

// shownEntry is an entry as the API shows it.
func shownEntry(app *breakwaterv1.App) *breakwaterv1.App {
	out, _ := proto.Clone(app).(*breakwaterv1.App)
	out.Etag = appEtag(app)
	return out
}

// appEtag covers an entry; its version changes with anything in it.
func appEtag(app *breakwaterv1.App) string {
	covered, _ := proto.Clone(app).(*breakwaterv1.App)
	covered.Etag = ""
	return resource.Etag(covered)
}

// ListApps implements AppService.
func (s *Apps) ListApps(ctx context.Context, req *breakwaterv1.ListAppsRequest) (*breakwaterv1.ListAppsResponse, error) {
	q, err := listing.Parse(req, &breakwaterv1.App{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	entries, err := s.entries(ctx)
	if err != nil {
		return nil, err
	}
	apps, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.App) bool) error {
		for _, app := range entries {
			if id := catalog.ID(app); id > after && !yield(id, shownEntry(app)) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListAppsResponse{Apps: apps, NextPageToken: next}, nil
}

// appID takes the ID out of the name of a catalogue entry.
func appID(name string) (string, error) {
	id, ok := strings.CutPrefix(name, "apps/")
	if !ok || id == "" || strings.Contains(id, "/") {
		return "", rpcerr.InvalidField("name", "resource_name", "%q is not a name of the form apps/{app}", name)
	}
	return id, nil
}

// GetApp implements AppService.
func (s *Apps) GetApp(ctx context.Context, req *breakwaterv1.GetAppRequest) (*breakwaterv1.App, error) {
	id, err := appID(req.GetName())
	if err != nil {
		return nil, err
	}
	entries, err := s.entries(ctx)
	if err != nil {
		return nil, err
	}
	for _, app := range entries {
		if catalog.ID(app) == id {
			return shownEntry(app), nil
		}
	}
	return nil, rpcerr.NotFound(req.GetName())
}

// UpdateApp implements AppService.
func (s *Apps) UpdateApp(ctx context.Context, req *breakwaterv1.UpdateAppRequest) (*breakwaterv1.App, error) {
	id, err := appID(req.GetApp().GetName())
	if err != nil {
		return nil, err
	}
	wrote := false
	out, repeated, err := ops.Changed(ctx, s.cfg.Writer, func(tx *change.Tx) (*breakwaterv1.App, error) {
		wrote = false
		rec := &storev1.AppRecord{}
		if err := tx.Get(resource.App(id), rec); err != nil {
			if errors.Is(err, registry.ErrNotFound) {
				return nil, rpcerr.NotFound(req.GetApp().GetName())
			}
			return nil, err
		}
		app := rec.GetApp()
		if err := siteMeets(tx, req.GetApp().GetEtag(), appEtag(app), app.GetName()); err != nil {
			return nil, err
		}
		before, _ := proto.Clone(app).(*breakwaterv1.App)
		changed, err := masks.Apply(app, req.GetApp(), req.GetUpdateMask(), masks.Options{})
		if err != nil || len(changed) == 0 {
			return shownEntry(app), err
		}
		if err := s.checkApp(tx, app); err != nil {
			return nil, err
		}
		app.Version++
		if !proto.Equal(before.GetSettingsSchema(), app.GetSettingsSchema()) {
			app.SchemaVersion++
		}
		wrote = true
		return shownEntry(app), putApp(tx, app)
	})
	if wrote && !repeated {
		ops.Audit(ctx, s.cfg.Logger, req.GetApp().GetName(), err)
	}
	return out, err
}

// checkApp refuses an entry that could not be used, judged beside all others.
func (s *Apps) checkApp(tx *change.Tx, app *breakwaterv1.App) error {
	kvs, _ := tx.Peek(resource.AppsPrefix, maxApps)
	others, err := appsOf(kvs)
	if err != nil {
		return err
	}
	if v := catalog.Check(app, others, s.cfg.Plans); len(v) > 0 {
		return rpcerr.Invalid(v...)
	}
	return nil
}

// putApp stores an entry as its newest version, and in the history from which the offered
// version is found.
func putApp(tx *change.Tx, app *breakwaterv1.App) error {
	rec := &storev1.AppRecord{App: app}
	if err := tx.Put(resource.App(catalog.ID(app)), rec); err != nil {
		return err
	}
	return tx.Put(resource.AppVersion(catalog.ID(app), app.GetVersion()), rec)
}

// SeedApps stores those of the entries that the registry has never had, as when a server
// starts for the first time or brings new apps with it. What operators changed stays.
func SeedApps(ctx context.Context, w *change.Writer, apps []*breakwaterv1.App) error {
	_, err := change.Do(ctx, w, resource.Tenant{}, func(tx *change.Tx) (*breakwaterv1.App, error) {
		for _, app := range apps {
			exists, err := tx.Exists(resource.App(catalog.ID(app)))
			if err != nil {
				return nil, err
			}
			if exists {
				continue
			}
			if err := putApp(tx, app); err != nil {
				return nil, err
			}
		}
		return &breakwaterv1.App{}, nil
	})
	return err
}
