package ops_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/telemetry"
)

// The operators' log is the record of what operators do, however quiet the server is told to
// be.
func TestAuditIsWrittenWhateverTheLevel(t *testing.T) {
	w := newWorld(t)
	for _, level := range []string{"debug", "info", "warn", "error"} {
		var b bytes.Buffer
		log, err := telemetry.NewLogger(&b, "json", level)
		if err != nil {
			t.Fatal(err)
		}
		ops.Audit(w.as("ApproveRelease"), log, rolling, nil, slog.String("reason", "an attack"))
		if line := b.String(); !strings.Contains(line, `"audit":true`) || !strings.Contains(line, `"principal":"operator:ada"`) ||
			!strings.Contains(line, `"reason":"an attack"`) {
			t.Errorf("%s: %q", level, line)
		}
	}
}
