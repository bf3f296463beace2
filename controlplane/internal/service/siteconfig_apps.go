package service

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// toggle is the site's switch for an app, to be changed.
func (e *siteEdit) toggle(id string) *breakwaterv1.SiteApp {
	c := e.rec.GetConfig()
	if c.GetApps() == nil {
		c.Apps = map[string]*breakwaterv1.SiteApp{}
	}
	if c.GetApps()[id] == nil {
		c.Apps[id] = &breakwaterv1.SiteApp{}
	}
	return c.GetApps()[id]
}

// decided says that the owner decided about an app's switch: what a fall of the plan switched
// off does not come back by itself then.
func (e *siteEdit) decided(id string) {
	parked := e.rec.GetParked()
	if i := slices.Index(parked.GetApps(), id); i >= 0 {
		parked.Apps = slices.Delete(parked.GetApps(), i, i+1)
		e.unparked = true
	}
}

// tidyApps forgets switches that are as if nobody had touched them, and keeps of the others
// only what is decided. Empty settings are none, so that the two have one etag.
func (e *siteEdit) tidyApps() {
	apps := e.rec.GetConfig().GetApps()
	for id, t := range apps {
		settings := t.GetSettings()
		if len(settings.GetFields()) == 0 {
			settings = nil
		}
		if !t.GetEnabled() && settings == nil {
			delete(apps, id)
			continue
		}
		apps[id] = &breakwaterv1.SiteApp{Enabled: t.GetEnabled(), Settings: settings}
	}
	if len(apps) == 0 {
		e.rec.GetConfig().Apps = nil
	}
}

// siteAppOwned refuses a change of an app that only shows what another resource owns.
func siteAppOwned(app *breakwaterv1.App, e *siteEdit, field string) error {
	owner := app.GetOwner()
	if owner == "" {
		return nil
	}
	name := e.name.SiteName() + "/" + owner
	err := rpcerr.Precondition(rpcerr.ReasonOwnedElsewhere, name,
		"the app %s shows what %s says: change it there", catalog.ID(app), name)
	err.Violations = []rpcerr.Violation{{Field: field, Rule: "owned_elsewhere", Message: "is changed in " + name}}
	return err.WithMetadata("owner", owner).WithMetadata("app", catalog.ID(app))
}

// touchedApps are the IDs of the apps whose switch changed, in order.
func (j siteJudge) touchedApps() []string {
	before, after := j.edit.before.GetApps(), j.edit.rec.GetConfig().GetApps()
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if j.all || !proto.Equal(before[id], after[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// appViolations says what is wrong with the settings of an app that is on, or that gives
// some. An app that is off and gives none may lack what it needs.
func (j siteJudge) appViolations(id string) []rpcerr.Violation {
	t := j.edit.rec.GetConfig().GetApps()[id]
	if !t.GetEnabled() && len(t.GetSettings().GetFields()) == 0 {
		return nil
	}
	found := j.apps.ValidateSettings(id, t.GetSettings())
	for i := range found {
		found[i].Field = j.app(id) + found[i].Field
	}
	return found
}

// appOffered fails with PLAN_REQUIRED when an app is on that the plan does not have at all.
func (j siteJudge) appOffered(id string) error {
	app, ok := j.apps.Get(id)
	if !ok || j.edit.base.Plans.Allows(j.edit.plan(), app.GetMinimumPlan()) {
		return nil
	}
	return j.appAllowed(id)
}

// appAllowed fails with PLAN_REQUIRED when the plan does not allow an app that is on, or a
// setting of it.
func (j siteJudge) appAllowed(id string) error {
	found := j.rules().App(j.edit.plan(), id, j.edit.rec.GetConfig().GetApps()[id])
	if len(found) == 0 {
		return nil
	}
	field := found[0].Field
	if field == "" {
		field = "enabled"
	}
	err := rpcerr.PlanRequired(j.app(id)+field, found[0].RequiredPlan, "%s", found[0].Message).WithMetadata("app", id)
	for _, v := range found[1:] {
		err.Violations = append(err.Violations, rpcerr.Violation{Field: j.app(id) + v.Field, Rule: "plan", Message: v.Message})
	}
	return siteUpgradable(err, j.edit.name)
}

// botsAllowed fails with PLAN_REQUIRED when the plan does not allow what was made of the bot
// control, which is the app that the threat settings own.
func (j siteJudge) botsAllowed() error {
	before, after := j.edit.before.GetThreatSettings(), j.edit.rec.GetConfig().GetThreatSettings()
	if before.GetBotControl() == after.GetBotControl() && !j.all {
		return nil
	}
	found := j.rules().Bots(j.edit.plan(), after)
	if len(found) == 0 {
		return nil
	}
	err := rpcerr.PlanRequired(j.threats+"botControl", found[0].RequiredPlan, "%s", found[0].Message)
	return siteUpgradable(err.WithMetadata("app", "bot-control"), j.edit.name)
}

// rules are what the configuration is held against.
func (j siteJudge) rules() entitle.Rules { return siteRules(j.edit.base.Plans, j.apps) }

func siteRules(plans SitePlans, apps *catalog.Catalog) entitle.Rules {
	return entitle.Rules{Plans: plans, Apps: apps}
}

// siteUpgradable links a refusal that another plan would allow with the preview of that
// plan: what it costs.
func siteUpgradable(err *rpcerr.Error, name resource.Name) *rpcerr.Error {
	return err.WithMetadata("preview", "/v1/"+resource.SubscriptionName(name.Account, name.Site)+":preview")
}

// conflicts fails with APP_CONFLICT when an app that was touched can't be on together with
// another one. Views of settings count as on when what they show is.
func (j siteJudge) conflicts(touched []string) error {
	if len(touched) == 0 {
		return nil
	}
	for _, c := range j.apps.Conflicts(j.rules().On(j.edit.rec.GetConfig())) {
		app, other := c.App, c.With
		if !slices.Contains(touched, app) {
			app, other = other, app
		}
		if !slices.Contains(touched, app) {
			continue
		}
		err := rpcerr.Precondition(rpcerr.ReasonAppConflict, j.edit.name.SiteName()+"/apps/"+app,
			"the apps %s and %s can't be on together: switch %s off first", app, other, other)
		err.Violations = []rpcerr.Violation{{Field: j.app(app) + "enabled", Rule: "conflict", Message: "can't be on together with " + other}}
		return err.WithMetadata("app", app).WithMetadata("conflictsWith", other)
	}
	return nil
}
