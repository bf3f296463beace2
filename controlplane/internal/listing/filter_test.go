package listing

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

func shop() *breakwaterv1.Site {
	return &breakwaterv1.Site{
		Name:        "accounts/acme/sites/shop.test",
		Domain:      "shop.test",
		Origin:      &breakwaterv1.Origin{Address: "192.0.2.1", Port: 8443},
		State:       breakwaterv1.Site_ACTIVE,
		StateReason: "Proof found",
		Paused:      true,
		Version:     7,
		NameServers: []string{"ada.ns.test", "bob.ns.test"},
		Labels:      map[string]string{"env": "prod", "team-x": "a b", "empty": ""},
		CreateTime:  timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)),
	}
}

func TestFilterMatches(t *testing.T) {
	site := shop()
	app := &breakwaterv1.SiteApp{Name: "accounts/acme/sites/shop.test/apps/x"}
	app.Settings, _ = structpb.NewStruct(map[string]any{
		"quality": 85.5, "mode": "lossy", "on": true, "none": nil, "deep": map[string]any{"er": "1"},
	})
	release := &opsv1.Release{Waves: []*opsv1.Release_Wave{
		{DataCenters: []string{"SJC"}, State: opsv1.Release_Wave_PASSED},
		{DataCenters: []string{"AMS", "NRT"}, State: opsv1.Release_Wave_BAKING},
	}}
	for _, test := range []struct {
		item   proto.Message
		filter string
		want   bool
	}{
		{site, ``, true},
		{site, `  `, true},
		{site, `domain = "shop.test"`, true},
		{site, `domain=shop.test`, true},
		{site, `domain != "shop.test"`, false},
		{site, `domain < "t" AND domain > "s"`, true},
		{site, `domain:SHOP`, true},
		{site, `domain:"nope"`, false},
		{site, `state = ACTIVE`, true},
		{site, `state = "ACTIVE"`, true},
		{site, `state:ACTIVE`, true},
		{site, `state != PENDING`, true},
		{site, `state = (PENDING OR ACTIVE)`, true},
		{site, `NOT state = ACTIVE`, false},
		{site, `-state = ACTIVE`, false},
		{site, `NOT (state = ACTIVE AND paused = false)`, true},
		{site, `paused = true`, true},
		{site, `paused != true`, false},
		{site, `version = 7`, true},
		{site, `version = "7"`, true},
		{site, `version >= 7 AND version <= 7`, true},
		{site, `version > 7 OR version < 7`, false},
		{site, `version > -1`, true},
		{site, `origin.port = 8443`, true},
		{site, `origin.address = "192.0.2.1"`, true},
		{site, `stateReason:proof`, true},
		{site, `state_reason = "Proof found"`, true},
		{site, `labels.env = "prod"`, true},
		{site, `labels.env = prod`, true},
		{site, `labels.env:prod`, true},
		{site, `labels.env:pro`, false},
		{site, `labels.env != "prod"`, false},
		{site, `labels.other != "prod"`, true},
		{site, `labels.other = ""`, false},
		{site, `labels."team-x" = "a b"`, true},
		{site, `labels:env`, true},
		{site, `labels:other`, false},
		{site, `labels:*`, true},
		{site, `labels.empty:*`, true},
		{site, `labels.other:*`, false},
		{site, `nameServers:"ada.ns.test"`, true},
		{site, `nameServers:"ada"`, false},
		{site, `nameServers:*`, true},
		{site, `createTime > "2026-03-01T12:00:00Z"`, true},
		{site, `createTime > "2026-03-01T13:00:00+01:00"`, true},
		{site, `createTime <= "2026-03-01T12:00:00.000000005Z"`, true},
		{site, `createTime < "2026-03-01T12:00:00Z"`, false},
		{site, `create_time:*`, true},
		{site, `deleteTime:*`, false},
		{site, `NOT deleteTime:*`, true},
		{site, `deleteTime < "2030-01-01T00:00:00Z"`, false},
		{site, `verification:*`, false},
		{site, `verification.type = "TXT"`, false},
		{site, `verification.type != "TXT"`, true},
		{site, `servingVersion:*`, false},
		// OR binds tighter than AND.
		{site, `paused = true OR paused = false AND domain = "other.test"`, false},
		{site, `paused = true (state = ACTIVE OR state = PENDING)`, true},
		{app, `settings.quality > 80`, true},
		{app, `settings.quality = "85.5"`, false},
		{app, `settings.mode = lossy`, true},
		{app, `settings.on = true`, true},
		{app, `settings.deep.er = 1`, true},
		{app, `settings.deep.no = 1`, false},
		{app, `settings.mode.no = 1`, false},
		{app, `settings.mode:*`, true},
		{app, `settings.none:*`, false},
		{app, `settings:*`, true},
		{release, `waves.dataCenters:"NRT"`, true},
		{release, `waves.dataCenters:"LAX"`, false},
		{release, `waves.state:BAKING`, true},
		{release, `waves.state:WAITING`, false},
	} {
		match, err := compile(test.item.ProtoReflect().Descriptor(), test.filter)
		if err != nil {
			t.Errorf("%s: %v", test.filter, err)
			continue
		}
		got := match == nil || match(test.item.ProtoReflect())
		if got != test.want {
			t.Errorf("%s: got %v, want %v", test.filter, got, test.want)
		}
	}
}

func TestFilterRefused(t *testing.T) {
	for _, test := range []struct{ filter, want string }{
		{`nope = 1`, `no field "nope"`},
		{`origin.nope = 1`, `no field "origin.nope"`},
		{`domain.nope = 1`, `"domain" has no fields`},
		{`state = NOPE`, "PENDING"},
		{`state > ACTIVE`, "no order"},
		{`paused = 1`, "true or false"},
		{`version = x`, "whole number"},
		{`createTime > 5`, "2006-01-02"},
		{`origin = "x"`, "not a single value"},
		{`nameServers = "x"`, "many values"},
		{`labels = "x"`, "many values"},
		{`shop`, "stands alone"},
		{`"shop"`, "stands alone"},
		{`domain`, "stands alone"},
		{`lower(domain) = "x"`, "function"},
		{`f(domain)`, "function"},
		{`domain = f(x)`, "not with a value"},
		{`"domain" = x`, "begin with a field"},
		{`domain = eu-west`, "needs quotes"},
		{`domain = `, "not a filter"},
		{`(domain = x`, "not a filter"},
		{`domain = "x`, "not a filter"},
		{"domain = \xff", "not a filter"},
		{`domain ~ x`, "stands alone"},
		{`domain ! x`, "not a filter"},
		{strings.Repeat("(", 30) + "domain = x" + strings.Repeat(")", 30), "deeper"},
		{strings.Repeat("paused = true ", 101), "more than 100"},
		{strings.Repeat("paused = true ", 200), "longer than"},
	} {
		_, err := compile(shop().ProtoReflect().Descriptor(), test.filter)
		if err == nil {
			t.Errorf("%s: accepted", test.filter)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %q, want it to say %q", test.filter, err, test.want)
		}
	}
}

// TestAbsentFields: a filter of what the list's items do not have is refused, not empty.
func TestAbsentFields(t *testing.T) {
	md := shop().ProtoReflect().Descriptor()
	for filter, refused := range map[string]bool{
		`origin.address = "x"`: true, `origin:*`: true, `NOT (paused = true OR origin.port > 1)`: true, `paused = true`: false,
	} {
		if _, err := compile(md, filter, "origin"); (err != nil) != refused || refused && !strings.Contains(err.Error(), "not in this list") {
			t.Errorf("%s: %v", filter, err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`state = ACTIVE`, `labels.env = "prod" AND NOT (paused = true)`, `a(b((c((`, `createTime > "2026-03-01T12:00:00Z"`,
		`-(((domain:x)))`, `labels."a\"b" != 'x'`, `version = 0x10 OR version = -.5`, `nameServers:*`,
	} {
		f.Add(seed)
	}
	site := shop().ProtoReflect()
	f.Fuzz(func(t *testing.T, filter string) {
		match, err := compile(site.Descriptor(), filter)
		if err == nil && match != nil {
			match(site)
			match((&breakwaterv1.Site{}).ProtoReflect())
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	site := shop().ProtoReflect()
	match, err := compile(site.Descriptor(), `state = ACTIVE AND labels.env = "prod" AND createTime > "2026-03-01T12:00:00Z"`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		match(site)
	}
}
