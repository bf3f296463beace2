package server

import (
	"context"
	"log/slog"
	"os"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/telemetry"
)

// observation is how the server is seen from outside: logs, metrics, traces.
type observation struct {
	log     *slog.Logger
	metrics *telemetry.Metrics
	tracing *telemetry.Tracing
}

func openTelemetry(ctx context.Context, c *Config) (*observation, error) {
	o := &observation{log: c.Logger, metrics: telemetry.NewMetrics(Version())}
	var err error
	if o.log == nil {
		if o.log, err = telemetry.NewLogger(os.Stderr, c.LogFormat, c.LogLevel); err != nil {
			return nil, err
		}
	}
	o.tracing, err = telemetry.StartTracing(ctx, telemetry.TraceConfig{
		Endpoint: c.OTLPEndpoint, Service: "breakwaterd", Version: Version(),
	})
	return o, err
}

// Close sends what is left of the traces.
func (o *observation) Close(ctx context.Context) error { return o.tracing.Close(ctx) }
