package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// History reads older versions of entries. A [registry.Store] is one.
type History interface {
	List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error)
}

// Offered returns what the API may offer: for every entry, its newest version that every
// data center is known to hold, which is the newest one that the registry stored at or
// before covered, the revision that the platform channel's last known good release covers.
// Entries that are newer altogether are left out. A kill is no offer: it shows as soon as it is
// stored, so that nobody relies on an app that is on its way out.
//
// current holds what is stored below [resource.AppsPrefix]. An entry whose current version
// is offered costs nothing; for the others one short page of history is read. For that,
// every change of an entry must also put the new record under [resource.AppVersion], in
// the same transaction; the first version too. Entries are in order of their IDs and
// belong to the caller.
func Offered(ctx context.Context, current []registry.KV, history History, covered int64) ([]*breakwaterv1.App, error) {
	apps := make([]*breakwaterv1.App, 0, len(current))
	for _, kv := range current {
		app, err := appOf(kv)
		if err != nil {
			return nil, err
		}
		if kv.ModRevision > covered {
			older, err := versionAt(ctx, strings.TrimPrefix(kv.Key, resource.AppsPrefix), history, covered)
			if err != nil {
				return nil, err
			}
			if older == nil {
				continue
			}
			killed := app.GetKilled()
			if app, err = appOf(*older); err != nil {
				return nil, err
			}
			app.Killed = app.GetKilled() || killed
		}
		apps = append(apps, app)
	}
	slices.SortFunc(apps, func(a, b *breakwaterv1.App) int { return strings.Compare(a.GetName(), b.GetName()) })
	return apps, nil
}

// appOf decodes an entry.
func appOf(kv registry.KV) (*breakwaterv1.App, error) {
	rec := &storev1.AppRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		return nil, fmt.Errorf("catalog: record %s: %w", kv.Key, err)
	}
	if rec.GetApp() == nil {
		return nil, fmt.Errorf("catalog: record %s is empty", kv.Key)
	}
	return rec.GetApp(), nil
}

// versionAt finds an entry's newest version that was stored at or before covered, or nil.
func versionAt(ctx context.Context, id string, history History, covered int64) (*registry.KV, error) {
	// The prefix of the versions is that of any version without its number.
	prefix := strings.TrimSuffix(resource.AppVersion(id, 0), fmt.Sprintf("%016x", 0))
	req := registry.ListRequest{Prefix: prefix, Limit: 16, Descending: true}
	for {
		page, err := history.List(ctx, req)
		if err != nil {
			return nil, err
		}
		for _, kv := range page.KVs {
			if kv.ModRevision <= covered {
				return &kv, nil
			}
		}
		if !page.More || len(page.KVs) == 0 {
			return nil, nil
		}
		req.After = page.KVs[len(page.KVs)-1].Key
	}
}

// Put returns the writes that store an entry as its newest version: under its own key and
// in the history that [Offered] reads.
func Put(app *breakwaterv1.App) ([]registry.Op, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(&storev1.AppRecord{App: app})
	if err != nil {
		return nil, fmt.Errorf("catalog: %s: %w", app.GetName(), err)
	}
	id := ID(app)
	return []registry.Op{
		registry.Put(resource.App(id), value),
		registry.Put(resource.AppVersion(id, app.GetVersion()), value),
	}, nil
}
