package telemetry

import (
	"context"
	"net"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

type fakeCollector struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (c *fakeCollector) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.got <- req
	return &collector.ExportTraceServiceResponse{}, nil
}

// serve runs a gRPC server until stop, or else until the test ends, and returns its address.
func serve(t *testing.T, register func(*grpc.Server), opts ...grpc.ServerOption) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	register(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	stop = sync.OnceFunc(func() {
		s.GracefulStop()
		<-done
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func TestTracing(t *testing.T) {
	c := &fakeCollector{got: make(chan *collector.ExportTraceServiceRequest, 10)}
	address, _ := serve(t, func(s *grpc.Server) { collector.RegisterTraceServiceServer(s, c) })
	tracing, err := StartTracing(t.Context(), TraceConfig{Endpoint: "http://" + address, Service: "breakwaterd", Version: "v9"})
	if err != nil {
		t.Fatal(err)
	}
	if !tracing.Enabled() || tracing.ClientHandler() == nil {
		t.Fatal("traces are off")
	}
	// Collector calls stand for the API's; health checks make no spans.
	api, stop := serve(t, func(s *grpc.Server) {
		collector.RegisterTraceServiceServer(s, &fakeCollector{got: make(chan *collector.ExportTraceServiceRequest, 1)})
		grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	}, grpc.StatsHandler(tracing.ServerHandler()))
	conn, err := grpc.NewClient(api, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := collector.NewTraceServiceClient(conn).Export(t.Context(), &collector.ExportTraceServiceRequest{}); err != nil {
		t.Fatal(err)
	}
	_, span := tracing.Provider().Tracer("test").Start(t.Context(), "own")
	span.End()
	// A span ends with its call on the server, which may be after the client's.
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := tracing.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(c.got)
	names := map[string]bool{}
	for req := range c.got {
		for _, r := range req.GetResourceSpans() {
			for _, s := range r.GetScopeSpans() {
				for _, span := range s.GetSpans() {
					names[span.GetName()] = true
				}
			}
		}
	}
	if !names["own"] || !names["opentelemetry.proto.collector.trace.v1.TraceService/Export"] || len(names) != 2 {
		t.Errorf("got spans %v", names)
	}
}

func TestTracingOff(t *testing.T) {
	tracing, err := StartTracing(t.Context(), TraceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range []*Tracing{tracing, nil} {
		if tr.Enabled() || tr.ServerHandler() != nil || tr.ClientHandler() != nil || tr.Close(t.Context()) != nil {
			t.Error("traces without an endpoint")
		}
		_, span := tr.Provider().Tracer("test").Start(t.Context(), "x")
		span.End()
	}
}
