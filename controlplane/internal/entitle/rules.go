package entitle

import (
	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
)

// Plans answers what plans allow. Package billing implements it.
type Plans interface {
	// Allows says whether a site on plan id may use what needs at least minimum.
	Allows(id, minimum string) bool
	// Entitlements returns what a plan allows for one site.
	Entitlements(id string) *breakwaterv1.Entitlements
	// LowestWith returns the cheapest plan whose entitlements satisfy enough.
	LowestWith(enough func(*breakwaterv1.Entitlements) bool) (id string, ok bool)
}

// Rules are the plans and the apps that a configuration is held against.
type Rules struct {
	Plans Plans
	Apps  *catalog.Catalog
}

// App says what a plan does not allow of an app that is on; nothing of one that is off.
func (r Rules) App(plan, id string, toggle *breakwaterv1.SiteApp) []catalog.PlanViolation {
	if !toggle.GetEnabled() {
		return nil
	}
	return r.Apps.PlanViolations(r.Plans, plan, id, toggle.GetSettings())
}

// requiredFor is the cheapest plan without any of the violations.
func (r Rules) requiredFor(found []catalog.PlanViolation) string {
	required := found[0].RequiredPlan
	for _, v := range found[1:] {
		if !r.Plans.Allows(required, v.RequiredPlan) {
			required = v.RequiredPlan
		}
	}
	return required
}

// On are the IDs of the apps that are on in a configuration, in no order. Views of settings
// count as on when what they show is.
func (r Rules) On(c *breakwaterv1.SiteConfig) []string {
	var on []string
	for id, toggle := range c.GetApps() {
		if toggle.GetEnabled() {
			on = append(on, id)
		}
	}
	for _, app := range r.Apps.All() {
		if shown, _, ok := View(app, c); ok && shown {
			on = append(on, catalog.ID(app))
		}
	}
	return on
}

// View is what an app shows that is owned elsewhere; ok is false for all others.
func View(app *breakwaterv1.App, c *breakwaterv1.SiteConfig) (on bool, settings *structpb.Struct, ok bool) {
	if app.GetOwner() == "" {
		return false, nil, false
	}
	return catalog.View(catalog.ID(app), c.GetSettings(), c.GetThreatSettings())
}
