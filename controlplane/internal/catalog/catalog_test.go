package catalog

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

func plans(t testing.TB) *billing.Plans {
	t.Helper()
	p, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func defaults(t testing.TB) *Catalog {
	t.Helper()
	apps, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(apps)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func settings(t testing.TB, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultIsSound(t *testing.T) {
	c, p := defaults(t), plans(t)
	if len(c.All()) != 28 {
		t.Errorf("%d apps", len(c.All()))
	}
	categories := []string{"performance", "cache", "availability", "security", "content", "insight"}
	for _, app := range c.All() {
		if !slices.Contains(categories, app.GetCategory()) || app.GetDescription() == "" || app.GetDisplayName() == "" {
			t.Errorf("%s: incomplete", app.GetName())
		}
		for _, v := range Check(app, c.All(), p) {
			t.Errorf("%s: %s: %s", app.GetName(), v.Field, v.Message)
		}
		for _, other := range app.GetConflicts() {
			back, _ := c.Get(other)
			if !slices.Contains(back.GetConflicts(), ID(app)) {
				t.Errorf("%s conflicts with %s, which does not say so", app.GetName(), other)
			}
		}
	}
}

// TestSchemasAreStrict walks every schema: objects are closed, and everything that can grow
// has a bound.
func TestSchemasAreStrict(t *testing.T) {
	for _, app := range defaults(t).All() {
		var walk func(path string, s map[string]any)
		walk = func(path string, s map[string]any) {
			need := func(keyword string) {
				if _, ok := s[keyword]; !ok {
					t.Errorf("%s: %s has no %s", app.GetName(), path, keyword)
				}
			}
			switch s["type"] {
			case "object":
				if s["additionalProperties"] != false {
					t.Errorf("%s: %s is open", app.GetName(), path)
				}
				for name, p := range s["properties"].(map[string]any) {
					walk(path+"."+name, p.(map[string]any))
				}
			case "array":
				need("maxItems")
				walk(path+"[]", s["items"].(map[string]any))
			case "string":
				need("maxLength")
			case "integer", "number":
				need("minimum")
				need("maximum")
			case "boolean":
			default:
				need("enum")
			}
		}
		walk("settings", app.GetSettingsSchema().AsMap())
	}
}

// TestOwnedLimitsFollowPlans keeps the limits that the catalogue shows for owned apps equal
// to the entitlements that hold.
func TestOwnedLimitsFollowPlans(t *testing.T) {
	c, p := defaults(t), plans(t)
	counts := map[string]func(*breakwaterv1.Entitlements) int32{
		"ip-firewall": (*breakwaterv1.Entitlements).GetFirewallEntries,
		"rate-limit":  (*breakwaterv1.Entitlements).GetRateLimits,
	}
	all := p.All()
	for id, count := range counts {
		app, _ := c.Get(id)
		var want []int32
		for _, plan := range all[:len(all)-1] {
			want = append(want, count(plan.GetEntitlements()))
		}
		var got []int32
		for _, limit := range app.GetPlanLimits() {
			got = append(got, limit.GetMaxItems())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is limited to %v, entitlements say %v", id, got, want)
		}
	}
}

func TestValidateSettings(t *testing.T) {
	c := defaults(t)
	for _, test := range []struct {
		app, settings string
		want          []string // field rule
	}{
		{"minify", `{}`, nil},
		{"minify", `{"html": true, "css": false}`, nil},
		{"minify", `{"html": "yes", "less": true}`, []string{"settings.html type", "settings.less unknown_field"}},
		{"compression", `{"algorithms": ["gzip", "gzip"], "minBytes": -1}`, []string{"settings.algorithms unique", "settings.minBytes minimum"}},
		{"compression", `{"algorithms": []}`, []string{"settings.algorithms min_items"}},
		{"compression", `{"algorithms": ["lzma"]}`, []string{"settings.algorithms[0] enum"}},
		{"compression", `{"minBytes": 1.5}`, []string{"settings.minBytes type"}},
		{"early-hints", `{"x": 1}`, []string{"settings.x unknown_field"}},
		{"prefetch", `{}`, nil},
		{"prefetch", `{"manifestUrl": "https://example.com/list.txt"}`, nil},
		{"prefetch", `{"manifestUrl": "file:///etc/passwd"}`, []string{"settings.manifestUrl url"}},
		{"prefetch", `{"manifestUrl": "http://10.0.0.1/x"}`, []string{"settings.manifestUrl public_address"}},
		{"prefetch", `{"manifestUrl": "http://localhost/x"}`, []string{"settings.manifestUrl host"}},
		{"maintenance-page", `{"allowCidrs": ["192.0.2.0/24", "2001:db8::/32"]}`, nil},
		{"maintenance-page", `{"allowCidrs": ["999.0.0.0/8"]}`, []string{"settings.allowCidrs[0] cidr"}},
		{"maintenance-page", `{"allowCidrs": ["192.0.2.0/24", "10.0.0.0/8"]}`, []string{"settings.allowCidrs[1] source"}},
		{"maintenance-page", `{"allowCidrs": [7]}`, []string{"settings.allowCidrs[0] type"}},
		{"health-check", `{"expectedCodes": [100]}`, []string{"settings.expectedCodes[0] minimum"}},
		{"email-obfuscate", `{"excludePaths": ["/a?b"]}`, []string{"settings.excludePaths[0] pattern"}},
		{"analytics-tag", `{"provider": "google"}`, []string{"settings.id required"}},
		{"analytics-tag", `{"provider": "google", "id": "\"><script>"}`, []string{"settings.id pattern"}},
		{"geo-header", `{"headerName": "X-Country"}`, nil},
		{"geo-header", `{"headerName": "Content-Length"}`, []string{"settings.headerName not"}},
		{"waf", `{"overrides": [{"rule": "942100"}]}`, []string{"settings.overrides[0].action required"}},
		{"ip-firewall", `{"entries": [{"action": "BLOCK", "asn": 64500, "country": "FR"}]}`, []string{"settings.entries[0] one_of"}},
		{"dev-mode", `{"expireTime": "tomorrow"}`, []string{"settings.expireTime format"}},
		{"always-online", `{"paths": ["no-slash"]}`, []string{"settings.paths[0] pattern"}},
		{"unicorns", `{}`, []string{"app unknown"}},
	} {
		var got []string
		for _, v := range c.ValidateSettings(test.app, settings(t, test.settings)) {
			got = append(got, v.Field+" "+v.Rule)
			if v.Message == "" {
				t.Errorf("%s %s: no message", test.app, test.settings)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %s: %q, want %q", test.app, test.settings, got, test.want)
		}
	}
}

func TestSettingsAreBounded(t *testing.T) {
	c := defaults(t)
	deep := &structpb.Value{Kind: &structpb.Value_BoolValue{}}
	for range 40 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	zero := 0.0
	for name, s := range map[string]*structpb.Struct{
		"deep":         {Fields: map[string]*structpb.Value{"html": deep}},
		"large":        {Fields: map[string]*structpb.Value{"html": structpb.NewStringValue(strings.Repeat("x", MaxSettingsBytes))}},
		"not a number": {Fields: map[string]*structpb.Value{"html": structpb.NewNumberValue(zero / zero)}},
		"no value":     {Fields: map[string]*structpb.Value{"html": {}}},
		"nil value":    {Fields: map[string]*structpb.Value{"html": nil}},
	} {
		if len(c.ValidateSettings("minify", s)) == 0 {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPlanViolations(t *testing.T) {
	c, p := defaults(t), plans(t)
	rules := func(n int) string {
		return `{"rules": [` + strings.TrimSuffix(strings.Repeat(`{},`, n), ",") + `]}`
	}
	for _, test := range []struct {
		plan, app, settings string
		want                string // field: plan
	}{
		{"free", "minify", `{}`, ""},
		{"free", "waf", `{}`, ": pro"},
		{"pro", "waf", `{}`, ""},
		{"pro", "waf", `{"overrides": []}`, "settings.overrides: enterprise"},
		{"enterprise", "waf", `{"overrides": []}`, ""},
		{"pro", "prefetch", `{"manifestUrl": "https://example.com/"}`, ": business"},
		{"free", "always-online", `{"maxStaleSeconds": 86400}`, ""},
		{"free", "always-online", `{"maxStaleSeconds": 86401}`, "settings.maxStaleSeconds: pro"},
		{"pro", "always-online", `{"maxStaleSeconds": 86401}`, ""},
		{"pro", "health-check", `{"intervalSeconds": 59}`, "settings.intervalSeconds: business"},
		{"pro", "maintenance-page", `{"html": "<p>"}`, "settings.html: business"},
		{"free", "maintenance-page", `{}`, ""},
		{"free", "rate-limit", rules(1), ""},
		{"free", "rate-limit", rules(2), "settings.rules: pro"},
		{"free", "rate-limit", rules(6), "settings.rules: business"},
		{"free", "rate-limit", rules(26), "settings.rules: enterprise"},
		{"business", "rate-limit", rules(25), ""},
		{"free", "unicorns", `{}`, ""},
	} {
		var got []string
		for _, v := range c.PlanViolations(p, test.plan, test.app, settings(t, test.settings)) {
			got = append(got, v.Field+": "+v.RequiredPlan)
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s on %s, %s: %q, want %q", test.app, test.plan, test.settings, got, test.want)
		}
	}
	if free := c.AllowedBy(p, "free"); slices.Contains(free, "waf") || !slices.Contains(free, "minify") {
		t.Errorf("free allows %v", free)
	}
	if len(c.AllowedBy(p, "enterprise")) != 28 {
		t.Error("enterprise does not allow everything")
	}
}

func TestConflicts(t *testing.T) {
	c := defaults(t)
	got := c.Conflicts([]string{"prefetch", "minify", "maintenance-page", "early-hints", "always-online", "prefetch"})
	want := []Conflict{{"always-online", "maintenance-page"}, {"early-hints", "prefetch"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := c.Conflicts([]string{"minify", "unknown", "waf"}); got != nil {
		t.Errorf("%v", got)
	}
}

func TestUpdateKeepsCompiledSchemas(t *testing.T) {
	c := defaults(t)
	apps := c.All()
	changed := proto.Clone(apps[0]).(*breakwaterv1.App)
	changed.Killed = true
	other := proto.Clone(apps[1]).(*breakwaterv1.App)
	other.SettingsSchema.Fields["properties"] = structpb.NewStructValue(&structpb.Struct{})
	other.SettingsSchema.Fields["required"] = structpb.NewListValue(&structpb.ListValue{})
	next, err := c.Update(append([]*breakwaterv1.App{changed, other}, apps[2:]...))
	if err != nil {
		t.Fatal(err)
	}
	if next.entries[ID(changed)].schema != c.entries[ID(changed)].schema {
		t.Error("a schema that did not change was compiled again")
	}
	if next.entries[ID(other)].schema == c.entries[ID(other)].schema {
		t.Error("a schema that changed was not compiled again")
	}
	if app, _ := next.Get(ID(changed)); !app.GetKilled() {
		t.Error("the new entry is not there")
	}
}

func TestCheckRefuses(t *testing.T) {
	c, p := defaults(t), plans(t)
	for want, change := range map[string]func(*breakwaterv1.App){
		"minimumPlan":           func(a *breakwaterv1.App) { a.MinimumPlan = "gold" },
		"risk":                  func(a *breakwaterv1.App) { a.Risk = 0 },
		"conflicts[0]":          func(a *breakwaterv1.App) { a.Conflicts = []string{"compression"} },
		"conflicts[1]":          func(a *breakwaterv1.App) { a.Conflicts = []string{"minify", "unicorns"} },
		"planLimits[0].setting": func(a *breakwaterv1.App) { a.PlanLimits[0].Setting = "unicorns" },
		"planLimits[0]":         func(a *breakwaterv1.App) { a.PlanLimits[0].Maximum = nil },
		"planLimits[0].maximum": func(a *breakwaterv1.App) { a.PlanLimits[0].Setting = "algorithms" },
		"planLimits[0].minimum": func(a *breakwaterv1.App) {
			a.PlanLimits[0] = &breakwaterv1.App_PlanLimit{Setting: "algorithms", RequiredPlan: "pro", Minimum: new(1.0)}
		},
		"planLimits[0].maxItems": func(a *breakwaterv1.App) { a.PlanLimits[0].MaxItems = new(int32(1)) },
		"planLimits[0].maxItems ": func(a *breakwaterv1.App) {
			a.PlanLimits[0] = &breakwaterv1.App_PlanLimit{Setting: "algorithms", RequiredPlan: "pro", MaxItems: new(int32(-1))}
		},
		"settingsSchema":           func(a *breakwaterv1.App) { a.SettingsSchema, a.PlanLimits = nil, nil },
		"defaultSettings.minBytes": func(a *breakwaterv1.App) { a.DefaultSettings.Fields["minBytes"] = structpb.NewNumberValue(-1) },
		"settingsSchema ": func(a *breakwaterv1.App) {
			a.SettingsSchema.Fields["$ref"] = structpb.NewStringValue("https://example.com/schema.json")
		},
		"settingsSchema  ": func(a *breakwaterv1.App) {
			a.SettingsSchema.Fields["additionalProperties"] = structpb.NewBoolValue(true)
		},
		"settingsSchema   ": func(a *breakwaterv1.App) {
			a.SettingsSchema.Fields["type"] = structpb.NewNumberValue(4)
		},
	} {
		original, _ := c.Get("compression")
		app := proto.Clone(original).(*breakwaterv1.App)
		maximum := 10.0
		app.PlanLimits = []*breakwaterv1.App_PlanLimit{{Setting: "minBytes", RequiredPlan: "pro", Maximum: &maximum}}
		if found := Check(app, c.All(), p); len(found) != 0 {
			t.Fatalf("before the change: %v", found)
		}
		change(app)
		found := Check(app, c.All(), p)
		if len(found) != 1 || found[0].Field != strings.TrimSpace(want) {
			t.Errorf("%s: %v", want, found)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	apps, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string][]*breakwaterv1.App{
		"twice":     {apps[0], apps[0]},
		"no name":   {{SettingsSchema: apps[0].GetSettingsSchema()}},
		"no schema": {{Name: "apps/x"}},
	} {
		if _, err := New(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, file := range []string{"", "{}", "[]", `[{"name": "apps/x", "colour": 1}]`, `[{"name": "apps/b"}, {"name": "apps/a"}]`} {
		if _, err := parse([]byte(file)); err == nil {
			t.Errorf("%q: accepted", file)
		}
	}
}

// TestViews checks that every owned app has a view, that the view matches the app's own
// schema, and that nothing else has one.
func TestViews(t *testing.T) {
	c := defaults(t)
	s := &breakwaterv1.Settings{
		BrowserTtlSeconds: 60, DevelopmentMode: true, DevelopmentModeExpireTime: timestamppb.Now(), HttpsRedirect: true,
		Hsts:      &breakwaterv1.Settings_Hsts{Enabled: true, MaxAgeSeconds: 300},
		SortQuery: true, HttpsRewrite: true,
	}
	threats := &breakwaterv1.ThreatSettings{
		UnderAttack:      true,
		DdosAction:       breakwaterv1.ThreatSettings_BLOCK,
		BotAllowVerified: new(false),
		BotControl:       breakwaterv1.ThreatSettings_Control_BLOCK,
		FirewallEntries: []*breakwaterv1.ThreatSettings_FirewallEntry{
			{Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: "192.0.2.0/24"}, Action: breakwaterv1.ThreatSettings_BLOCK},
			{Source: &breakwaterv1.ThreatSettings_FirewallEntry_Asn{Asn: 64500}, Action: breakwaterv1.ThreatSettings_LOG},
			{Source: &breakwaterv1.ThreatSettings_FirewallEntry_Country{Country: "FR"}, Action: breakwaterv1.ThreatSettings_ALLOW},
		},
		RateLimits: []*breakwaterv1.ThreatSettings_RateLimit{{Match: `path = "/"`, Requests: 1, PeriodSeconds: 1, Action: breakwaterv1.ThreatSettings_BLOCK}},
	}
	for _, app := range c.All() {
		id := ID(app)
		enabled, full, ok := View(id, s, threats)
		if ok != (app.GetOwner() != "") {
			t.Errorf("%s: owner %q, view %v", id, app.GetOwner(), ok)
		}
		if !ok {
			continue
		}
		if !enabled {
			t.Errorf("%s is off", id)
		}
		// Whatever the schema shows to people can be set somewhere.
		for setting, property := range app.GetSettingsSchema().GetFields()["properties"].GetStructValue().GetFields() {
			shown := full.GetFields()[setting]
			if standard := app.GetDefaultSettings().GetFields()[setting]; shown == nil ||
				property.GetStructValue().GetFields()["type"].GetStringValue() == "boolean" && proto.Equal(shown, standard) {
				t.Errorf("%s: %s is not what the owner says: %v", id, setting, shown)
			}
		}
		_, empty, _ := View(id, nil, nil)
		for _, view := range []*structpb.Struct{full, empty} {
			if full == nil {
				t.Errorf("%s: no settings", id)
			}
			for _, v := range c.ValidateSettings(id, view) {
				t.Errorf("%s: %s: %s", id, v.Field, v.Message)
			}
		}
	}
}

func BenchmarkValidateSettings(b *testing.B) {
	c, s := defaults(b), settings(b, `{"html": true, "css": true}`)
	for b.Loop() {
		if c.ValidateSettings("minify", s) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkNew(b *testing.B) {
	apps, err := Default()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := New(apps); err != nil {
			b.Fatal(err)
		}
	}
}
