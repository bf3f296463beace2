package chaos

import (
	"context"
	"errors"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// fault is something bad that happens, and ends.
type fault struct {
	name string
	do   func(*world)
}

// faults are all that can happen.
func faults() []fault {
	return []fault{
		{"history is compacted", func(w *world) { w.etcd.compact() }},
		{"kill -9 of the etcd member that leads", func(w *world) {
			m := w.etcd.leader()
			m.kill()
			w.etcd.deposed(m)
			m.start()
		}},
		{"the etcd member that leads is cut off from its peers", func(w *world) {
			m := w.etcd.leader()
			w.net.cut(m.name, w.etcd.others(m)...)
			w.etcd.deposed(m)
			last(500 * time.Millisecond)
			w.net.heal(m.name, w.etcd.others(m)...)
		}},
		{"kill -9 of the replica that leads, in the middle of a rollback", rollbackKilled},
		{"the etcd member that leads is replaced by one with an empty disk", func(w *world) {
			m := w.etcd.leader()
			m.kill()
			w.etcd.deposed(m)
			w.etcd.replace(m)
		}},
		{"every fsync of the etcd member that leads is slow", slowDisk},
		{"kill -9 of the replica that leads", func(w *world) {
			leads, _ := w.leader()
			leads.kill()
			w.led(leads)
			leads.start()
			leads.awaitReady()
		}},
		{"the etcd member that leads is frozen", func(w *world) {
			m := w.etcd.leader()
			m.freeze()
			w.etcd.deposed(m)
			last(500 * time.Millisecond)
			m.thaw()
		}},
		{"the replica that leads is frozen until another leads", func(w *world) {
			leads, _ := w.leader()
			leads.freeze()
			w.led(leads)
			leads.thaw()
		}},
		{"the replica that leads is cut off from etcd until another leads", func(w *world) {
			leads, _ := w.leader()
			all := w.etcd.others(nil)
			w.net.cut(leads.name, all...)
			w.led(leads)
			w.net.heal(leads.name, all...)
		}},
		{"a data center is cut off from everything", func(w *world) {
			e := w.edges[len(w.edges)-1]
			all := append(w.etcd.others(nil), w.replicas[0].name, w.replicas[1].name)
			w.net.cut(e.name, all...)
			last(4 * time.Second)
			w.net.heal(e.name, all...)
		}},
		{"kill -9 of an agent", func(w *world) {
			e := w.edges[0]
			e.kill()
			last(500 * time.Millisecond)
			e.start()
		}},
		{"etcd is stopped altogether, and its history compacted after", func(w *world) {
			for _, m := range w.etcd.members {
				m.kill()
			}
			last(3 * time.Second)
			for _, m := range w.etcd.members {
				m.start()
			}
			w.etcd.leader()
			w.etcd.compact()
		}},
	}
}

// last lets a fault last.
func last(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// led waits until another replica than the one that led leads.
func (w *world) led(before *replica) {
	w.t.Helper()
	took(w.t, "another replica leads after", func() {
		eventually(w.t, "another replica leads", func(ctx context.Context) error {
			now, err := w.leads(ctx)
			if now == before {
				err = errors.New(before.name + " still leads")
			}
			return err
		})
	})
}

// rollbackKilled has an operator roll back the newest release, and kills the leader at the
// moment at which it is abandoned.
func rollbackKilled(w *world) {
	leads, other := w.leader()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	abandoned := w.etcd.root.Watch(ctx, wire.AbandonedPrefix(wire.Routine), clientv3.WithPrefix())
	asking, stop := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { asked <- rollBack(asking, other.as(w.operator)) }()
	select {
	case <-abandoned:
	case <-ctx.Done():
	}
	leads.kill()
	stop()
	// The answer may be lost with the leader, once the release is abandoned.
	if err := <-asked; ctx.Err() != nil {
		w.t.Errorf("no release was abandoned: %v", err)
	}
	w.led(leads)
	leads.start()
	leads.awaitReady()
}

// rollBack asks until it is told that it happened, or is stopped.
func rollBack(ctx context.Context, operator client) error {
	pause := time.NewTicker(settleAttempt)
	defer pause.Stop()
	for {
		channel, err := operator.get(ctx, "/v1/channels/routine")
		if err == nil {
			_, err = operator.ok(ctx, http.MethodPost, "/v1/channels/routine/releases/"+channel.Text("head")+":rollback", `{"reason": "a test"}`)
		}
		if err == nil {
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
}
