package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// floors are the oldest releases that may be linked.
var floors = []struct{ tree, version, reason string }{
	{"go.etcd.io/etcd/api", "v3.7.1", "CVE-2026-33413 and others"},
	{"go.etcd.io/etcd/client", "v3.7.1", "CVE-2026-33413 and others"},
	{"go.etcd.io/etcd/pkg", "v3.7.1", "CVE-2026-33413 and others"},
	{"go.etcd.io/etcd/server", "v3.7.1", "CVE-2026-33413 and others"},
	{"google.golang.org/grpc", "v1.82.1", "authorisation and resource exhaustion fixes"},
}

var requirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?([a-z0-9.\-]+\.[a-z]+/\S+)\s+(v\d+\.\d+\.\d+\S*)`)

// TestVersionFloors checks that every floor is met by a requirement that is
// really there, and that nothing is replaced behind its back.
func TestVersionFloors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^replace\b`).Match(text) {
		t.Error("go.mod replaces a module: users of the module would not get the replacement")
	}
	for _, floor := range floors {
		found := false
		for _, match := range requirement.FindAllStringSubmatch(string(text), -1) {
			// Below the tree there may be other modules with numbers of their own;
			// only major version suffixes and etcd's client/pkg belong to it.
			if match[1] != floor.tree && !strings.HasPrefix(match[1], floor.tree+"/v") &&
				match[1] != floor.tree+"/pkg/v3" {
				continue
			}
			found = true
			if older(match[2], floor.version) {
				t.Errorf("%s %s is older than %s: %s", match[1], match[2], floor.version, floor.reason)
			}
		}
		if !found {
			t.Errorf("go.mod does not require %s", floor.tree)
		}
	}
}

// older compares the numbers of two versions; a pre-release counts as its
// release's predecessor.
func older(version, floor string) bool {
	var have, want [3]int
	parse := func(text string, to *[3]int) {
		_, _ = fmt.Sscanf(text, "v%d.%d.%d", &to[0], &to[1], &to[2])
	}
	parse(version, &have)
	parse(floor, &want)
	for i := range have {
		if have[i] != want[i] {
			return have[i] < want[i]
		}
	}
	return strings.Contains(version, "-")
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		version, floor string
		want           bool
	}{
		{"v3.7.1", "v3.7.1", false},
		{"v3.7.0", "v3.7.1", true},
		{"v3.10.0", "v3.7.1", false},
		{"v2.9.9", "v3.7.1", true},
		{"v3.7.1-rc.0", "v3.7.1", true},
		{"v3.7.2-rc.0", "v3.7.1", false},
	} {
		if got := older(test.version, test.floor); got != test.want {
			t.Errorf("older(%s, %s) = %t", test.version, test.floor, got)
		}
	}
}
