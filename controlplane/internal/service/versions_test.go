package service

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestVersions(t *testing.T) {
	w := newSiteWorld(t)
	s := NewVersions(VersionsConfig{SiteBase: w.base, Apps: w.offer, History: w.store})
	site := w.create("acme", "shop.example").GetName()
	if _, err := w.updateSettings(&breakwaterv1.Settings{Name: site + "/settings", HttpsRedirect: true, EdgeTtlSeconds: 60}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.toggle(site, "always-online", &breakwaterv1.SiteApp{Enabled: true, Settings: structOf(t, map[string]any{"maxStaleSeconds": 60})}); err != nil {
		t.Fatal(err)
	}
	list, err := s.ListVersions(w.as("ListVersions"), &breakwaterv1.ListVersionsRequest{Parent: site, PageSize: 2})
	if err != nil || len(list.GetVersions()) != 2 || list.GetVersions()[0].GetNumber() != 3 || list.GetVersions()[0].GetConfig() != nil ||
		list.GetVersions()[1].GetCause() != "UpdateSettings" || list.GetVersions()[1].GetPrincipal() != "accounts/acme/tokens/t1" {
		t.Fatalf("%v, %v", list, err)
	}
	rest, err := s.ListVersions(w.as("ListVersions"), &breakwaterv1.ListVersionsRequest{Parent: site, PageSize: 2, PageToken: list.GetNextPageToken()})
	if err != nil || len(rest.GetVersions()) != 1 || rest.GetNextPageToken() != "" {
		t.Errorf("%v, %v", rest, err)
	}
	for filter, refused := range map[string]bool{`config.settings.tlsMode = OFF`: true, `cause = "UpdateSettings"`: false} {
		found, err := s.ListVersions(w.as("ListVersions"), &breakwaterv1.ListVersionsRequest{Parent: site, Filter: filter})
		if refused {
			wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "filter")
		} else if err != nil || len(found.GetVersions()) != 1 {
			t.Errorf("%s: %v, %v", filter, found, err)
		}
	}
	one, err := s.GetVersion(w.as("GetVersion"), &breakwaterv1.GetVersionRequest{Name: site + "/versions/2"})
	if err != nil || !one.GetConfig().GetSettings().GetHttpsRedirect() || len(one.GetChangedFields()) != 2 {
		t.Errorf("%v, %v", one, err)
	}
	_, err = s.GetVersion(w.as("GetVersion"), &breakwaterv1.GetVersionRequest{Name: site + "/versions/9"})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")

	diff, err := s.DiffVersions(w.as("DiffVersions"), &breakwaterv1.DiffVersionsRequest{Parent: site, From: 1})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, c := range diff.GetChanges() {
		paths = append(paths, c.GetPath()+": "+c.GetFrom().String()+" to "+c.GetTo().String())
	}
	if len(paths) != 4 || diff.GetTo() != 3 || diff.GetChanges()[0].GetPath() != "apps.always-online.enabled" ||
		diff.GetChanges()[2].GetPath() != "settings.edgeTtlSeconds" || diff.GetChanges()[2].GetTo().GetNumberValue() != 60 {
		t.Errorf("diff: %q", paths)
	}

	back, err := s.RollbackSite(w.as("RollbackSite"), &breakwaterv1.RollbackSiteRequest{Name: site, Version: 1})
	if err != nil || back.GetVersion() != 4 || back.GetSettings().GetHttpsRedirect() || len(back.GetApps()) != 0 {
		t.Errorf("rolled back: %v, %v", back, err)
	}
	forth, err := s.RollbackSite(w.as("RollbackSite"), &breakwaterv1.RollbackSiteRequest{Name: site, Version: 3, Etag: w.get(site).GetEtag()})
	if err != nil || forth.GetVersion() != 5 || !forth.GetApps()["always-online"].GetEnabled() {
		t.Errorf("and forth: %v, %v", forth, err)
	}
	_, err = s.RollbackSite(w.as("RollbackSite"), &breakwaterv1.RollbackSiteRequest{Name: site, Version: 77})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}

func TestRollbackAsksThePlan(t *testing.T) {
	w := newSiteWorld(t)
	s := NewVersions(VersionsConfig{SiteBase: w.base, Apps: w.offer, History: w.store})
	site := w.create("acme", "shop.example").GetName()
	w.plan("acme", "shop.example", "pro")
	if _, err := w.toggle(site, "always-online", &breakwaterv1.SiteApp{Enabled: true, Settings: structOf(t, map[string]any{"maxStaleSeconds": 100000})}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.toggle(site, "always-online", &breakwaterv1.SiteApp{}, "enabled", "settings"); err != nil {
		t.Fatal(err)
	}
	w.plan("acme", "shop.example", "free")
	_, err := s.RollbackSite(w.as("RollbackSite"), &breakwaterv1.RollbackSiteRequest{Name: site, Version: 2})
	if e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonPlanRequired, "apps.always-online.settings.maxStaleSeconds"); e.Metadata["requiredPlan"] != "pro" {
		t.Errorf("the refusal says %v", e.Metadata)
	}
}

func TestVersionsRetention(t *testing.T) {
	w := newSiteWorld(t)
	s := NewVersions(VersionsConfig{SiteBase: w.base, Apps: w.offer, History: w.store})
	site := w.create("acme", "shop.example").GetName()
	for i := range 25 {
		if _, err := w.updateSettings(&breakwaterv1.Settings{Name: site + "/settings", EdgeTtlSeconds: int32(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.ListVersions(w.as("ListVersions"), &breakwaterv1.ListVersionsRequest{Parent: site, PageSize: 100})
	if err != nil || len(list.GetVersions()) != 20 || list.GetVersions()[19].GetNumber() != 7 {
		t.Fatalf("%d versions, %v", len(list.GetVersions()), err)
	}
	_, err = s.GetVersion(w.as("GetVersion"), &breakwaterv1.GetVersionRequest{Name: site + "/versions/6"})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
	rec := w.record("acme", "shop.example")
	for i, r := range rec.GetRecentVersions() {
		if r.GetVersion() != int64(25-i) || i > 0 && r.GetRevision() >= rec.GetRecentVersions()[i-1].GetRevision() {
			t.Errorf("recent version %d: %v", i, r)
		}
	}
}

// TestEveryKnobHasVersions: what the owned apps show is set by settings and threat settings,
// shows in the difference of two versions, and is rolled back.
func TestEveryKnobHasVersions(t *testing.T) {
	w := newSiteWorld(t)
	s := NewVersions(VersionsConfig{SiteBase: w.base, Apps: w.offer, History: w.store})
	site := w.create("acme", "shop.example").GetName()
	w.plan("acme", "shop.example", "pro")
	if _, err := w.updateSettings(&breakwaterv1.Settings{Name: site + "/settings", SortQuery: true, HttpsRewrite: true}); err != nil {
		t.Fatal(err)
	}
	got, err := w.updateThreats(&breakwaterv1.ThreatSettings{
		Name: site + "/threatSettings", DdosAction: breakwaterv1.ThreatSettings_BLOCK, BotAllowVerified: new(false),
	})
	if err != nil || got.GetDdosAction() != breakwaterv1.ThreatSettings_BLOCK || got.GetBotAllowVerified() {
		t.Fatalf("%v, %v", got, err)
	}
	diff, err := s.DiffVersions(w.as("DiffVersions"), &breakwaterv1.DiffVersionsRequest{Parent: site, From: 1})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, c := range diff.GetChanges() {
		paths = append(paths, c.GetPath())
	}
	if want := []string{
		"settings.httpsRewrite", "settings.sortQuery", "threatSettings.botAllowVerified", "threatSettings.ddosAction",
	}; !slices.Equal(paths, want) {
		t.Errorf("diff: %q", paths)
	}
	for app, setting := range map[string]string{
		"edge-cache": "sortQuery", "https-rewrite": "rewrite", "ddos-shield": "action", "bot-control": "allowVerified",
	} {
		shown, err := w.apps.GetSiteApp(w.as("GetSiteApp"), &breakwaterv1.GetSiteAppRequest{Name: site + "/apps/" + app})
		if v := shown.GetSettings().GetFields()[setting].AsInterface(); err != nil || v != map[string]any{
			"sortQuery": true, "rewrite": true, "action": "block", "allowVerified": false,
		}[setting] {
			t.Errorf("%s: %s is %v, %v", app, setting, v, err)
		}
	}
	back, err := s.RollbackSite(w.as("RollbackSite"), &breakwaterv1.RollbackSiteRequest{Name: site, Version: 1})
	if err != nil || back.GetSettings().GetSortQuery() || back.GetSettings().GetHttpsRewrite() ||
		back.GetThreatSettings().GetDdosAction() != breakwaterv1.ThreatSettings_CHALLENGE || !back.GetThreatSettings().GetBotAllowVerified() {
		t.Errorf("rolled back: %v, %v", back, err)
	}
}
