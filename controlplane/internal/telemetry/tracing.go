package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc/stats"
)

// TraceConfig says where spans go.
type TraceConfig struct {
	// Endpoint is a collector that speaks OTLP by gRPC: `http://host:4317`, or `https://…`
	// for TLS. A bare `host:port` is TLS. Empty turns traces off.
	Endpoint string
	// Service and Version name the program in the spans.
	Service, Version string
	// SampleRatio is the share of traces that begin here and are kept, 0 to 1; a parent's
	// own decision comes first. Zero means all.
	SampleRatio float64
}

// Tracing makes spans of calls. The zero value and one without an endpoint make none.
type Tracing struct {
	provider *sdktrace.TracerProvider
}

// StartTracing connects to the collector, in the background: one that is down delays or
// loses spans and nothing else.
func StartTracing(ctx context.Context, cfg TraceConfig) (*Tracing, error) {
	if cfg.Endpoint == "" {
		return &Tracing{}, nil
	}
	option := otlptracegrpc.WithEndpoint(cfg.Endpoint)
	if strings.Contains(cfg.Endpoint, "://") {
		option = otlptracegrpc.WithEndpointURL(cfg.Endpoint)
	}
	exporter, err := otlptracegrpc.New(ctx, option)
	if err != nil {
		return nil, fmt.Errorf("telemetry: traces to %s: %w", redactText(cfg.Endpoint), err)
	}
	ratio := cfg.SampleRatio
	if ratio <= 0 || ratio > 1 {
		ratio = 1
	}
	return &Tracing{sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version))),
	)}, nil
}

// Enabled says whether spans are made.
func (t *Tracing) Enabled() bool { return t != nil && t.provider != nil }

// Provider is for spans of the program's own.
func (t *Tracing) Provider() trace.TracerProvider {
	if !t.Enabled() {
		return noop.NewTracerProvider()
	}
	return t.provider
}

// ServerHandler makes a span of every call that a gRPC server gets; nil without traces.
func (t *Tracing) ServerHandler() stats.Handler {
	if !t.Enabled() {
		return nil
	}
	return otelgrpc.NewServerHandler(t.options()...)
}

// ClientHandler makes a span of every call that a gRPC client makes; nil without traces. The
// gateway's in-process connection does without: it forwards the client's own trace context,
// which a span in between would have to know.
func (t *Tracing) ClientHandler() stats.Handler {
	if !t.Enabled() {
		return nil
	}
	return otelgrpc.NewClientHandler(t.options()...)
}

func (t *Tracing) options() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(t.provider),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return !strings.HasPrefix(info.FullMethodName, "/grpc.health.")
		}),
	}
}

// Close sends what is left, as far as ctx allows, and ends.
func (t *Tracing) Close(ctx context.Context) error {
	if !t.Enabled() {
		return nil
	}
	// What can't be sent is lost, and the program ends all the same.
	return errors.Join(t.provider.ForceFlush(ctx), t.provider.Shutdown(ctx))
}
