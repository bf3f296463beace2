package service

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func (w *siteWorld) toggle(site, app string, in *breakwaterv1.SiteApp, paths ...string) (*breakwaterv1.SiteApp, error) {
	in.Name = site + "/apps/" + app
	req := &breakwaterv1.UpdateSiteAppRequest{SiteApp: in}
	if paths != nil {
		req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	return w.apps.UpdateSiteApp(w.as("UpdateSiteApp"), req)
}

func TestSiteApps(t *testing.T) {
	w := newSiteWorld(t)
	site := w.create("acme", "shop.example").GetName()
	got, err := w.toggle(site, "always-online", &breakwaterv1.SiteApp{
		Enabled: true, Settings: structOf(t, map[string]any{"maxStaleSeconds": 3600}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !got.GetEnabled() || got.GetVersion() != 2 || !got.GetAvailable() || got.GetCategory() != "availability" {
		t.Errorf("switched on: %v", got)
	}
	// Settings are replaced whole, and only when named.
	got, err = w.toggle(site, "always-online", &breakwaterv1.SiteApp{Settings: structOf(t, map[string]any{"paths": []any{"/a"}})}, "settings")
	if err != nil || !got.GetEnabled() || got.GetSettings().GetFields()["maxStaleSeconds"] != nil {
		t.Errorf("other settings: %v, %v", got, err)
	}
	_, err = w.toggle(site, "always-online", &breakwaterv1.SiteApp{Enabled: true, Settings: structOf(t, map[string]any{"maxStaleSeconds": 1, "x": true})})
	e := wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "settings.maxStaleSeconds")
	if len(e.Violations) != 2 {
		t.Errorf("not both at once: %v", e.Violations)
	}
	_, err = w.toggle(site, "always-online", &breakwaterv1.SiteApp{Enabled: true, Settings: structOf(t, map[string]any{"maxStaleSeconds": 100000})})
	if e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonPlanRequired, "settings.maxStaleSeconds"); e.Metadata["requiredPlan"] != "pro" {
		t.Errorf("the refusal says %v", e.Metadata)
	}
	_, err = w.toggle(site, "maintenance-page", &breakwaterv1.SiteApp{Enabled: true})
	if s := rpcerr.Status(err); s.Code() == codes.FailedPrecondition {
		if e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonAppConflict, ""); e.Metadata["conflictsWith"] != "always-online" {
			t.Errorf("the refusal says %v", e.Metadata)
		}
	} else {
		t.Errorf("no conflict: %v", err)
	}
	for app, owner := range map[string]string{"tls-policy": "settings", "ip-firewall": "threatSettings"} {
		_, err = w.toggle(site, app, &breakwaterv1.SiteApp{Enabled: true})
		if e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonOwnedElsewhere, ""); e.Metadata["owner"] != owner {
			t.Errorf("%s: the refusal says %v", app, e.Metadata)
		}
	}
	_, err = w.toggle(site, "no-such-app", &breakwaterv1.SiteApp{Enabled: true})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
	_, err = w.toggle(site, "always-online", &breakwaterv1.SiteApp{Enabled: false, Etag: "stale"}, "enabled")
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")

	list, err := w.apps.ListSiteApps(w.as("ListSiteApps"), &breakwaterv1.ListSiteAppsRequest{Parent: site, PageSize: 100})
	if err != nil {
		t.Fatal(err)
	}
	on := map[string]bool{}
	for _, a := range list.GetApps() {
		on[a.GetName()] = a.GetEnabled()
	}
	if !on[site+"/apps/always-online"] || !on[site+"/apps/tls-policy"] || on[site+"/apps/dev-mode"] || len(on) < 28 {
		t.Errorf("the list: %v", on)
	}
	off, err := w.toggle(site, "always-online", &breakwaterv1.SiteApp{}, "enabled", "settings")
	if err != nil || off.GetEnabled() || w.record("acme", "shop.example").GetConfig().GetApps() != nil {
		t.Errorf("off: %v, %v", off, err)
	}
}

// TestSiteAppEtagIsTheStored: empty settings are the same as none, so the etag that an update
// answers with is the one that the next read shows.
func TestSiteAppEtagIsTheStored(t *testing.T) {
	w := newSiteWorld(t)
	site := w.create("acme", "shop.example").GetName()
	if _, err := w.toggle(site, "minify", &breakwaterv1.SiteApp{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	for _, paths := range [][]string{nil, {"settings"}} {
		for _, app := range []string{"minify", "email-obfuscate"} {
			for _, settings := range []*structpb.Struct{nil, {}} {
				got, err := w.toggle(site, app, &breakwaterv1.SiteApp{Settings: settings}, paths...)
				if err != nil {
					t.Fatal(err)
				}
				now, err := w.apps.GetSiteApp(w.as("GetSiteApp"), &breakwaterv1.GetSiteAppRequest{Name: site + "/apps/" + app})
				if err != nil || now.GetEtag() != got.GetEtag() || got.GetVersion() != 2 {
					t.Errorf("%s, settings %v, mask %v: answered %v, now %v, %v", app, settings, paths, got, now, err)
				}
			}
		}
	}
}

func TestAppNeedsPlan(t *testing.T) {
	w := newSiteWorld(t)
	site := w.create("acme", "shop.example").GetName()
	apps, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, app := range apps {
		if app.GetOwner() != "" || app.GetMinimumPlan() == "free" {
			continue
		}
		_, err := w.toggle(site, catalog.ID(app), &breakwaterv1.SiteApp{Enabled: true})
		if e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonPlanRequired, "enabled"); e.Metadata["requiredPlan"] != app.GetMinimumPlan() {
			t.Errorf("%s: %v", app.GetName(), e.Metadata)
		}
		tried++
	}
	if tried < 3 {
		t.Errorf("only %d apps were tried", tried)
	}
}

func (w *siteWorld) operator(method string) call.Info {
	return call.Info{FullMethod: "/breakwater.v1.Test/" + method, Principal: authn.Principal{Kind: authn.Operator, ID: "operator"}}
}

func TestUpdateApp(t *testing.T) {
	w := newSiteWorld(t)
	var log bytes.Buffer
	w.apps.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	ctx := call.With(t.Context(), w.operator("UpdateApp"))
	before, err := w.apps.GetApp(ctx, &breakwaterv1.GetAppRequest{Name: "apps/always-online"})
	if err != nil || before.GetVersion() != 1 {
		t.Fatal(before, err)
	}
	app, err := w.apps.UpdateApp(ctx, &breakwaterv1.UpdateAppRequest{
		App: &breakwaterv1.App{Name: before.GetName(), Killed: true, Etag: before.GetEtag()},
	})
	if err != nil || app.GetVersion() != 2 || !app.GetKilled() || app.GetSchemaVersion() != 1 {
		t.Fatalf("killed: %v, %v", app, err)
	}
	_, err = w.apps.UpdateApp(ctx, &breakwaterv1.UpdateAppRequest{
		App: &breakwaterv1.App{Name: before.GetName(), Etag: before.GetEtag(), Description: "x"},
	})
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	_, err = w.apps.UpdateApp(ctx, &breakwaterv1.UpdateAppRequest{
		App: &breakwaterv1.App{Name: before.GetName(), MinimumPlan: "platinum"},
	})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "minimumPlan")

	// What was stored has its line in the operators' log, and nothing else.
	if _, err := w.apps.UpdateApp(ctx, &breakwaterv1.UpdateAppRequest{App: &breakwaterv1.App{Name: before.GetName(), Killed: true}}); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(log.String(), "platform changed"); lines != 1 || !strings.Contains(log.String(), "resource=apps/always-online") {
		t.Errorf("the operators' log is %q", log.String())
	}

	// Customers see the version that every data center holds.
	covered := w.cache.Cached().Revision()
	kv, err := w.store.Get(t.Context(), "registry/state/platform/apps/always-online")
	if err != nil {
		t.Fatal(err)
	}
	covered = min(covered, kv.ModRevision-1)
	offer := NewAppOffer(AppOfferConfig{Source: w.base.Source, History: w.store, Covered: func() int64 { return covered }})
	apps := NewApps(AppsConfig{SiteBase: w.base, Apps: offer})
	seen, err := apps.GetApp(w.as("GetApp"), &breakwaterv1.GetAppRequest{Name: before.GetName()})
	if err != nil || seen.GetVersion() != 1 {
		t.Errorf("offered: %v, %v", seen, err)
	}
	// A kill is no offer: it shows at once.
	site := w.create("acme", "shop.example").GetName()
	shown, err := apps.GetSiteApp(w.as("GetSiteApp"), &breakwaterv1.GetSiteAppRequest{Name: site + "/apps/always-online"})
	if err != nil || shown.GetAvailable() || shown.GetUnavailableReason() != "KILLED" {
		t.Errorf("a killed app: %v, %v", shown, err)
	}
	shown, err = apps.GetSiteApp(w.as("GetSiteApp"), &breakwaterv1.GetSiteAppRequest{Name: site + "/apps/waf"})
	if err != nil || shown.GetAvailable() || shown.GetUnavailableReason() != "PLAN_REQUIRED" {
		t.Errorf("an app of a better plan: %v, %v", shown, err)
	}
	covered = kv.ModRevision
	if seen, err = apps.GetApp(w.as("GetApp"), &breakwaterv1.GetAppRequest{Name: before.GetName()}); err != nil || seen.GetVersion() != 2 {
		t.Errorf("offered at last: %v, %v", seen, err)
	}
	if err := SeedApps(t.Context(), w.writer, []*breakwaterv1.App{before}); err != nil {
		t.Fatal(err)
	}
	if seen, err = w.apps.GetApp(ctx, &breakwaterv1.GetAppRequest{Name: before.GetName()}); err != nil || seen.GetVersion() != 2 {
		t.Errorf("seeding again changed what operators did: %v, %v", seen, err)
	}
}

func TestPlans(t *testing.T) {
	w := newSiteWorld(t)
	s := NewPlans(PlansConfig{Plans: w.plans, Apps: w.offer})
	list, err := s.ListPlans(t.Context(), &breakwaterv1.ListPlansRequest{PageSize: 3})
	if err != nil || len(list.GetPlans()) != 3 || list.GetNextPageToken() == "" || list.GetPlans()[0].GetName() != "plans/free" {
		t.Fatalf("%v, %v", list, err)
	}
	rest, err := s.ListPlans(t.Context(), &breakwaterv1.ListPlansRequest{PageSize: 3, PageToken: list.GetNextPageToken()})
	if err != nil || len(rest.GetPlans()) != 1 || rest.GetPlans()[0].GetName() != "plans/enterprise" {
		t.Fatalf("%v, %v", rest, err)
	}
	if free, all := len(list.GetPlans()[0].GetApps()), len(rest.GetPlans()[0].GetApps()); free == 0 || free >= all {
		t.Errorf("%d apps on free, %d on enterprise", free, all)
	}
	_, err = s.GetPlan(t.Context(), &breakwaterv1.GetPlanRequest{Name: "plans/platinum"})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}
