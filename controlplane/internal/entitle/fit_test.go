package entitle_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/catalog"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
)

var now = time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC)

func rules(t testing.TB) entitle.Rules {
	t.Helper()
	plans, err := billing.Load()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := catalog.Default()
	if err != nil {
		t.Fatal(err)
	}
	apps, err := catalog.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return entitle.Rules{Plans: plans, Apps: apps}
}

func settings(m map[string]any) *structpb.Struct {
	s, err := structpb.NewStruct(m)
	if err != nil {
		panic(err)
	}
	return s
}

func firewall(from, n int) []*breakwaterv1.ThreatSettings_FirewallEntry {
	var out []*breakwaterv1.ThreatSettings_FirewallEntry
	for i := range n {
		out = append(out, &breakwaterv1.ThreatSettings_FirewallEntry{
			Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: fmt.Sprintf("198.51.%d.%d", (from+i)/256, (from+i)%256)},
			Action: breakwaterv1.ThreatSettings_BLOCK,
		})
	}
	return out
}

func limits(n int) []*breakwaterv1.ThreatSettings_RateLimit {
	var out []*breakwaterv1.ThreatSettings_RateLimit
	for i := range n {
		out = append(out, &breakwaterv1.ThreatSettings_RateLimit{
			Match: fmt.Sprintf(`path = "/%d"`, i), Requests: 1, PeriodSeconds: 1, Action: breakwaterv1.ThreatSettings_BLOCK,
		})
	}
	return out
}

// business is a configuration that only the plan business, or a dearer one, allows in full.
func business() *breakwaterv1.SiteConfig {
	return &breakwaterv1.SiteConfig{
		Apps: map[string]*breakwaterv1.SiteApp{
			"prefetch":         {Enabled: true},
			"maintenance-page": {Enabled: true, Settings: settings(map[string]any{"html": "back soon"})},
			"minify":           {Enabled: true},
			"waf":              {Settings: settings(map[string]any{"paranoia": 2})},
		},
		ThreatSettings: &breakwaterv1.ThreatSettings{FirewallEntries: firewall(0, 120), RateLimits: limits(6), BotControl: breakwaterv1.ThreatSettings_Control_BLOCK},
	}
}

func TestFitTurnsOff(t *testing.T) {
	r := rules(t)
	before := business()
	got := r.Fit(entitle.Input{Config: before, Plan: "free", Now: now})
	want := map[string]string{
		"apps.maintenance-page": "business", "apps.prefetch": "business",
		"threatSettings.firewallEntries": "business", "threatSettings.rateLimits": "business",
		"threatSettings.botControl": "pro",
	}
	for _, off := range got.TurnsOff {
		if want[off.GetField()] != off.GetRequiredPlan() {
			t.Errorf("%s: needs %q, want %q", off.GetField(), off.GetRequiredPlan(), want[off.GetField()])
		}
		if off.GetMessage() == "" {
			t.Errorf("%s: says nothing", off.GetField())
		}
		delete(want, off.GetField())
	}
	for field := range want {
		t.Errorf("%s does not turn off: %v", field, got.TurnsOff)
	}
	if !proto.Equal(before, business()) {
		t.Error("the argument was changed")
	}
	c := got.Config
	if c.GetApps()["maintenance-page"].GetEnabled() || c.GetApps()["maintenance-page"].GetSettings().GetFields()["html"] == nil {
		t.Error("an app is switched off, and its settings stay")
	}
	if !c.GetApps()["minify"].GetEnabled() {
		t.Error("an app that free has was switched off")
	}
	th := c.GetThreatSettings()
	if len(th.GetFirewallEntries()) != 10 || th.GetFirewallEntries()[9].GetCidr() != "198.51.0.9" || len(th.GetRateLimits()) != 1 {
		t.Errorf("the newest go first: %v", th)
	}
	pro := r.Fit(entitle.Input{Config: c, Parked: got.Parked, Plan: "pro", Now: now})
	if th.GetBotControl() != breakwaterv1.ThreatSettings_Control_OFF || pro.Config.GetThreatSettings().GetBotControl() != breakwaterv1.ThreatSettings_Control_BLOCK {
		t.Errorf("the bot control is %v on free, and comes back as %v", th.GetBotControl(), pro.Config.GetThreatSettings().GetBotControl())
	}
	if len(pro.TurnsOff) != 0 || len(pro.Config.GetThreatSettings().GetFirewallEntries()) != 100 || len(pro.Parked.GetFirewallEntries()) != 20 {
		t.Errorf("pro has some of it: %v", pro.Parked)
	}
	if back := r.Fit(entitle.Input{Config: pro.Config, Parked: pro.Parked, Plan: "business", Now: now}); !proto.Equal(back.Config, business()) || back.Parked != nil {
		t.Error("what business has came back otherwise")
	}
	if held := r.Fit(entitle.Input{Config: c, Parked: got.Parked, Plan: "business", Now: now, Hold: true}); !proto.Equal(held.Config, c) {
		t.Error("what is held came back")
	}
}

// TestOwnerDecidesMeanwhile shows that nothing comes back against what the owner did.
func TestOwnerDecidesMeanwhile(t *testing.T) {
	r := rules(t)
	for name, test := range map[string]struct {
		meanwhile func(c *breakwaterv1.SiteConfig, p *storev1.Parked)
		check     func(c *breakwaterv1.SiteConfig) bool
	}{
		"another bot control": {
			func(c *breakwaterv1.SiteConfig, _ *storev1.Parked) {
				c.ThreatSettings.BotControl = breakwaterv1.ThreatSettings_Control_LOG
			},
			func(c *breakwaterv1.SiteConfig) bool {
				return c.GetThreatSettings().GetBotControl() == breakwaterv1.ThreatSettings_Control_LOG
			},
		},
		"no bot control": {
			func(_ *breakwaterv1.SiteConfig, p *storev1.Parked) { p.BotControl = 0 },
			func(c *breakwaterv1.SiteConfig) bool {
				return c.GetThreatSettings().GetBotControl() == breakwaterv1.ThreatSettings_Control_OFF
			},
		},
		"other settings": {
			func(c *breakwaterv1.SiteConfig, _ *storev1.Parked) {
				c.Apps["maintenance-page"].Settings = settings(map[string]any{"allowCidrs": []any{"192.0.2.0/24"}})
			},
			func(c *breakwaterv1.SiteConfig) bool {
				return c.GetApps()["maintenance-page"].GetEnabled() && c.GetApps()["maintenance-page"].GetSettings().GetFields()["html"] == nil
			},
		},
		"switch forgotten": {
			func(c *breakwaterv1.SiteConfig, _ *storev1.Parked) { delete(c.GetApps(), "prefetch") },
			func(c *breakwaterv1.SiteConfig) bool { return c.GetApps()["prefetch"].GetEnabled() },
		},
		"a conflict": {
			func(c *breakwaterv1.SiteConfig, _ *storev1.Parked) {
				c.Apps["early-hints"] = &breakwaterv1.SiteApp{Enabled: true}
			},
			func(c *breakwaterv1.SiteConfig) bool { return !c.GetApps()["prefetch"].GetEnabled() },
		},
		"settings that are wrong": {
			func(c *breakwaterv1.SiteConfig, _ *storev1.Parked) {
				c.Apps["maintenance-page"].Settings = settings(map[string]any{"nonsense": true})
			},
			func(c *breakwaterv1.SiteConfig) bool { return !c.GetApps()["maintenance-page"].GetEnabled() },
		},
		"an entry given again": {
			func(c *breakwaterv1.SiteConfig, _ *storev1.Parked) {
				c.ThreatSettings.FirewallEntries = append(firewall(50, 1), c.GetThreatSettings().GetFirewallEntries()[1:]...)
			},
			func(c *breakwaterv1.SiteConfig) bool { return len(c.GetThreatSettings().GetFirewallEntries()) == 119 },
		},
		"an entry that ended": {
			func(_ *breakwaterv1.SiteConfig, p *storev1.Parked) {
				p.FirewallEntries[3].ExpireTime = timestamppb.New(now)
			},
			func(c *breakwaterv1.SiteConfig) bool { return len(c.GetThreatSettings().GetFirewallEntries()) == 119 },
		},
		"an app that is no more": {
			func(_ *breakwaterv1.SiteConfig, p *storev1.Parked) { p.Apps = append(p.Apps, "vanished") },
			func(c *breakwaterv1.SiteConfig) bool { return c.GetApps()["vanished"] == nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			fell := r.Fit(entitle.Input{Config: business(), Plan: "free", Now: now})
			test.meanwhile(fell.Config, fell.Parked)
			got := r.Fit(entitle.Input{Config: fell.Config, Parked: fell.Parked, Plan: "business", Now: now})
			if !test.check(got.Config) {
				t.Errorf("%v, %d entries", got.Config.GetApps(), len(got.Config.GetThreatSettings().GetFirewallEntries()))
			}
		})
	}
}

// drawn are switches of apps that are valid, some of them beyond cheap plans.
var drawn = map[string][]map[string]any{
	"always-online":    {nil, {"maxStaleSeconds": 100}, {"maxStaleSeconds": 100_000}},
	"maintenance-page": {nil, {"html": "back soon"}, {"allowCidrs": []any{"192.0.2.0/24"}}},
	"minify":           {nil},
	"prefetch":         {nil},
	"waf":              {nil},
	"early-hints":      {nil},
}

func drawConfig(t *rapid.T, r entitle.Rules) *breakwaterv1.SiteConfig {
	c := &breakwaterv1.SiteConfig{Apps: map[string]*breakwaterv1.SiteApp{}, ThreatSettings: &breakwaterv1.ThreatSettings{
		FirewallEntries: firewall(0, rapid.SampledFrom([]int{0, 9, 10, 11, 100, 103, 1001}).Draw(t, "entries")),
		RateLimits:      limits(rapid.IntRange(0, 30).Draw(t, "limits")),
	}}
	for _, id := range r.Apps.IDs() {
		choices, ok := drawn[id]
		if !ok || !rapid.Bool().Draw(t, id) {
			continue
		}
		toggle := &breakwaterv1.SiteApp{Enabled: rapid.Bool().Draw(t, id+" on")}
		if s := rapid.SampledFrom(choices).Draw(t, id+" settings"); s != nil {
			toggle.Settings = settings(s)
		}
		c.Apps[id] = toggle
		if len(r.Apps.Conflicts(r.On(c))) > 0 {
			toggle.Enabled = false
		}
	}
	return c
}

// TestFitProperties: a fitted configuration has nothing that the plan does not have; fitting
// it again changes nothing; and after any falls, the plan that allowed all brings back all.
func TestFitProperties(t *testing.T) {
	r := rules(t)
	plan := rapid.SampledFrom([]string{"free", "pro", "business", "enterprise", "no longer sold"})
	rapid.Check(t, func(t *rapid.T) {
		home := plan.Draw(t, "home")
		was := r.Fit(entitle.Input{Config: drawConfig(t, r), Plan: home, Now: now}).Config
		is := entitle.Result{Config: was}
		for _, to := range append(rapid.SliceOfN(plan, 1, 5).Draw(t, "plans"), home) {
			is = r.Fit(entitle.Input{Config: is.Config, Parked: is.Parked, Plan: to, Now: now})
			for id, toggle := range is.Config.GetApps() {
				if v := r.App(to, id, toggle); len(v) > 0 {
					t.Fatalf("%s on %s: %v", id, to, v)
				}
			}
			for _, count := range entitle.Counts() {
				if e := entitle.Exceeds(r.Plans, to, count.Len(is.Config.GetThreatSettings()), count.Allowed); e != nil {
					t.Fatalf("%s on %s: %+v", count.Field, to, e)
				}
			}
			if len(r.Apps.Conflicts(r.On(is.Config))) > 0 {
				t.Fatalf("conflicts: %v", is.Config.GetApps())
			}
			again := r.Fit(entitle.Input{Config: is.Config, Parked: is.Parked, Plan: to, Now: now})
			if !proto.Equal(again.Config, is.Config) || !proto.Equal(again.Parked, is.Parked) || len(again.TurnsOff) > 0 {
				t.Fatalf("not idempotent on %s: %v", to, again.TurnsOff)
			}
		}
		// On a way over dearer plans nothing is added that was not there.
		if !proto.Equal(is.Config, was) {
			t.Fatalf("%v\ncame back as\n%v", was.GetApps(), is.Config.GetApps())
		}
	})
}

func TestExceeds(t *testing.T) {
	r := rules(t)
	allowed := (*breakwaterv1.Entitlements).GetFirewallEntries
	for _, test := range []struct {
		plan     string
		count    int
		required string
		fine     bool
	}{
		{"free", 10, "", true},
		{"free", 11, "pro", false},
		{"free", 101, "business", false},
		{"enterprise", 10_001, "", false},
	} {
		got := entitle.Exceeds(r.Plans, test.plan, test.count, allowed)
		if (got == nil) != test.fine || got != nil && got.RequiredPlan != test.required {
			t.Errorf("%s with %d: %+v", test.plan, test.count, got)
		}
	}
}
