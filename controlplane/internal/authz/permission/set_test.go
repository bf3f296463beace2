package permission_test

import (
	"slices"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz/permission"
)

var few = permission.Set{"dnsRecords.get", "members.create", "sites.checkActivation", "sites.get", "sites.list"}

func TestSetHas(t *testing.T) {
	for p, want := range map[string]bool{
		"*": true, "sites.get": true, "sites.*": true, "alerts.*": true,
		"sites.gett": false, "sites.": false, "sites": false, "nonsense.*": false, "dataCenters.*": false, ".*": false, "": false,
	} {
		if got := few.Has(p); got != want {
			t.Errorf("has %q: %v", p, got)
		}
	}
	if got := few.Existing([]string{"*", "sites.diff", "sites.get", "tokens.*"}); !slices.Equal(got, []string{"*", "sites.get", "tokens.*"}) {
		t.Errorf("existing %v", got)
	}
}

func TestSetNear(t *testing.T) {
	for p, want := range map[string][]string{
		"sites.gett":            {"sites.get", "sites.list"},
		"site.get":              {"sites.get", "sites.list"},
		"dnsrecords.get":        {"dnsRecords.get"},
		"sites.checkactivation": {"sites.checkActivation"},
		"nothing.likeThatAtAll": nil,
	} {
		if got := few.Near(p); !slices.Equal(got, want) {
			t.Errorf("near %s: %v, want %v", p, got, want)
		}
	}
	if got := few.Near(string(make([]byte, 1<<20))); got != nil {
		t.Errorf("near a long one: %v", got)
	}
}
