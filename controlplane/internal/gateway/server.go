package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of [NewServer].
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// NewServer returns a server with bounds on what a client may hold: 5 s to send its header,
// 60 s for the whole request, 64 KiB of header, 2 min idle. Writes are bounded by the
// handlers, because streams outlast any bound here. Requests have ctx as their parent.
func NewServer(ctx context.Context, h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
