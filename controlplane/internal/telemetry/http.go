package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// HTTP counts the requests that next answers.
func (m *Metrics) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requestsRunning.Inc()
		defer m.requestsRunning.Dec()
		rec := &recorder{ResponseWriter: w}
		began := time.Now()
		defer func() {
			method := knownMethod(r.Method)
			m.requests.WithLabelValues(method, strconv.Itoa(rec.status())).Inc()
			m.requestSeconds.WithLabelValues(method).Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(rec, r)
	})
}

// AccessLog logs the requests that next answers: method, path, status, bytes, time and the
// request's ID. Queries are left out, because filters hold what customers look for. Server
// errors are warnings, probes are for debugging, all else is information.
func AccessLog(logger *slog.Logger, requestID func(context.Context) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		began := time.Now()
		// Deferred, because a handler may end by a panic.
		defer func(ctx context.Context) {
			logger.LogAttrs(ctx, levelOf(r.URL.Path, rec.status()), "http request",
				slog.String("http_method", knownMethod(r.Method)), slog.String("path", r.URL.Path),
				slog.Int("status", rec.status()), slog.Int64("bytes", rec.bytes),
				slog.Duration("took", time.Since(began)), slog.String("remote", r.RemoteAddr),
				slog.String("request_id", requestID(ctx)))
		}(r.Context())
		next.ServeHTTP(rec, r)
	})
}

// levelOf is how loudly a request is logged. Probes come every few seconds, and that a server
// is not ready while it starts is as it should be.
func levelOf(path string, status int) slog.Level {
	switch {
	case path == "/healthz" || path == "/readyz":
		return slog.LevelDebug
	case status >= http.StatusInternalServerError:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
}

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= http.StatusOK {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Write implements io.Writer.
func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find Flush and deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// knownMethod keeps a client from making up values of a label.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
