package chaos

import (
	"context"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// syncs is how long every fsync of a slow disk takes.
const syncs = 100 * time.Millisecond

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
	if w.etcd.moveLeader(m) {
		w.etcd.writesSlowly(m)
	} else {
		w.t.Logf("%s does not get to lead: it is the disk of a follower that is slow", m.name)
	}
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

// toLead is how long a member with a slow disk may take to lead, on a machine that may be
// too busy for it.
const toLead = 20 * time.Second

// moveLeader asks that a member leads, and says whether it does.
func (c *cluster) moveLeader(m *member) bool {
	c.t.Helper()
	pause := time.NewTicker(settleAttempt)
	defer pause.Stop()
	for end := time.Now().Add(toLead); time.Now().Before(end); <-pause.C {
		if c.leads(m) {
			return true
		}
	}
	return false
}

// leads says whether a member leads, and asks for it where it does not.
func (c *cluster) leads(m *member) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	st, err := c.root.Status(ctx, "https://"+m.address)
	if err != nil {
		return false
	}
	id := st.Header.GetMemberId()
	if st.Leader != id {
		// Only the leader takes this, and the client asks one after the other.
		_, _ = c.root.MoveLeader(ctx, id)
		return false
	}
	return true
}

// writesSlowly checks that a write waits for the disk of the leader.
func (c *cluster) writesSlowly(m *member) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), toLead)
	defer cancel()
	before, err := c.root.Status(ctx, "https://"+m.address)
	if err != nil {
		return
	}
	began := time.Now()
	_, err = c.root.Put(ctx, "chaos/disk", began.String())
	took := time.Since(began)
	after, failed := c.root.Status(ctx, "https://"+m.address)
	if err != nil || failed != nil || before.Leader != after.Leader || before.RaftTerm != after.RaftTerm {
		return // another one led meanwhile
	}
	if took < syncs {
		c.t.Errorf("a write took %v, less than an fsync", took)
	}
	c.t.Logf("a write takes %v", took.Round(time.Millisecond))
}
