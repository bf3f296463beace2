package masks

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"pgregory.net/rapid"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func unmarshal[M proto.Message](t *testing.T, into M, text string) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return into
}

func mask(paths string) *fieldmaskpb.FieldMask {
	switch paths {
	case "none":
		return nil
	case "":
		return &fieldmaskpb.FieldMask{}
	}
	return &fieldmaskpb.FieldMask{Paths: strings.Split(paths, ",")}
}

func TestApply(t *testing.T) {
	const settings = `{"name":"n","cacheLevel":"STANDARD","browserTtlSeconds":60,"hsts":{"enabled":true,"maxAgeSeconds":5},"etag":"e","version":"4"}`
	const site = `{"name":"n","domain":"shop.test","uid":"u","labels":{"a":"1","b":"2"},"origin":{"address":"192.0.2.1","port":80}}`
	const app = `{"name":"n","enabled":true,"settings":{"x":1,"y":{"z":2}}}`
	for _, test := range []struct {
		name            string
		into            proto.Message
		dst, src, paths string
		want, changed   string
	}{
		{
			"no mask merges what is set", &breakwaterv1.Settings{}, settings,
			`{"name":"other","browserTtlSeconds":9,"hsts":{"maxAgeSeconds":7},"etag":"f","version":"9"}`, "none",
			`{"name":"n","cacheLevel":"STANDARD","browserTtlSeconds":9,"hsts":{"enabled":true,"maxAgeSeconds":7},"etag":"e","version":"4"}`,
			"browserTtlSeconds hsts.maxAgeSeconds",
		},
		{"empty mask changes nothing", &breakwaterv1.Settings{}, settings, `{"browserTtlSeconds":9}`, "", settings, ""},
		{"empty message sets nothing", &breakwaterv1.Settings{}, settings, `{"hsts":{}}`, "none", settings, ""},
		{
			"star replaces what may be set", &breakwaterv1.Settings{}, settings, `{"tlsMode":"STRICT"}`, "*",
			`{"name":"n","tlsMode":"STRICT","etag":"e","version":"4"}`,
			"cacheLevel browserTtlSeconds tlsMode hsts.enabled hsts.maxAgeSeconds",
		},
		{
			"a zero value clears", &breakwaterv1.Settings{}, settings, `{}`, "browser_ttl_seconds,hsts.enabled",
			`{"name":"n","cacheLevel":"STANDARD","hsts":{"maxAgeSeconds":5},"etag":"e","version":"4"}`,
			"browserTtlSeconds hsts.enabled",
		},
		{
			"a message named whole is replaced", &breakwaterv1.Settings{}, settings, `{"hsts":{"preload":true}}`, "hsts",
			`{"name":"n","cacheLevel":"STANDARD","browserTtlSeconds":60,"hsts":{"preload":true},"etag":"e","version":"4"}`,
			"hsts.enabled hsts.maxAgeSeconds hsts.preload",
		},
		{
			"and cleared", &breakwaterv1.Settings{}, settings, `{}`, "hsts",
			`{"name":"n","cacheLevel":"STANDARD","browserTtlSeconds":60,"etag":"e","version":"4"}`,
			"hsts.enabled hsts.maxAgeSeconds",
		},
		{
			"the wider of two paths wins", &breakwaterv1.Settings{}, settings, `{"hsts":{"preload":true}}`, "hsts.preload,hsts,hsts.enabled",
			`{"name":"n","cacheLevel":"STANDARD","browserTtlSeconds":60,"hsts":{"preload":true},"etag":"e","version":"4"}`,
			"hsts.enabled hsts.maxAgeSeconds hsts.preload",
		},
		{"outputs are ignored when named", &breakwaterv1.Settings{}, settings, `{"name":"x","etag":"x","version":"8"}`, "name,etag,version", settings, ""},
		{"equal values are no change", &breakwaterv1.Settings{}, settings, settings, "*", settings, ""},
		{
			"a message comes into being", &breakwaterv1.Settings{}, `{}`, `{"hsts":{"enabled":true}}`, "hsts.enabled",
			`{"hsts":{"enabled":true}}`, "hsts.enabled",
		},
		{"a message set empty is set", &breakwaterv1.Settings{}, `{}`, `{"hsts":{}}`, "hsts", `{"hsts":{}}`, "hsts"},
		{"a field of no message is not set", &breakwaterv1.Settings{}, `{}`, `{"hsts":{"enabled":true}}`, "hsts.preload", `{}`, ""},
		{
			"maps are replaced whole", &breakwaterv1.Site{}, site, `{"labels":{"a":"1","c":"3"}}`, "labels",
			`{"name":"n","domain":"shop.test","uid":"u","labels":{"a":"1","c":"3"},"origin":{"address":"192.0.2.1","port":80}}`, "labels",
		},
		{
			"immutable may be repeated", &breakwaterv1.Site{}, site, `{"domain":"SHOP.test","origin":{"port":81}}`, "none",
			`{"name":"n","domain":"SHOP.test","uid":"u","labels":{"a":"1","b":"2"},"origin":{"address":"192.0.2.1","port":81}}`, "origin.port",
		},
		{
			"star leaves immutable alone", &breakwaterv1.Site{}, site, `{"origin":{"port":81}}`, "*",
			`{"name":"n","domain":"shop.test","uid":"u","origin":{"port":81}}`, "origin.address origin.port labels",
		},
		{
			"whole widens the mask", &breakwaterv1.SiteApp{}, app, `{"settings":{"y":1}}`, "settings.x",
			`{"name":"n","enabled":true,"settings":{"y":1}}`, "settings",
		},
		{
			"whole widens what is set", &breakwaterv1.SiteApp{}, app, `{"settings":{"y":1}}`, "none",
			`{"name":"n","enabled":true,"settings":{"y":1}}`, "settings",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dst := unmarshal(t, proto.Clone(test.into), test.dst)
			src := unmarshal(t, proto.Clone(test.into), test.src)
			want := unmarshal(t, proto.Clone(test.into), test.want)
			if site, ok := want.(*breakwaterv1.Site); ok {
				// Whatever the spelling, the stored one stays.
				site.Domain = "shop.test"
			}
			before := proto.Clone(src)
			changed, err := Apply(dst, src, mask(test.paths), Options{
				Whole: []string{"settings"},
				Same:  func(_, a, b string) bool { return strings.EqualFold(a, b) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(dst, want) {
				t.Errorf("got  %v\nwant %v", dst, want)
			}
			if got := strings.Join(changed, " "); got != test.changed {
				t.Errorf("changed %q, want %q", got, test.changed)
			}
			if !proto.Equal(src, before) {
				t.Error("the update itself was changed")
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	const site = `{"domain":"shop.test","setup":"FULL","labels":{"a":"1"}}`
	for _, test := range []struct{ src, paths, fields string }{
		{`{}`, "nope", "updateMask"},
		{`{}`, "origin.nope,origin.port,nope", "updateMask updateMask"},
		{`{}`, "*,nope", "updateMask"},
		{`{}`, "labels.a", "updateMask"},
		{`{}`, "nameServers.0", "updateMask"},
		{`{}`, "createTime.seconds", "updateMask"},
		{`{}`, ",", "updateMask updateMask"},
		{`{}`, "domain", "domain"},
		{`{"domain":"b.test","setup":"PARTIAL"}`, "none", "domain setup"},
		{`{"domain":"b.test"}`, "*", "domain"},
		{`{}`, strings.Repeat("domain,", maxPaths) + "domain", "updateMask"},
		{`{}`, strings.Repeat("x", maxPath+1), "updateMask"},
	} {
		dst := unmarshal(t, &breakwaterv1.Site{}, site)
		src := unmarshal(t, &breakwaterv1.Site{}, test.src)
		_, err := Apply(dst, src, mask(test.paths), Options{})
		var e *rpcerr.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: got %v", test.paths, err)
			continue
		}
		var fields []string
		for _, v := range e.Violations {
			fields = append(fields, v.Field)
		}
		if got := strings.Join(fields, " "); got != test.fields {
			t.Errorf("%q: got violations of %q, want %q", test.paths, got, test.fields)
		}
		if !proto.Equal(dst, unmarshal(t, &breakwaterv1.Site{}, site)) {
			t.Errorf("%q: changed in spite of the error", test.paths)
		}
	}
	if _, err := Apply(&breakwaterv1.Site{}, &breakwaterv1.Account{}, nil, Options{}); err == nil {
		t.Error("took an update of another type")
	}
}

func TestIgnore(t *testing.T) {
	dst := &breakwaterv1.Site{Origin: &breakwaterv1.Origin{Port: 80}}
	src := &breakwaterv1.Site{Plan: "x", Origin: &breakwaterv1.Origin{Port: 81, Address: "a"}}
	changed, err := Apply(dst, src, nil, Options{Ignore: []string{"origin.port"}})
	if err != nil || !slices.Equal(changed, []string{"origin.address"}) || dst.GetOrigin().GetPort() != 80 {
		t.Errorf("got %v, %v, %v", dst, changed, err)
	}
}

func TestSub(t *testing.T) {
	for _, test := range []struct{ paths, field, want string }{
		{"none", "settings", "none"},
		{"", "settings", ""},
		{"*", "settings", "*"},
		{"settings", "settings", "*"},
		{"settings.a,threatSettings.b,settings.c.d", "settings", "a,c.d"},
		{"settings.a,threatSettings.b,threat_settings.c", "threat_settings", "b,c"},
		{"settingsx.a", "settings", ""},
	} {
		got, want := Sub(mask(test.paths), test.field), mask(test.want)
		if (got == nil) != (want == nil) || !slices.Equal(got.GetPaths(), want.GetPaths()) {
			t.Errorf("Sub(%q, %q) = %v, want %v", test.paths, test.field, got, want)
		}
	}
	md := (&breakwaterv1.ConfigureSiteRequest{}).ProtoReflect().Descriptor()
	if err := Check(md, mask("settings.cacheLevel,threat_settings,*"), Options{}); err != nil {
		t.Error(err)
	}
	if err := Check(md, mask("settings.nope"), Options{}); err == nil {
		t.Error("took a path to nowhere")
	}
}

// Applying twice changes nothing more, and only the reported paths differ.
func TestApplyProperties(t *testing.T) {
	paths := []string{"cacheLevel", "browser_ttl_seconds", "hsts", "hsts.enabled", "hsts.maxAgeSeconds", "name", "etag", "version", "tlsMode"}
	draw := func(rt *rapid.T, label string) *breakwaterv1.Settings {
		s := &breakwaterv1.Settings{
			Name:              rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, label+" name"),
			CacheLevel:        breakwaterv1.Settings_CacheLevel(rapid.IntRange(0, 2).Draw(rt, label+" level")),
			BrowserTtlSeconds: rapid.Int32Range(0, 2).Draw(rt, label+" ttl"),
		}
		if rapid.Bool().Draw(rt, label+" has hsts") {
			s.Hsts = &breakwaterv1.Settings_Hsts{
				Enabled: rapid.Bool().Draw(rt, label+" enabled"), MaxAgeSeconds: rapid.Int32Range(0, 2).Draw(rt, label+" age"),
			}
		}
		return s
	}
	rapid.Check(t, func(rt *rapid.T) {
		dst, src := draw(rt, "dst"), draw(rt, "src")
		var m *fieldmaskpb.FieldMask
		if rapid.Bool().Draw(rt, "masked") {
			m = &fieldmaskpb.FieldMask{Paths: rapid.SliceOf(rapid.SampledFrom(append(paths, "*"))).Draw(rt, "mask")}
		}
		before := proto.CloneOf(dst)
		changed, err := Apply(dst, src, m, Options{})
		if err != nil {
			rt.Fatal(err)
		}
		if len(changed) == 0 != proto.Equal(before, dst) {
			rt.Fatalf("reported %v between %v and %v", changed, before, dst)
		}
		if dst.GetName() != before.GetName() {
			rt.Fatal("changed the name")
		}
		again, err := Apply(dst, src, m, Options{})
		if err != nil || len(again) != 0 {
			rt.Fatalf("again: %v, %v", again, err)
		}
	})
}

func FuzzPaths(f *testing.F) {
	for _, seed := range []string{"*", "hsts.enabled", "a.b.c", "..", "labels.a", "origin"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, paths string) {
		dst := &breakwaterv1.Site{Origin: &breakwaterv1.Origin{Port: 1}}
		if _, err := Apply(dst, &breakwaterv1.Site{}, mask(paths), Options{}); err != nil && dst.GetOrigin().GetPort() != 1 {
			t.Error("changed in spite of the error")
		}
	})
}
