package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"pgregory.net/rapid"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd/embedded"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// tryStep steps a channel once, whatever the outcome.
func (h *harness) tryStep(c wire.Channel) {
	h.t.Helper()
	h.caughtUp()
	h.clock.Advance(CursorInterval)
	_, err := h.workers[c].step(h.ctx)
	if err != nil && !errors.Is(err, errFault) {
		h.t.Fatalf("%s: %v", c, err)
	}
}

// failEveryWrite runs a story in which the n-th write of the publisher fails, for every n,
// before or after it is stored, with the worker going on or with another one in its place.
func failEveryWrite(t *testing.T, edge registry.Store, reg func() registry.Store) {
	t.Helper()
	for _, stored := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			for n := 0; ; n++ {
				store := registry.Store(memory.New(memory.Config{}))
				if edge != nil {
					store = edge
				}
				f := &faulty{Store: store, left: -1}
				r := reg()
				h := newHarness(t, r, store, func(c *Config) { c.Edge = f; c.MaxChanges = 3 })
				done := !oneFault(h, f, n, stored, restart)
				h.stop()
				if s, ok := r.(*memory.Store); ok {
					s.Close()
				}
				if s, ok := store.(*memory.Store); ok {
					s.Close()
				}
				if t.Failed() {
					t.Fatalf("write %d, stored: %v, restart: %v", n, stored, restart)
				}
				if done || edge != nil && n >= 4 {
					break
				}
			}
		}
	}
}

func oneFault(h *harness, f *faulty, n int, stored, restart bool) (happened bool) {
	c := wire.Routine
	for i := range 5 {
		h.putSite(active("acme", fmt.Sprintf("s%d.test", i), 1))
	}
	last := h.head(c).GetLastNumber()
	f.arm(n, stored)
	for range 12 {
		h.tryStep(c)
		f.mu.Lock()
		happened = f.left < 0 && f.seen > n
		f.mu.Unlock()
		if happened && restart {
			h.restart()
			restart = false
		}
		if now := h.head(c).GetLastNumber(); now < last {
			h.t.Errorf("numbers went back from %d to %d", last, now)
		} else {
			last = now
		}
		h.ingest(c)
	}
	f.arm(-1, false)
	h.putSite(active("acme", "s0.test", 2))
	h.settleChannel(c)
	h.checkPublished(c)
	return happened
}

func TestEveryWriteFails(t *testing.T) {
	failEveryWrite(t, nil, func() registry.Store { return memory.New(memory.Config{}) })
}

// TestOverEtcd runs the same against the real engine, for both stores: one in its own
// cluster, as a small installation has it.
func TestOverEtcd(t *testing.T) {
	server, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	store := etcd.New(server.Client(), etcd.Config{})
	h := newHarness(t, store, store, nil)
	h.putLimits(nil)
	h.putApp("minify", 1, false)
	for i := range 20 {
		h.putSite(active("acme", fmt.Sprintf("s%d.test", i), 1))
	}
	h.settle()
	h.putSite(active("acme", "s3.test", 2))
	h.settle()
	h.abandon(wire.Routine, h.head(wire.Routine).GetRelease(), true)
	h.settle()
	for _, c := range wire.Channels() {
		h.checkPublished(c)
	}
	h.stop()
	failEveryWrite(t, store, func() registry.Store { return store })
}

// TestDeposed checks that a leader whose fence no longer holds writes nothing more.
func TestDeposed(t *testing.T) {
	h := memoryHarness(t, nil)
	h.settle()
	old := h.workers
	h.elect()
	before, err := h.edge.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.putSite(active("acme", "shop.test", 1))
	h.caughtUp()
	if _, err := old[wire.Routine].step(t.Context()); !errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("%v", err)
	}
	if after, _ := h.edge.Revision(t.Context()); after != before {
		t.Error("the old leader wrote something")
	}
	h.settle()
	h.checkPublished(wire.Routine)
}

// TestRun runs the goroutines: changes are sealed as they come, the gate wakes, and losing
// the leadership ends it.
func TestRun(t *testing.T) {
	h := memoryHarness(t, func(c *Config) {
		c.Clock = nil
		c.Logger = slog.New(slog.DiscardHandler)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.pub.Run(ctx, h.term) }()
	// sealed waits for a head, and plays the rollout meanwhile.
	sealed := func(c wire.Channel, release int64) {
		t.Helper()
		for h.head(c).GetRelease() < release {
			select {
			case <-h.pub.Sealed():
			case err := <-done:
				t.Fatal(err)
			}
			for _, c := range wire.Channels() {
				h.ingest(c)
			}
		}
		h.ingest(c)
	}
	for _, c := range wire.Channels() {
		sealed(c, 1)
	}
	h.putSite(active("acme", "shop.test", 1))
	sealed(wire.Routine, 2)
	sealed(wire.Urgent, 2)
	h.gate.set(wire.Routine, false)
	attack := active("acme", "shop.test", 2)
	attack.attack = true
	h.putSite(attack)
	sealed(wire.Urgent, 3)
	if got := h.head(wire.Routine).GetRelease(); got != 2 {
		t.Errorf("release %d passed a closed gate", got)
	}
	h.gate.set(wire.Routine, true)
	sealed(wire.Routine, 3)
	if got := h.pub.Status()[wire.Urgent].Release; got < 2 {
		t.Errorf("the status says %d", got)
	}
	h.putEdge(registry.Put(ledger.LeaderKey, []byte("another")))
	h.putSite(active("acme", "shop.test", 3))
	if err := <-done; !errors.Is(err, ledger.ErrDeposed) {
		t.Errorf("%v", err)
	}
	if len(h.pub.Status()) != 0 {
		t.Error("who does not lead has a status")
	}
	// It may lead again, and ends with its context.
	h.elect()
	ctx2, cancel2 := context.WithCancel(t.Context())
	go func() { done <- h.pub.Run(ctx2, h.term) }()
	sealed(wire.Routine, 4)
	cancel2()
	if err := <-done; err != nil {
		t.Errorf("%v", err)
	}
}

// TestModel edits the registry and abandons releases at random, with restarts, elections
// and faults in between. At rest the head is what the registry wants, less what is held,
// numbers only grew, and the manifests add up.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		reg, edge := memory.New(memory.Config{}), memory.New(memory.Config{})
		defer reg.Close()
		defer edge.Close()
		f := &faulty{Store: edge, left: -1}
		h := newHarness(rt, reg, edge, func(c *Config) {
			c.Edge, c.MaxChanges, c.BaseEvery = f, rapid.IntRange(1, 4).Draw(rt, "changes"), 3
		})
		defer h.stop()
		h.putLimits(nil)
		channels := wire.Channels()
		accounts, domains := []string{"acme", "bolt"}, []string{"a.test", "b.test", "c.test", "d.test"}
		last := map[wire.Channel]int64{}
		owners := map[string]string{}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				for _, c := range channels {
					head := h.head(c)
					if head.GetLastNumber() < last[c] || head.GetRelease() > head.GetLastNumber() {
						rt.Fatalf("%s: %v after number %d", c, head, last[c])
					}
					last[c] = head.GetLastNumber()
				}
			},
			"site": func(rt *rapid.T) {
				s := site{
					account: rapid.SampledFrom(accounts).Draw(rt, "account"),
					domain:  rapid.SampledFrom(domains).Draw(rt, "domain"),
					state:   rapid.SampledFrom([]breakwaterv1.Site_State{breakwaterv1.Site_ACTIVE, breakwaterv1.Site_MOVED}).Draw(rt, "state"),
					ttl:     int32(rapid.IntRange(1, 3).Draw(rt, "ttl")),
					attack:  rapid.Bool().Draw(rt, "attack"),
					full:    rapid.Bool().Draw(rt, "full"),
					records: []string{"192.0.2.1", "192.0.2.2"}[:rapid.IntRange(0, 2).Draw(rt, "records")],
				}
				// The services let one account's site be active only.
				if owner := owners[s.domain]; owner != "" && owner != s.account {
					s.state = breakwaterv1.Site_MOVED
				}
				switch {
				case s.state == breakwaterv1.Site_ACTIVE:
					owners[s.domain] = s.account
				case owners[s.domain] == s.account:
					owners[s.domain] = ""
				}
				h.putSite(s)
			},
			"purge": func(rt *rapid.T) {
				account, domain := rapid.SampledFrom(accounts).Draw(rt, "account"), rapid.SampledFrom(domains).Draw(rt, "domain")
				if owners[domain] == account {
					owners[domain] = ""
				}
				h.purgeSite(account, domain)
			},
			"account": func(rt *rapid.T) {
				h.putAccount(rapid.SampledFrom(accounts).Draw(rt, "account"), rapid.Bool().Draw(rt, "deleted"))
			},
			"app": func(rt *rapid.T) {
				id := rapid.SampledFrom([]string{"minify", "waf"}).Draw(rt, "app")
				h.putApp(id, int64(rapid.IntRange(1, 3).Draw(rt, "version")), rapid.Bool().Draw(rt, "killed"))
			},
			"step": func(rt *rapid.T) {
				c := rapid.SampledFrom(channels).Draw(rt, "channel")
				h.tryStep(c)
				if rapid.Bool().Draw(rt, "ingest") {
					h.ingest(c)
				}
			},
			"abandon": func(rt *rapid.T) {
				c := rapid.SampledFrom(channels).Draw(rt, "channel")
				h.ingest(c)
				var live []int64
				for n := h.head(c).GetRelease(); n > max(1, h.rollout(c).GetLastKnownGood()); {
					live = append(live, n)
					n = h.manifest(c, n).GetParent()
				}
				if len(live) > 0 {
					h.abandon(c, rapid.SampledFrom(live).Draw(rt, "release"), rapid.Bool().Draw(rt, "suspect"))
				}
			},
			"clear": func(rt *rapid.T) {
				c := rapid.SampledFrom(channels).Draw(rt, "channel")
				rec := h.rollout(c)
				if n := len(rec.GetSuspects()); n > 0 {
					rec.Suspects = rec.GetSuspects()[rapid.IntRange(1, n).Draw(rt, "cleared"):]
					h.putEdge(record(h.t, ledger.RolloutKey(c), rec))
				}
			},
			"good": func(rt *rapid.T) {
				c := rapid.SampledFrom(channels).Draw(rt, "channel")
				h.ingest(c)
				rec := h.rollout(c)
				rec.LastKnownGood = h.head(c).GetRelease()
				h.putEdge(record(h.t, ledger.RolloutKey(c), rec))
			},
			"restart": func(*rapid.T) { h.restart() },
			"elect":   func(*rapid.T) { h.elect() },
			"fault": func(rt *rapid.T) {
				f.arm(rapid.IntRange(0, 3).Draw(rt, "after"), rapid.Bool().Draw(rt, "stored"))
			},
			"gate": func(rt *rapid.T) {
				h.gate.set(rapid.SampledFrom(channels).Draw(rt, "channel"), rapid.Bool().Draw(rt, "open"))
			},
			"rest": func(rt *rapid.T) {
				f.arm(-1, false)
				for _, c := range channels {
					h.gate.set(c, true)
				}
				h.settle()
				for _, c := range channels {
					h.checkPublished(c)
					if got, want := h.head(c).GetCursor(), h.workers[c].newest; got < want {
						rt.Fatalf("%s: the cursor rests at %d before %d", c, got, want)
					}
				}
			},
		})
	})
}
