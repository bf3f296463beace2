package chaos

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// syncs is how long every fsync of a slow disk takes.
const syncs = 200 * time.Millisecond

// slowDisk has the etcd member that leads wait for its disk. A tracer delays the system
// calls themselves; where there is none, or none is allowed, nothing happens.
func slowDisk(w *world) {
	if err := exec.CommandContext(w.t.Context(), tracer, tracing("/bin/true")...).Run(); err != nil {
		w.t.Logf("no disk is slow: %s: %v", tracer, err)
		return
	}
	m := w.etcd.leader()
	m.kill()
	w.etcd.deposed(m)
	m.startSlow()
	w.etcd.moveLeader(m)
	w.etcd.writesSlowly(m)
	last(2 * time.Second)
	m.kill()
	w.etcd.deposed(m)
	m.start()
}

const tracer = "strace"

// tracing is what the tracer is told: with a filter, so that other system calls stay fast,
// and as a process aside, so that what it traces stays a child of the test, to be killed.
func tracing(command ...string) []string {
	delay := "fsync,fdatasync:delay_enter=" + strconv.FormatInt(syncs.Microseconds(), 10)
	return append([]string{
		"-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=fsync,fdatasync", "-e", "inject=" + delay,
	}, command...)
}

// startSlow starts a member that waits for its disk, and a slow one.
func (m *member) startSlow() {
	m.t.Helper()
	args := slices.DeleteFunc(slices.Clone(m.args), func(a string) bool { return a == noFsync })
	m.run(tracer, tracing(append([]string{m.bin}, args...)...)...)
}

// moveLeader waits until a member leads, and asks for it.
func (c *cluster) moveLeader(m *member) {
	c.t.Helper()
	eventually(c.t, m.name+" leads", func(ctx context.Context) error {
		st, err := c.root.Status(ctx, "https://"+m.address)
		if err != nil {
			return err
		}
		id := st.Header.GetMemberId()
		if st.Leader == id {
			return nil
		}
		// Only the leader takes this, and the client asks one after the other.
		_, err = c.root.MoveLeader(ctx, id)
		if err == nil {
			err = fmt.Errorf("%s is about to lead", m.name)
		}
		return err
	})
}

// writesSlowly checks that a write waits for the disk of the leader.
func (c *cluster) writesSlowly(m *member) {
	c.t.Helper()
	eventually(c.t, "a write through "+m.name, func(ctx context.Context) error {
		before, err := c.root.Status(ctx, "https://"+m.address)
		if err != nil {
			return err
		}
		began := time.Now()
		if _, err := c.root.Put(ctx, "chaos/disk", began.String()); err != nil {
			return err
		}
		took := time.Since(began)
		after, err := c.root.Status(ctx, "https://"+m.address)
		if err != nil {
			return err
		}
		if id := after.Header.GetMemberId(); before.Leader != id || after.Leader != id || before.RaftTerm != after.RaftTerm {
			return fmt.Errorf("%s does not lead", m.name)
		}
		if took < syncs {
			c.t.Errorf("a write took %v, less than an fsync", took)
		}
		c.t.Logf("a write takes %v", took.Round(time.Millisecond))
		return nil
	})
}
