package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What the README tells to type works, word for word: only the address and the data
// directory are others here.
func TestREADME(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "grep", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the tour needs %s", tool)
		}
	}
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	p := startDev(t, filepath.Join(t.TempDir(), "data"))
	const step = "\n=== step\n"
	var script strings.Builder
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	for _, b := range blocks {
		script.WriteString("printf '" + strings.ReplaceAll(step, "\n", `\n`) + "'\n" + b[1])
	}
	// What each block must print, in this order.
	want := [][]string{
		{`"name":\s*"accounts/acme"`, `"state":\s*"PENDING"`, `"nameServers":\s*\[\s*"[a-z]+\.ns\.`},
		{},
		{`"enabled":\s*true`, `"appliedDataCenters":\s*23\n"state":\s*"LIVE"\s*\z`},
		{`"requiredPlan":\s*"business"`, `"dueNow":.*"units":\s*"200"`, `"plan":\s*"business"`, `"enabled":\s*true`},
		{`"effect":\s*"REJECT"`, `"domain":\s*"bad\.test"`, `"reason":\s*"bug tour: refused`},
		{`"browserTtlSeconds":\s*300`, `"LIVE"`, `"document":\s*"site/bad\.test"`},
		{
			`^"number":\s*"\d+", *"parent":\s*"\d+", *"state":\s*"(ROLLING|LIVE|GOOD)"$`,
			`^"number":\s*"\d+", *"parent":\s*"\d+", *"state":\s*"ABANDONED"$`,
			`"state":\s*"HEALTHY"\n"state":\s*"HEALTHY"`, `"summary":\s*".+"`,
		},
	}
	if len(blocks) != len(want) {
		t.Fatalf("the tour has %d blocks of commands, this test knows %d", len(blocks), len(want))
	}
	commands := strings.NewReplacer("http://127.0.0.1:8080", p.base, "breakwater-data/", p.dir+"/").Replace(script.String())
	if strings.Contains(commands, ":8080") || strings.Contains(commands, "breakwater-data") {
		t.Fatalf("the tour names an address or directory that this test does not know:\n%s", commands)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", commands)
	var failure strings.Builder
	bash.Stderr = &failure
	out, err := bash.Output()
	if err != nil {
		t.Errorf("the tour fails: %v\n%s", err, failure.String())
	}
	steps := strings.Split(string(out), step)[1:]
	for i, patterns := range want {
		if i >= len(steps) {
			t.Fatalf("step %d of the tour did not begin; the one before printed\n%s", i+1, out)
		}
		rest := steps[i]
		for _, pattern := range patterns {
			at := regexp.MustCompile(`(?m)` + pattern).FindStringIndex(rest)
			if at == nil {
				t.Errorf("step %d prints no %s:\n%s", i+1, pattern, steps[i])
				break
			}
			rest = rest[at[1]:]
		}
	}
	p.stop()
}
