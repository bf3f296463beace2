package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Plans answers which plans are enough. Package billing implements it.
type Plans interface {
	// Allows says whether a site on plan id may use what needs at least minimum.
	Allows(id, minimum string) bool
}

// Catalog is a set of entries with their compiled schemas.
type Catalog struct {
	entries map[string]*entry
	ids     []string
}

type entry struct {
	app       *breakwaterv1.App
	schema    *jsonschema.Schema
	conflicts []string // Both directions.
}

// New builds a catalogue. It fails where a schema does not compile, an entry has no ID, or
// one is given twice; [Check] says in advance, and in more detail, what is wrong with an
// entry. The messages belong to the catalogue from now on.
func New(apps []*breakwaterv1.App) (*Catalog, error) { return build(apps, nil) }

// Update builds the catalogue of other entries, with the compiled schemas of those that
// did not change.
func (c *Catalog) Update(apps []*breakwaterv1.App) (*Catalog, error) { return build(apps, c) }

func build(apps []*breakwaterv1.App, old *Catalog) (*Catalog, error) {
	c := &Catalog{entries: make(map[string]*entry, len(apps))}
	for _, app := range apps {
		id := ID(app)
		if id == "" || strings.Contains(id, "/") {
			return nil, fmt.Errorf("catalog: %q is no app's name", app.GetName())
		}
		if _, ok := c.entries[id]; ok {
			return nil, fmt.Errorf("catalog: %s is given twice", app.GetName())
		}
		e := &entry{app: app}
		if old != nil && old.entries[id] != nil && proto.Equal(old.entries[id].app.GetSettingsSchema(), app.GetSettingsSchema()) {
			e.schema = old.entries[id].schema
		} else {
			var err error
			if e.schema, err = compileSchema(id, app.GetSettingsSchema()); err != nil {
				return nil, fmt.Errorf("catalog: %s: %w", app.GetName(), err)
			}
		}
		c.entries[id] = e
		c.ids = append(c.ids, id)
	}
	slices.Sort(c.ids)
	for _, id := range c.ids {
		for _, other := range c.entries[id].app.GetConflicts() {
			c.conflict(id, other)
			c.conflict(other, id)
		}
	}
	return c, nil
}

// conflict notes that one entry conflicts with another; it holds in both directions, also
// where only one of them says so.
func (c *Catalog) conflict(id, other string) {
	e := c.entries[id]
	if e == nil || id == other || slices.Contains(e.conflicts, other) {
		return
	}
	e.conflicts = append(e.conflicts, other)
	slices.Sort(e.conflicts)
}

// Get returns an entry by its ID.
func (c *Catalog) Get(id string) (*breakwaterv1.App, bool) {
	e, ok := c.entries[id]
	if !ok {
		return nil, false
	}
	return e.app, true
}

// IDs returns the IDs of all entries, in order.
func (c *Catalog) IDs() []string { return slices.Clone(c.ids) }

// All returns all entries, in order of their IDs.
func (c *Catalog) All() []*breakwaterv1.App {
	apps := make([]*breakwaterv1.App, len(c.ids))
	for i, id := range c.ids {
		apps[i] = c.entries[id].app
	}
	return apps
}

// AllowedBy returns the IDs of the apps that a plan may switch on, in order.
func (c *Catalog) AllowedBy(plans Plans, plan string) []string {
	var ids []string
	for _, id := range c.ids {
		if plans.Allows(plan, c.entries[id].app.GetMinimumPlan()) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Effective returns the settings that hold for a site: its own and, for what they leave
// out at the top level, the entry's defaults. The edge does the same.
func (c *Catalog) Effective(id string, settings *structpb.Struct) *structpb.Struct {
	fields := map[string]*structpb.Value{}
	maps.Copy(fields, c.entries[id].defaults().GetFields())
	maps.Copy(fields, settings.GetFields())
	return &structpb.Struct{Fields: fields}
}

func (e *entry) defaults() *structpb.Struct {
	if e == nil {
		return nil
	}
	return e.app.GetDefaultSettings()
}

// Conflict is a pair of apps that can't be on together.
type Conflict struct {
	// App and With are the two IDs, App before With.
	App, With string
}

func (c Conflict) Error() string {
	return fmt.Sprintf("catalog: apps %s and %s can't be on together", c.App, c.With)
}

// Conflicts returns every pair among the enabled apps that can't be on together, in order.
func (c *Catalog) Conflicts(enabled []string) []Conflict {
	sorted := slices.Compact(slices.Sorted(slices.Values(enabled)))
	var found []Conflict
	for i, id := range sorted {
		e := c.entries[id]
		if e == nil {
			continue
		}
		for _, other := range sorted[i+1:] {
			if slices.Contains(e.conflicts, other) {
				found = append(found, Conflict{App: id, With: other})
			}
		}
	}
	return found
}
