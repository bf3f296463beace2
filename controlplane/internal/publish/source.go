package publish

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// A source knows the units of a channel: what is compiled together and published together.
// A unit is a domain in the channels of sites, and a document's name in the platform one.
type source interface {
	// prefix is where the units are stored.
	prefix() string
	// dirtied calls visit for every unit that an event may change.
	dirtied(view watchcache.View, ev registry.Event, visit func(unit string))
	// changed calls visit for every unit that was stored after a revision, with the
	// revision. Units that are gone from the registry are not visited.
	changed(view watchcache.View, after int64, visit func(unit string, revision int64))
	// unit is the unit that a document belongs to.
	unit(id wire.DocumentID) string
	// gone says whether the unit of a document that is published may be gone since a
	// revision.
	gone(view watchcache.View, unit string, after int64) bool
	// documents names all documents that a unit can have in the channel.
	documents(unit string) []wire.DocumentID
	// compile makes the documents that the registry wants of a unit.
	compile(view watchcache.View, unit string) ([]compile.Document, error)
	// complete says whether the registry is ready for the first release.
	complete(view watchcache.View) bool
}

func sourceOf(c wire.Channel) source {
	if c == wire.Platform {
		return platformSource{}
	}
	return siteSource{channel: c}
}

func limitsOf(view watchcache.View) (*opsv1.Limits, error) {
	var rec storev1.LimitsRecord
	if _, err := load(view, resource.LimitsKey, &rec); err != nil {
		return nil, err
	}
	return rec.GetLimits(), nil
}

// load reads a record from a view; a missing one leaves m alone.
func load(view watchcache.View, key string, m proto.Message) (bool, error) {
	kv, ok := view.Get(key)
	if !ok {
		return false, nil
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return false, fmt.Errorf("publish: record %s: %w", key, err)
	}
	return true, nil
}

// platformSource is the app catalogue and the limits.
type platformSource struct{}

// platformPrefix is what the keys of the catalogue and of the limits have in common.
const platformPrefix = resource.StatePrefix + "platform/"

func (platformSource) prefix() string { return platformPrefix }

func (platformSource) dirtied(_ watchcache.View, ev registry.Event, visit func(string)) {
	if unit, ok := platformUnit(ev.Key); ok {
		visit(unit)
	}
}

func platformUnit(key string) (string, bool) {
	if key == resource.LimitsKey {
		return compile.LimitsID().String(), true
	}
	if app, ok := strings.CutPrefix(key, resource.AppsPrefix); ok && app != "" {
		return compile.AppID(app).String(), true
	}
	return "", false
}

func (platformSource) changed(view watchcache.View, after int64, visit func(string, int64)) {
	view.Ascend(platformPrefix, func(kv registry.KV) bool {
		if unit, ok := platformUnit(kv.Key); ok && kv.ModRevision > after {
			visit(unit, kv.ModRevision)
		}
		return true
	})
}

func (platformSource) unit(id wire.DocumentID) string { return id.String() }

func (platformSource) gone(view watchcache.View, unit string, _ int64) bool {
	id, err := wire.ParseDocumentID(unit)
	if err != nil {
		return false
	}
	key := resource.LimitsKey
	if id.Kind == wire.KindApp {
		key = resource.App(id.ID)
	}
	_, ok := view.Get(key)
	return !ok
}

func (platformSource) documents(unit string) []wire.DocumentID {
	id, err := wire.ParseDocumentID(unit)
	if err != nil {
		return nil
	}
	return []wire.DocumentID{id}
}

func (platformSource) compile(view watchcache.View, unit string) ([]compile.Document, error) {
	if unit == compile.LimitsID().String() {
		var rec storev1.LimitsRecord
		ok, err := load(view, resource.LimitsKey, &rec)
		if !ok || err != nil {
			return nil, err
		}
		return one(compile.Limits(&rec))
	}
	id, err := wire.ParseDocumentID(unit)
	if err != nil {
		return nil, err
	}
	var rec storev1.AppRecord
	ok, err := load(view, resource.App(id.ID), &rec)
	if !ok || err != nil {
		return nil, err
	}
	limits, err := limitsOf(view)
	if err != nil {
		return nil, err
	}
	return one(compile.App(&rec, limits))
}

func one(doc compile.Document, err error) ([]compile.Document, error) {
	if err != nil {
		return nil, err
	}
	return []compile.Document{doc}, nil
}

// complete waits for the limits. The server stores them and the catalogue before it
// publishes; a genesis release without them would be last known good.
func (platformSource) complete(view watchcache.View) bool {
	_, ok := view.Get(resource.LimitsKey)
	return ok
}
