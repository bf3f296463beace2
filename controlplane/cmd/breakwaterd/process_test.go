package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.remove()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// program is breakwaterd, built once for the tests that run it as a process. It has no race
// detector: the tests of its packages do.
var program built

type built struct {
	once sync.Once
	dir  string
	out  []byte
	err  error
}

func (b *built) path(t *testing.T) string {
	t.Helper()
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "breakwaterd"); b.err != nil { //nolint:usetesting // outlives the test that builds it
			return
		}
		b.out, b.err = exec.Command("go", "build", "-buildvcs=false", "-o", b.dir, ".").CombinedOutput()
	})
	if b.err != nil {
		t.Fatalf("go build: %v\n%s", b.err, b.out)
	}
	return filepath.Join(b.dir, "breakwaterd")
}

func (b *built) remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

// process is a running `breakwaterd dev`.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	// base is the address of the REST API, and dir the data directory.
	base, dir string
	// done is closed when all output was read; then Wait may be called.
	done chan struct{}
}

// startTimeout bounds how long a process may take until it says where it listens.
const startTimeout = 60 * time.Second

// startDev starts `breakwaterd dev` on free ports, and returns when it says that it takes
// requests. It is killed when the test ends.
func startDev(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	args = append([]string{"dev", "--data-dir", dir, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"}, args...)
	p := &process{t: t, dir: dir, done: make(chan struct{}), cmd: exec.Command(program.path(t), args...)}
	log := &strings.Builder{}
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	listens := make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "REST" {
				listens <- strings.TrimSuffix(f[1], "/v1")
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	select {
	case p.base = <-listens:
	case <-p.done:
		_ = p.cmd.Wait()
		t.Fatalf("breakwaterd ended: %v\n%s", p.cmd.ProcessState, log)
	case <-ctx.Done():
		t.Fatalf("breakwaterd does not listen after %v", startTimeout)
	}
	return p
}

// controlPlane is the process as the harness sees it.
func (p *process) controlPlane(t testing.TB) *controlplanetest.ControlPlane {
	t.Helper()
	return controlplanetest.Attach(t, p.base, p.dir)
}

// kill ends the process as a power cut does, unless it ended.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.cmd.Wait()
}

// stop ends the process as Ctrl-C does, and fails the test when it does not end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("stopped: %v", err)
	}
}
