package chaos

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// process is a program that can be hurt.
type process struct {
	t    *testing.T
	name string
	bin  string
	args []string
	env  []string
	// log is where all its lives write.
	log string

	cmd  *exec.Cmd
	done chan struct{}
}

// newProcess describes a process; it ends with the test at the latest.
func newProcess(t *testing.T, dir, name, program string, env []string, args ...string) *process {
	t.Helper()
	p := &process{
		t: t, name: name, bin: filepath.Join(programs, program), args: args,
		env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...),
		log: filepath.Join(dir, name+".log"),
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the end of %s's log:\n%s", p.name, p.tail(2500))
		}
		if log := p.read(); bytes.Contains(log, []byte("WARNING: DATA RACE")) {
			t.Errorf("%s has a data race:\n%s", p.name, log)
		}
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.run(p.bin, p.args...)
}

// run starts the process by a command of its own.
func (p *process) run(bin string, args ...string) {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(bin, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
}

func (p *process) signal(s syscall.Signal) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s) // one that ended needs no signal
	}
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	p.cmd = nil
}

func (p *process) freeze() { p.signal(syscall.SIGSTOP) }
func (p *process) thaw()   { p.signal(syscall.SIGCONT) }

// stop asks for a clean stop and returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code, ok := p.wait(30 * time.Second); ok {
		return code
	}
	p.t.Fatalf("%s does not stop", p.name)
	return 0
}

// wait waits for the end and returns the exit code.
func (p *process) wait(within time.Duration) (code int, ended bool) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		return 0, false
	}
	code = p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code, true
}

func (p *process) read() []byte {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func (p *process) tail(n int) string {
	b := p.read()
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}

// command runs a program to its end.
func command(t *testing.T, dir, program string, env []string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, program), args...)
	cmd.Dir, cmd.Env = dir, append([]string{"HOME=" + dir}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must runs a program that must succeed.
func must(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	out, code := command(t, dir, program, nil, args...)
	if code != 0 {
		t.Fatalf("%s: exit %d: %s", fmt.Sprint(program, args), code, out)
	}
	return out
}
