package call_test

import (
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
)

// TestEtag states which current tag a change meets that comes with one in the request, one
// in If-Match, or both.
func TestEtag(t *testing.T) {
	for _, tc := range []struct {
		request, header string
		met             string // the tags of a and b that are met
	}{
		{"", "", "ab"},
		{"a", "", "a"},
		{"", "a", "a"},
		{"a", "a", "a"},
		{`"a"`, `W/"a"`, "a"},
		{"a", "b", ""},
		{"b", `"a"`, ""},
		{"*", "", "ab"},
		{"*", "a", "a"},
		{"a", "*", "a"},
	} {
		got := call.Info{IfMatch: tc.header}.Etag(tc.request)
		met := ""
		for _, current := range []string{"a", "b"} {
			if got == "" || got == current {
				met += current
			}
		}
		if met != tc.met {
			t.Errorf("%q and If-Match %q: met by %q, want %q", tc.request, tc.header, met, tc.met)
		}
	}
}
