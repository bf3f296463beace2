package service

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestPurgeCache(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	purge := func(req *breakwaterv1.PurgeCacheRequest) (*breakwaterv1.PurgeCacheResponse, error) {
		req.Name = name
		return w.sites.PurgeCache(w.as("PurgeCache"), req)
	}
	for field, req := range map[string]*breakwaterv1.PurgeCacheRequest{
		"everything": {},
		"urls[0]":    {Urls: []string{"https://other.example/"}},
		"urls[1]":    {Urls: []string{"https://shop.example/", "/path"}},
		"tags[0]":    {Tags: []string{"a,b"}},
	} {
		_, err := purge(req)
		wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, field)
	}
	_, err := purge(&breakwaterv1.PurgeCacheRequest{Everything: true, Tags: []string{"a"}})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "everything")
	first, err := purge(&breakwaterv1.PurgeCacheRequest{Urls: []string{"https://WWW.shop.example:443"}, Tags: []string{"news"}})
	if err != nil || first.GetVersion() != 2 || first.GetPurgeId() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	if u := w.record("acme", "shop.example").GetPurges().GetEntries()[0].GetUrls()[0]; u != "https://www.shop.example/" {
		t.Errorf("stored as %s", u)
	}
	for i := range 104 {
		if _, err := purge(&breakwaterv1.PurgeCacheRequest{Tags: []string{fmt.Sprint("t", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	doc := w.record("acme", "shop.example").GetPurges()
	if len(doc.GetEntries()) != 100 || doc.GetEverythingEpoch() != 5 || doc.GetEntries()[0].GetEpoch() != 6 || doc.GetEntries()[99].GetEpoch() != 105 {
		t.Errorf("%d entries, everything before %d", len(doc.GetEntries()), doc.GetEverythingEpoch())
	}
	all, err := purge(&breakwaterv1.PurgeCacheRequest{Everything: true})
	if err != nil || all.GetPurgeId() == first.GetPurgeId() {
		t.Fatalf("%v, %v", all, err)
	}
	if doc = w.record("acme", "shop.example").GetPurges(); len(doc.GetEntries()) != 0 || doc.GetEverythingEpoch() != 106 {
		t.Errorf("after everything: %v", doc)
	}

	w.sites.cfg.Purges = ratelimit.NewLimiter(ratelimit.Config{Clock: w.clock, Window: time.Minute})
	for range 5 {
		if _, err := purge(&breakwaterv1.PurgeCacheRequest{Everything: true}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = purge(&breakwaterv1.PurgeCacheRequest{Everything: true})
	if e := wantReason(t, err, codes.ResourceExhausted, rpcerr.ReasonRateLimited, ""); e.RetryAfter <= 0 {
		t.Error("does not say when to come back")
	}
}

func TestCheckActivation(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	check := func() (*breakwaterv1.Site, error) {
		return w.sites.CheckActivation(w.as("CheckActivation"), &breakwaterv1.CheckActivationRequest{Name: name})
	}
	s, err := check()
	if err != nil || !s.GetActivationCheck().GetNextCheckTime().AsTime().Equal(w.clock.Now()) || s.GetVersion() != 1 {
		t.Fatalf("%v, %v", s, err)
	}
	_, err = check()
	if e := wantReason(t, err, codes.ResourceExhausted, rpcerr.ReasonRateLimited, ""); e.RetryAfter != time.Hour {
		t.Errorf("to come back in %v", e.RetryAfter)
	}
	w.clock.Advance(time.Hour)
	if _, err = check(); err != nil {
		t.Error(err)
	}
	if _, err := w.sites.SuspendSite(w.as("SuspendSite"), &breakwaterv1.SuspendSiteRequest{Name: name, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	_, err = check()
	wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonInvalidState, "")
}

func TestConfigureSite(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	got, err := w.sites.ConfigureSite(w.as("ConfigureSite"), &breakwaterv1.ConfigureSiteRequest{
		Name:           name,
		Settings:       &breakwaterv1.Settings{HttpsRedirect: true},
		ThreatSettings: &breakwaterv1.ThreatSettings{UnderAttack: true},
		Apps:           map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{"always-online": {Enabled: new(true)}},
	})
	if err != nil || got.GetVersion() != 2 || !got.GetSettings().GetHttpsRedirect() || !got.GetThreatSettings().GetUnderAttack() || !got.GetApps()["always-online"].GetEnabled() {
		t.Fatalf("%v, %v", got, err)
	}
	got, err = w.sites.ConfigureSite(w.as("ConfigureSite"), &breakwaterv1.ConfigureSiteRequest{
		Name: name, Settings: &breakwaterv1.Settings{EdgeTtlSeconds: 9},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"settings.https_redirect", "threatSettings.underAttack"}},
	})
	if err != nil || got.GetVersion() != 3 || got.GetSettings().GetHttpsRedirect() || got.GetSettings().GetEdgeTtlSeconds() != 0 || got.GetThreatSettings().GetUnderAttack() {
		t.Errorf("by mask: %v, %v", got, err)
	}
	for field, req := range map[string]*breakwaterv1.ConfigureSiteRequest{
		"updateMask":    {UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"settings.nonsense"}}},
		"settings.hsts": {Settings: &breakwaterv1.Settings{Hsts: &breakwaterv1.Settings_Hsts{Preload: true}}},
		"threatSettings.firewallEntries[0]": {ThreatSettings: &breakwaterv1.ThreatSettings{
			FirewallEntries: []*breakwaterv1.ThreatSettings_FirewallEntry{cidrEntry("10.0.0.1/8")},
		}},
		"apps.always-online.settings.maxStaleSeconds": {Apps: map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{
			"always-online": {Enabled: new(true), Settings: structOf(t, map[string]any{"maxStaleSeconds": "x"})},
		}},
		"apps.nonsense": {Apps: map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{"nonsense": {}}},
	} {
		req.Name = name
		_, err := w.sites.ConfigureSite(w.as("ConfigureSite"), req)
		e := rpcerrOf(err)
		if e == nil || e.Code != codes.InvalidArgument || len(e.Violations) == 0 || !strings.HasPrefix(e.Violations[0].Field, field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if v := w.get(name).GetVersion(); v != 3 {
		t.Errorf("refused changes made version %d", v)
	}
}

// TestConfigureSiteKeepsWhatIsAbsent: an app's switch and its settings stay where the request
// does not say them.
func TestConfigureSiteKeepsWhatIsAbsent(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	css := structOf(t, map[string]any{"css": true})
	for _, step := range []struct {
		change   *breakwaterv1.ConfigureSiteRequest_AppChange
		enabled  bool
		settings int
	}{
		{&breakwaterv1.ConfigureSiteRequest_AppChange{Enabled: new(true)}, true, 0},
		{&breakwaterv1.ConfigureSiteRequest_AppChange{Settings: css}, true, 1},
		{&breakwaterv1.ConfigureSiteRequest_AppChange{}, true, 1},
		{&breakwaterv1.ConfigureSiteRequest_AppChange{Enabled: new(false)}, false, 1},
		{&breakwaterv1.ConfigureSiteRequest_AppChange{Settings: structOf(t, nil)}, false, 0},
	} {
		got, err := w.sites.ConfigureSite(w.as("ConfigureSite"), &breakwaterv1.ConfigureSiteRequest{
			Name: name, Apps: map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{"minify": step.change},
		})
		app := got.GetApps()["minify"]
		if app != nil && (!app.GetAvailable() || app.GetCategory() != "performance" || app.GetEtag() == "") {
			t.Errorf("the answer does not show the app whole: %v", app)
		}
		if err != nil || app.GetEnabled() != step.enabled || len(app.GetSettings().GetFields()) != step.settings {
			t.Errorf("after %v: %v, %v", step.change, app, err)
		}
	}
}

func TestConfigureSiteMeetsEtags(t *testing.T) {
	w := newSiteWorld(t)
	name := w.create("acme", "shop.example").GetName()
	for part, req := range map[string]*breakwaterv1.ConfigureSiteRequest{
		"settings":       {Settings: &breakwaterv1.Settings{HttpsRedirect: true, Etag: "stale"}},
		"threatSettings": {ThreatSettings: &breakwaterv1.ThreatSettings{UnderAttack: true, Etag: "stale"}},
		"app":            {Apps: map[string]*breakwaterv1.ConfigureSiteRequest_AppChange{"always-online": {Enabled: new(true), Etag: "stale"}}},
	} {
		req.Name = name
		_, err := w.sites.ConfigureSite(w.as("ConfigureSite"), req)
		if e := rpcerrOf(err); e == nil || e.Reason != rpcerr.ReasonEtagMismatch {
			t.Errorf("%s: %v", part, err)
		}
	}
	now, err := w.sites.ConfigureSite(w.as("ConfigureSite"), &breakwaterv1.ConfigureSiteRequest{Name: name})
	if err != nil || now.GetVersion() != 1 {
		t.Fatalf("%v, %v", now, err)
	}
	got, err := w.sites.ConfigureSite(w.as("ConfigureSite"), &breakwaterv1.ConfigureSiteRequest{
		Name:           name,
		Settings:       &breakwaterv1.Settings{HttpsRedirect: true, Etag: now.GetSettings().GetEtag()},
		ThreatSettings: &breakwaterv1.ThreatSettings{UnderAttack: true, Etag: now.GetThreatSettings().GetEtag()},
	})
	if err != nil || got.GetVersion() != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestValidateOnly(t *testing.T) {
	w := newSiteWorld(t)
	info := call.From(w.as("CreateSite"))
	info.ValidateOnly = true
	s, err := w.sites.CreateSite(call.With(t.Context(), info), &breakwaterv1.CreateSiteRequest{
		Parent: "accounts/acme", Site: &breakwaterv1.Site{Domain: "shop.example"},
	})
	if err != nil || s.GetVersion() != 1 {
		t.Fatalf("%v, %v", s, err)
	}
	_, err = w.sites.GetSite(w.as("GetSite"), &breakwaterv1.GetSiteRequest{Name: s.GetName()})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}
