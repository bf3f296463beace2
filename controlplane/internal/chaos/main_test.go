package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// programs is the directory with the built programs.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "breakwater-chaos-")
	if err == nil {
		programs, err = dir, build(dir)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 1
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build builds what runs, with the race detector where the test has it: then the packages
// are compiled already, and races in the programs are found too.
func build(dir string) error {
	args := []string{"build"}
	if raceDetector {
		args = append(args, "-race")
	}
	const module = "github.com/breakwater-cdn/breakwater"
	for name, pkg := range map[string]string{
		"breakwaterd":     module + "/controlplane/cmd/breakwaterd",
		"breakwater-edge": module + "/sdk/cmd/breakwater-edge",
		"etcd":            "go.etcd.io/etcd/server/v3",
	} {
		cmd := exec.Command("go", append(args, "-o", filepath.Join(dir, name), pkg)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}
