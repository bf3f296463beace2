package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func execute(ctx context.Context, args ...string) error {
	cmd := command() //nolint:contextcheck // cobra hands it the context of ExecuteContext
	cmd.SetArgs(args)
	return cmd.ExecuteContext(ctx)
}

func trust(t *testing.T) string {
	t.Helper()
	key, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := wire.EncodePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRefuses(t *testing.T) {
	file, dir := trust(t), t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	needed := []string{"--dc", "SJC", "--server", "sjc-1", "--etcd", "http://127.0.0.1:1", "--data-dir", dir}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing":          {nil, []string{"--dc, --server, --trust, --etcd must be given"}},
		"no certificate":   {append([]string{"--trust", file, "--report", "x:1"}, needed...), []string{"--report-cert and --report-key must be given"}},
		"no key in a file": {append([]string{"--trust", empty}, needed...), []string{"--trust", "no public key"}},
		"no such file":     {append([]string{"--trust", file + ".not"}, needed...), []string{"--trust", "no such file"}},
		"level":            {append([]string{"--trust", file, "--log-level", "loud"}, needed...), []string{"--log-level"}},
		"format":           {append([]string{"--trust", file, "--log-format", "loud"}, needed...), []string{"--log-format"}},
		"argument":         {append([]string{"--trust", file, "more"}, needed...), []string{"unknown command"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := execute(t.Context(), c.args...)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
		})
	}
}

// With nothing else up it runs, and stops in good order when it is told to.
func TestRunsAlone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir, file := filepath.Join(t.TempDir(), "data"), trust(t)
	done := make(chan error, 1)
	go func() {
		done <- execute(ctx, "--dc", "sjc", "--server", "sjc-1", "--etcd", "http://127.0.0.1:1", "--trust", file,
			"--data-dir", dir, "--log-level", "error")
	}()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "serve")); err != nil {
		t.Error(err)
	}
}
