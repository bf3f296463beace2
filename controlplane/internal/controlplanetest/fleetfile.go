package controlplanetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

// SmallFleet runs only the first so many of the built-in data centers, for tests that run
// several control planes and need no more than one data center a wave. Six give every
// channel its waves.
func SmallFleet(t testing.TB, dataCenters int) Option {
	t.Helper()
	all, err := fleetdata.Load()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(all[:dataCenters])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fleet.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *server.Config) { c.FleetFile = path }
}
