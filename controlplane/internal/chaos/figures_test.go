package chaos

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/simfleet"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestFigures measures, for docs/fail-small.md, how long harm lasts when the replica that
// leads is killed while it undoes it. BREAKWATER_FIGURES says how often, and turns it on.
func TestFigures(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("BREAKWATER_FIGURES"))
	if err != nil || rounds < 1 {
		t.Skip("set BREAKWATER_FIGURES to a number of rounds, or run `make fail-small`")
	}
	w := newWorld(t, options{simulated: true})
	s := w.simulate()
	exposed, site := 0, 0
	for _, c := range []struct {
		effect simfleet.Effect
		// late kills the leader when the release is abandoned, not at the first sign of harm.
		late bool
		when string
	}{
		{simfleet.Reject, false, "leader killed at once"},
		{simfleet.Crash, false, "leader killed at once"},
		{simfleet.Crash, true, "leader killed halfway"},
	} {
		var halted, undone []time.Duration
		for range rounds {
			site++
			h, u := w.harm(s, fmt.Sprintf("figure%d", site), c.effect, c.late)
			halted, undone = append(halted, h), append(undone, u)
			exposed = max(exposed, s.signs.exposed())
		}
		aim := "" // none where nobody leads
		if c.late {
			aim = "2000"
		}
		row(fmt.Sprintf("%s, %s -> release abandoned", c.effect, c.when), halted, aim)
		row(fmt.Sprintf("%s, %s -> all reverted and acknowledged", c.effect, c.when), undone, "5000")
	}
	_, _ = fmt.Fprintf(os.Stdout, "data centers that a harmful release reached, leader killed, at most: %d of 23 (aim: 1)\n", exposed)
}

// row prints as the figures of package incidents do.
func row(name string, took []time.Duration, aim string) {
	slices.Sort(took)
	at := func(q float64) int64 { return took[min(len(took)-1, int(q*float64(len(took))))].Milliseconds() }
	_, _ = fmt.Fprintf(os.Stdout, "%-72s %8d %8d %8s\n", fmt.Sprintf("%s (n=%d)", name, len(took)), at(0.5), at(0.99), aim)
}

// harm lets a change of a new site do harm, kills the leader, and says how long after the
// first sign of harm the release was abandoned, and all data centers acknowledged to be off
// it.
func (w *world) harm(s *simulation, account string, effect simfleet.Effect, late bool) (halted, undone time.Duration) {
	w.t.Helper()
	domain := account + ".example"
	path := "/v1/accounts/" + account + "/sites/" + domain
	w.site(account, domain)
	w.live(account, domain)
	eventually(w.t, "all is quiet", func(ctx context.Context) error { return w.settled(ctx, w.replicas[0], nil) })
	leads, other := w.leader()

	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	abandoned := w.etcd.root.Watch(clientv3.WithRequireLeader(ctx), wire.AbandonedPrefix(wire.Routine), clientv3.WithPrefix())
	first := s.signs.expect()
	if err := s.bugs.Set(simfleet.Bug{ID: "harm", Match: "site/" + domain, Effect: effect}); err != nil {
		w.t.Fatal(err)
	}
	w.try(w.operator, http.MethodPatch, path+"/settings", `{"browserTtlSeconds": 4242}`)
	began := w.await(first)
	if !late {
		leads.kill()
	}
	bad := map[int64]bool{}
	select {
	case resp := <-abandoned:
		halted = time.Since(began)
		for _, e := range resp.Events {
			bad[wire.ParseEdgeKey(string((*mvccpb.Event)(e).GetKv().GetKey())).Release] = true
		}
	case <-time.After(patience):
		w.t.Fatal("nothing was abandoned")
	}
	if late {
		leads.kill()
	}
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for w.settled(ctx, other, bad) != nil {
		if <-pause.C; time.Since(began) > patience {
			w.t.Fatalf("not undone: %v", w.settled(ctx, other, bad))
		}
	}
	undone = time.Since(began)
	leads.start()
	leads.awaitReady()
	eventually(w.t, "the culprit is in quarantine", func(ctx context.Context) error {
		got, err := other.as(w.operator).get(ctx, path+"/propagation")
		if err == nil && got.Text("state") != "QUARANTINED" {
			err = fmt.Errorf("%v", got)
		}
		return err
	})
	s.bugs.Delete("harm")
	return halted, undone
}

// await waits for the first sign of harm.
func (w *world) await(first <-chan time.Time) time.Time {
	w.t.Helper()
	select {
	case at := <-first:
		return at
	case <-time.After(patience):
		w.t.Fatal("nothing was harmed")
		return time.Time{}
	}
}
