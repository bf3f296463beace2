package billing

import (
	"slices"
	"strings"
	"testing"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

func load(t *testing.T) *Plans {
	t.Helper()
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPrices(t *testing.T) {
	want := []struct {
		name  string
		units int64
	}{{"plans/free", 0}, {"plans/pro", 20}, {"plans/business", 200}, {"plans/enterprise", 3000}}
	all := load(t).All()
	if len(all) != len(want) {
		t.Fatalf("%d plans", len(all))
	}
	for i, w := range want {
		price := all[i].GetPrice()
		if all[i].GetName() != w.name || price.GetUnits() != w.units || price.GetNanos() != 0 || price.GetCurrencyCode() != "USD" {
			t.Errorf("plan %d is %s for %v", i, all[i].GetName(), price)
		}
	}
}

func TestAllows(t *testing.T) {
	p := load(t)
	for _, test := range []struct {
		plan, minimum string
		want          bool
	}{
		{"free", "", true},
		{"free", "free", true},
		{"free", "pro", false},
		{"business", "pro", true},
		{"enterprise", "enterprise", true},
		{"business", "enterprise", false},
		{"", "free", true},
		{"no-longer-sold", "free", true},
		{"no-longer-sold", "pro", false},
		{"enterprise", "unknown", false},
	} {
		if got := p.Allows(test.plan, test.minimum); got != test.want {
			t.Errorf("Allows(%q, %q) = %v", test.plan, test.minimum, got)
		}
	}
}

func TestLowestWith(t *testing.T) {
	p := load(t)
	more := func(n int32) func(*breakwaterv1.Entitlements) bool {
		return func(e *breakwaterv1.Entitlements) bool { return e.GetFirewallEntries() >= n }
	}
	for n, want := range map[int32]string{1: "free", 10: "free", 11: "pro", 101: "business", 10_000: "enterprise", 10_001: ""} {
		if got, ok := p.LowestWith(more(n)); got != want || ok != (want != "") {
			t.Errorf("%d entries: %q, %v", n, got, ok)
		}
	}
}

func TestUnknownPlanIsCheapest(t *testing.T) {
	p := load(t)
	if p.Cheapest() != "free" || p.Entitlements("gone") != p.Entitlements("free") {
		t.Error("a plan that is not known must have the cheapest plan's entitlements")
	}
	if _, ok := p.Get("gone"); ok {
		t.Error("a plan that is not sold was found")
	}
	if plan, ok := p.Get("pro"); !ok || plan.GetDisplayName() != "Pro" {
		t.Error("pro was not found")
	}
	if got := p.Highest("pro", "gone", "business", "free"); got != "business" {
		t.Errorf("highest is %s", got)
	}
	if got := p.Highest(); got != "free" {
		t.Errorf("highest of none is %s", got)
	}
}

func TestRefusedFiles(t *testing.T) {
	text := string(plansFile)
	for name, change := range map[string][2]string{
		"unknown field":       {`"priceCents": 0`, `"priceCents": 0, "colour": 1`},
		"unknown entitlement": {`"dnsRecords": 200`, `"dnsRecords": 200, "unicorns": 1`},
		"forgotten count":     {`"rateLimits": 5,`, ``},
		"no price":            {`"priceCents": 2000,`, ``},
		"not dearer":          {`"priceCents": 20000`, `"priceCents": 2000`},
		"takes away":          {`"purgesPerMinute": 600`, `"purgesPerMinute": 60`},
		"waits longer":        {`"activationRecheckSeconds": 60`, `"activationRecheckSeconds": 600`},
		"fewer kinds":         {`["email", "webhook", "slack"]`, `["webhook", "slack"]`},
		"twice":               {`"id": "pro"`, `"id": "free"`},
		"bad ID":              {`"id": "pro"`, `"id": "Pro plan"`},
		"percentage":          {`"slaPercent": 99.99`, `"slaPercent": 101`},
		"no currency":         {`"currency": "USD",`, ``},
		"no such currency":    {`"USD"`, `"usd"`},
		"no cents":            {`"USD"`, `"JPY"`},
		"text after":          {"\n}", "\n} []"},
	} {
		changed := strings.Replace(text, change[0], change[1], 1)
		if name == "text after" {
			changed = text + "[]"
		}
		if changed == text {
			t.Errorf("%s: the change changes nothing", name)
		}
		if _, err := parse([]byte(changed)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, empty := range []string{"", "[]", "{}", "null", `{"currency": "USD"}`} {
		if _, err := parse([]byte(empty)); err == nil {
			t.Errorf("%q: accepted", empty)
		}
	}
}

func TestMailIsForAll(t *testing.T) {
	for _, plan := range load(t).All() {
		if !slices.Contains(plan.GetEntitlements().GetAlertDestinationKinds(), "email") {
			t.Errorf("%s can't send mail", plan.GetName())
		}
	}
}
