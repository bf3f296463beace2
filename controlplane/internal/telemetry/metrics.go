package telemetry

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// latencyBuckets are in seconds: from a cache hit to the longest call.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// Metrics is a registry with what every server counts: Go, the process, its build, calls by
// gRPC and by HTTP. Rooms register their own collectors beside it.
type Metrics struct {
	registry *prometheus.Registry

	calls        *prometheus.CounterVec
	callSeconds  *prometheus.HistogramVec
	callsRunning *prometheus.GaugeVec
	messages     *prometheus.CounterVec

	requests        *prometheus.CounterVec
	requestSeconds  *prometheus.HistogramVec
	requestsRunning prometheus.Gauge
}

// NewMetrics returns a registry of its own; version is the program's.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_rpc_calls_total", Help: "Calls that ended, by gRPC method and code.",
		}, []string{"method", "code"}),
		callSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "breakwater_rpc_call_seconds", Help: "How long unary calls took.", Buckets: latencyBuckets,
		}, []string{"method"}),
		callsRunning: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breakwater_rpc_calls_running", Help: "Calls that run now, by kind: unary or stream.",
		}, []string{"kind"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_rpc_stream_messages_total", Help: "Messages on streams, by method and direction.",
		}, []string{"method", "direction"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_http_requests_total", Help: "HTTP requests that were answered, by method and status.",
		}, []string{"method", "code"}),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "breakwater_http_request_seconds", Help: "How long HTTP requests took, streams too.", Buckets: latencyBuckets,
		}, []string{"method"}),
		requestsRunning: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "breakwater_http_requests_running", Help: "HTTP requests that run now.",
		}),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": goVersion()},
	}, func() float64 { return 1 })
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
		m.calls, m.callSeconds, m.callsRunning, m.messages, m.requests, m.requestSeconds, m.requestsRunning,
	)
	return m
}

func goVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.GoVersion
}

// Registry is where rooms register their collectors.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler answers for /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: 4})
}

// Unary counts unary calls. It belongs outside of all that may refuse a call.
func (m *Metrics) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		running := m.callsRunning.WithLabelValues("unary")
		running.Inc()
		defer running.Dec()
		began := time.Now()
		resp, err := handler(ctx, req)
		method := strings.TrimPrefix(info.FullMethod, "/")
		m.calls.WithLabelValues(method, status.Code(err).String()).Inc()
		m.callSeconds.WithLabelValues(method).Observe(time.Since(began).Seconds())
		return resp, err
	}
}

// Stream counts streams and their messages.
func (m *Metrics) Stream() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		running := m.callsRunning.WithLabelValues("stream")
		running.Inc()
		defer running.Dec()
		method := strings.TrimPrefix(info.FullMethod, "/")
		err := handler(srv, &countingStream{
			ServerStream: ss,
			sent:         m.messages.WithLabelValues(method, "sent"), received: m.messages.WithLabelValues(method, "received"),
		})
		m.calls.WithLabelValues(method, status.Code(err).String()).Inc()
		return err
	}
}

type countingStream struct {
	grpc.ServerStream
	sent, received prometheus.Counter
}

// SendMsg implements grpc.ServerStream.
func (s *countingStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.sent.Inc()
	}
	return err
}

// RecvMsg implements grpc.ServerStream.
func (s *countingStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.received.Inc()
	}
	return err
}
