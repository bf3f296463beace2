package permission_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
)

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		pattern, p string
		want       bool
	}{
		{"*", "sites.get", true},
		{"*", "sites.*", true},
		{"*", "*", true},
		{"*", "members.impersonate", false},
		{"members.*", "members.impersonate", false},
		{"members.impersonate", "members.impersonate", true},
		{"members.*", "members.manageOwners", true},
		{"sites.*", "sites.get", true},
		{"sites.*", "sites.*", true},
		{"sites.*", "sitesx.get", false},
		{"sites.*", "*", false},
		{"sites.get", "sites.*", false},
		{"sites.get", "sites.get", true},
		{"sites.get", "sites.getAll", false},
		{"", "sites.get", false},
		{".*", "sites.get", false},
	} {
		if got := permission.Covers(tc.pattern, tc.p); got != tc.want {
			t.Errorf("Covers(%q, %q) = %v", tc.pattern, tc.p, got)
		}
	}
}

var drawPattern = rapid.SampledFrom([]string{
	"*", "sites.*", "sites.get", "sites.list", "members.*", "members.get", "members.impersonate",
	"tokens.*", "tokens.create", "members.manageOwners",
})

// concrete are permissions to try patterns on.
var concrete = []string{
	"sites.get", "sites.list", "members.get", "members.impersonate", "tokens.create",
	"members.manageOwners", "other.verb",
}

func TestIntersectIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(drawPattern, 0, 4).Draw(t, "a")
		b := rapid.SliceOfN(drawPattern, 0, 4).Draw(t, "b")
		both := permission.Intersect(a, b)
		for _, p := range concrete {
			want := permission.Granted(a, p) && permission.Granted(b, p)
			if got := permission.Granted(both, p); got != want {
				t.Fatalf("%v and %v leave %v, which grants %s: %v", a, b, both, p, got)
			}
		}
	})
}

func TestMissingIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := rapid.SliceOfN(drawPattern, 0, 4).Draw(t, "have")
		want := rapid.SliceOfN(drawPattern, 0, 4).Draw(t, "want")
		if len(permission.Missing(have, want)) > 0 {
			return
		}
		for _, p := range concrete {
			if permission.Granted(want, p) && !permission.Granted(have, p) {
				t.Fatalf("%v was taken to cover %v, but not %s", have, want, p)
			}
		}
	})
}

func TestSites(t *testing.T) {
	a, b, ab := []string{"a.test"}, []string{"b.test"}, []string{"a.test", "b.test"}
	for _, tc := range []struct {
		inner, outer []string
		want         bool
	}{
		{nil, nil, true},
		{a, nil, true},
		{nil, a, false},
		{a, ab, true},
		{ab, a, false},
		{b, a, false},
	} {
		if got := permission.SitesWithin(tc.inner, tc.outer); got != tc.want {
			t.Errorf("SitesWithin(%v, %v) = %v", tc.inner, tc.outer, got)
		}
	}
	if _, ok := permission.IntersectSites(a, b); ok {
		t.Error("disjoint limits leave something")
	}
	if sites, ok := permission.IntersectSites(ab, b); !ok || !slices.Equal(sites, b) {
		t.Errorf("IntersectSites = %v, %v", sites, ok)
	}
	if sites, ok := permission.IntersectSites(nil, nil); !ok || sites != nil {
		t.Errorf("IntersectSites = %v, %v", sites, ok)
	}
}

// TestRoles states in full who may do what. O, A, E, B, V are the roles that may.
func TestRoles(t *testing.T) {
	letters := map[byte]breakwaterv1.Member_Role{
		'O': breakwaterv1.Member_OWNER, 'A': breakwaterv1.Member_ADMIN, 'E': breakwaterv1.Member_EDITOR,
		'B': breakwaterv1.Member_BILLING, 'V': breakwaterv1.Member_VIEWER,
	}
	for p, who := range map[string]string{
		"accounts.get": "OAEBV", "accounts.list": "OAEBV", "accounts.update": "OA",
		"accounts.delete": "O", "accounts.undelete": "OA",

		"members.get": "OABV", "members.list": "OABV", "members.create": "OA",
		"members.update": "OA", "members.delete": "OA", permission.ManageOwners: "O",
		permission.Impersonate: "",

		"tokens.get": "OAB", "tokens.list": "OAB", "tokens.create": "OA", "tokens.roll": "OA", "tokens.delete": "OA",
		"auditEvents.list": "OAB", "auditEvents.verify": "OAB", "auditEvents.export": "OAB",

		"sites.get": "OAEBV", "sites.list": "OAEBV", "sites.watch": "OAEBV",
		"sites.create": "OA", "sites.delete": "OA", "sites.undelete": "OA",
		"sites.update": "OAE", "sites.pause": "OAE", "sites.resume": "OAE", "sites.checkActivation": "OAE",
		"sites.purgeCache": "OAE", "sites.configure": "OAE", "sites.rollback": "OAE",
		"versions.get": "OAEBV", "versions.list": "OAEBV", "versions.diff": "OAEBV",
		"propagation.get": "OAEBV", "propagation.wait": "OAEBV", "propagation.retry": "OAE",
		"settings.get": "OAEBV", "settings.update": "OAE",
		"threatSettings.get": "OAEBV", "threatSettings.update": "OAE",
		"apps.get": "OAEBV", "apps.list": "OAEBV", "apps.update": "OAE",
		"dnsRecords.get": "OAEBV", "dnsRecords.list": "OAEBV", "dnsRecords.export": "OAEBV",
		"dnsRecords.create": "OAE", "dnsRecords.update": "OAE", "dnsRecords.delete": "OAE",
		"dnsRecords.import": "OAE", "dnsRecords.batch": "OAE", "dnsRecords.scan": "OAE",
		"threatEvents.list": "OAEBV", "analytics.get": "OAEBV",

		"subscription.get": "OABV", "subscription.change": "OAB", "subscription.cancel": "OAB",
		"billing.get": "OABV", "billing.update": "OAB", "invoices.list": "OABV",
		"alertPolicies.list": "OABV", "alertPolicies.create": "OA",

		"somethingNew.update": "O",
	} {
		for letter, role := range letters {
			want := strings.IndexByte(who, letter) >= 0
			if got := permission.Granted(permission.OfRole(role), p); got != want {
				t.Errorf("%s may %s: %v, want %v", role, p, got, want)
			}
		}
	}
	if got := permission.OfRole(breakwaterv1.Member_ROLE_UNSPECIFIED); len(got) != 0 {
		t.Errorf("no role may %v", got)
	}
}
