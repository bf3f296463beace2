package telemetry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fakeStream struct {
	grpc.ServerStream
	left int
}

func (s *fakeStream) Context() context.Context    { return context.Background() }
func (s *fakeStream) SetHeader(metadata.MD) error { return nil }
func (s *fakeStream) SendMsg(any) error           { return nil }
func (s *fakeStream) RecvMsg(any) error {
	if s.left--; s.left < 0 {
		return io.EOF
	}
	return nil
}

func TestMetrics(t *testing.T) {
	m := NewMetrics("v9")
	info := &grpc.UnaryServerInfo{FullMethod: "/breakwater.v1.SiteService/GetSite"}
	for _, err := range []error{nil, nil, status.Error(codes.NotFound, "x"), errors.New("fault")} {
		_, got := m.Unary()(t.Context(), nil, info, func(context.Context, any) (any, error) { return nil, err })
		if !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	err := m.Stream()(nil, &fakeStream{left: 1}, &grpc.StreamServerInfo{FullMethod: "/s/Watch"}, func(_ any, ss grpc.ServerStream) error {
		for range 3 {
			if err := ss.SendMsg(nil); err != nil {
				return err
			}
		}
		for {
			if err := ss.RecvMsg(nil); err != nil {
				return status.Error(codes.Unavailable, "gone")
			}
		}
	})
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	var log bytes.Buffer
	handler := AccessLog(slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) string { return "r1" },
		m.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/good" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = io.WriteString(w, "hello")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		})))
	for _, r := range []*http.Request{
		httptest.NewRequest("POST", "/healthz", http.NoBody), httptest.NewRequest("POST", "/readyz", http.NoBody),
		httptest.NewRequest("GET", "/good?filter=private", http.NoBody), httptest.NewRequest("MADEUP", "/bad", http.NoBody),
	} {
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", http.NoBody))
	for _, want := range []string{
		`breakwater_build_info{go="go`, `version="v9"} 1`,
		`breakwater_rpc_calls_total{code="OK",method="breakwater.v1.SiteService/GetSite"} 2`,
		`breakwater_rpc_calls_total{code="NotFound",method="breakwater.v1.SiteService/GetSite"} 1`,
		`breakwater_rpc_calls_total{code="Unknown",method="breakwater.v1.SiteService/GetSite"} 1`,
		`breakwater_rpc_call_seconds_count{method="breakwater.v1.SiteService/GetSite"} 4`,
		`breakwater_rpc_calls_total{code="Unavailable",method="s/Watch"} 1`,
		`breakwater_rpc_stream_messages_total{direction="sent",method="s/Watch"} 3`,
		`breakwater_rpc_stream_messages_total{direction="received",method="s/Watch"} 1`,
		`breakwater_rpc_calls_running{kind="unary"} 0`,
		`breakwater_http_requests_total{code="200",method="GET"} 1`,
		`breakwater_http_requests_total{code="500",method="other"} 1`,
		`breakwater_http_requests_running 0`, "go_goroutines",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	for _, want := range []string{"level=INFO", "level=WARN", "path=/good status=200 bytes=5", "request_id=r1", "status=500"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "private") {
		t.Errorf("the query was logged: %s", log.String())
	}
	if strings.Contains(log.String(), "/healthz") || strings.Contains(log.String(), "/readyz") {
		t.Errorf("probes are as loud as requests: %s", log.String())
	}
}
