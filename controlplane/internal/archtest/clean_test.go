package archtest

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stains are what may not be left in any text file. They are put together from
// pieces, so that this file does not stain itself.
var stains = []struct {
	pattern *regexp.Regexp
	reason  string
}{
	{
		regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`),
		"work that is postponed belongs in an issue; code that is not done is not merged",
	},
	{
		regexp.MustCompile("(?m)(^|[\\s\"'`(=:,])/(work|ro" + "ot|ho" + "me|Users|mnt)/[a-zA-Z0-9._-]"),
		"a path of one person's machine tells readers nothing",
	},
	{
		regexp.MustCompile(`(?m)^(<{7}|>{7}|={7})( |$)`),
		"a merge was not finished",
	},
}

// maxTextSize leaves out data files, which no person writes.
const maxTextSize = 1 << 20

// TestClean looks at every text file of the tree, not only at Go.
func TestClean(t *testing.T) {
	top, seen := root(t), 0
	walk(t, func(name string) {
		if slices.Contains([]string{"go.sum", "LICENSE"}, path.Base(name)) || strings.Contains(name, "/testdata/fuzz/") {
			return
		}
		full := filepath.Join(top, filepath.FromSlash(name))
		info, err := os.Stat(full)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxTextSize {
			return // Gone meanwhile, or nothing that a person wrote.
		}
		text, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return
		}
		seen++
		// Most files have no stain, and one look at them all is much faster than
		// many at their lines.
		if len(stainsOf(string(text))) == 0 {
			return
		}
		for number, line := range strings.Split(string(text), "\n") {
			for _, reason := range stainsOf(line) {
				t.Errorf("%s:%d: %s", name, number+1, reason)
			}
		}
	})
	if seen < 20 {
		t.Fatalf("only %d text files were found; the walk is broken", seen)
	}
}

func stainsOf(line string) []string {
	var found []string
	for _, stain := range stains {
		if match := stain.pattern.FindString(line); match != "" {
			found = append(found, strings.TrimSpace(match)+": "+stain.reason)
		}
	}
	return found
}

func TestStainsOf(t *testing.T) {
	for line, want := range map[string]int{
		"// TO" + "DO: later":          1,
		"// fix this FIX" + "ME":       1,
		"x := \"/ho" + "me/ann/file\"": 1,
		"cd /ro" + "ot/project":        1,
		"<<<<<<< ours":                 1,
		"the wave/ro" + "ot/branch":    0,
		"======== a heading":           0,
		"a method to do it":            0,
		"/healthz":                     0,
	} {
		if got := stainsOf(line); len(got) != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}
