package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestValueNames: what a flag's description has in backquotes is the name of its value, and
// that is one word.
func TestValueNames(t *testing.T) {
	command().Flags().VisitAll(func(f *pflag.Flag) {
		if name, _ := pflag.UnquoteUsage(f); strings.Contains(name, " ") {
			t.Errorf("the value of --%s is called %q", f.Name, name)
		}
	})
}
