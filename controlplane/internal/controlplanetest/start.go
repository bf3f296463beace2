package controlplanetest

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
)

// ControlPlane is a running control plane.
type ControlPlane struct {
	t testing.TB
	// Config is what it runs with; change it between Stop and Start.
	Config *server.Config
	// Server is the running server; nil while stopped.
	Server *server.Server
	// Operator is the operators' token.
	Operator string

	// base is the address of the REST API.
	base string
	http *http.Client
}

// Option changes the configuration before the start.
type Option func(*server.Config)

// BakeScale multiplies every bake and soak.
func BakeScale(scale float64) Option { return func(c *server.Config) { c.BakeScale = scale } }

// DataDir keeps state in a folder of the test's own.
func DataDir(dir string) Option { return func(c *server.Config) { c.DataDir = dir } }

// StartTimeout bounds a start, and StopTimeout a stop, on a slow machine.
const (
	StartTimeout = 60 * time.Second
	StopTimeout  = 30 * time.Second
)

// Start starts a control plane, with bakes at a tenth of a development server's unless
// options say otherwise, and stops it when the test ends.
func Start(t testing.TB, options ...Option) *ControlPlane {
	t.Helper()
	cfg := server.DevConfig()
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	cfg.HTTP, cfg.GRPC = "127.0.0.1:0", "127.0.0.1:0"
	cfg.EtcdFast = true
	cfg.BakeScale = 0.1
	cfg.Logger = slog.New(slog.DiscardHandler)
	if os.Getenv("BREAKWATER_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for _, o := range options {
		o(cfg)
	}
	cp := &ControlPlane{t: t, Config: cfg}
	cp.Start()
	t.Cleanup(func() {
		if cp.Server != nil {
			cp.Stop()
		}
	})
	return cp
}

// For returns the same control plane for a subtest, which then fails in its own name. It
// can't be stopped through what is returned.
func (cp *ControlPlane) For(t testing.TB) *ControlPlane {
	t.Helper()
	sub := *cp
	sub.t = t
	return &sub
}

// Start starts the control plane again after Stop, on the same data.
func (cp *ControlPlane) Start() {
	cp.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	s, err := server.Start(ctx, cp.Config)
	if err != nil {
		cp.t.Fatalf("start: %v", err)
	}
	cp.Server, cp.http, cp.base = s, newHTTPClient(), "http://"+s.HTTPAddr()
	cp.Operator = operatorToken(cp.t, cp.Config.DataDir)
}

// Attach returns a control plane that another process runs, at an address such as
// `http://127.0.0.1:8080`, with its state in a data directory. It has no Server, and who
// attached it starts and stops it.
func Attach(t testing.TB, base, dataDir string) *ControlPlane {
	t.Helper()
	cp := &ControlPlane{t: t, base: base, http: newHTTPClient(), Operator: operatorToken(t, dataDir)}
	t.Cleanup(cp.http.CloseIdleConnections)
	return cp
}

func operatorToken(t testing.TB, dataDir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dataDir, "operator.token"))
	if err != nil {
		t.Fatalf("operator's token: %v", err)
	}
	return strings.TrimSpace(string(b))
}

// Stop stops the control plane cleanly.
func (cp *ControlPlane) Stop() {
	cp.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), StopTimeout)
	defer cancel()
	cp.http.CloseIdleConnections()
	if err := cp.Server.Close(ctx); err != nil {
		cp.t.Errorf("stop: %v", err)
	}
	cp.Server = nil
}
