package server

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
)

func TestParseOperators(t *testing.T) {
	mint := func() string {
		id, err := authn.NewID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := authn.Mint(authn.OperatorCredential, id, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	a, b := mint(), mint()
	for name, test := range map[string]struct{ text, want string }{
		"one, as ever":       {a + "\n", "-"},
		"one with a name":    {"ann " + a, "ann"},
		"two":                {"# staff\n\nann " + a + "\r\n  bob\t" + b + "\n", "ann bob"},
		"one without a name": {a + "\nbob " + b, "- bob"},
		"none":               {"# nobody\n", ""},
		"nameless twice":     {a + "\n" + b, ""},
		"a name twice":       {"ann " + a + "\nann " + b, ""},
		"a token twice":      {"ann " + a + "\nbob " + a, ""},
		"no token":           {"ann bwt_x", ""},
		"too much":           {"ann bob " + a, ""},
		"a bad name":         {"Ann/x " + a, ""},
	} {
		keys, err := parseOperators(test.text)
		var got []string
		for _, k := range keys {
			if k.Name == "" {
				k.Name = "-"
			}
			got = append(got, k.Name)
		}
		if strings.Join(got, " ") != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), a) || strings.Contains(err.Error(), b)) {
			t.Errorf("%s: the error tells a token", name)
		}
	}
}
