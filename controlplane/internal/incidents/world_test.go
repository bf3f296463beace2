package incidents_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/server"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// etcd's own, after its member stopped.
		goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// soak says that the long form runs.
func soak() bool { return os.Getenv("BREAKWATER_SOAK") != "" }

// world is a control plane with its fleet and the tenants of replays.
type world struct {
	t   *testing.T
	cp  *controlplanetest.ControlPlane
	op  *controlplanetest.REST
	log *journal
	// every is how often what data centers serve is looked at.
	every time.Duration
}

// newWorld starts a control plane. The short form may run with a part of the fleet only.
func newWorld(t *testing.T, scale float64, options ...controlplanetest.Option) *world {
	t.Helper()
	j := &journal{}
	if soak() {
		scale, options = 1, nil // the whole fleet
	}
	options = append([]controlplanetest.Option{
		controlplanetest.BakeScale(scale), func(c *server.Config) { c.Logger = j.logger() },
	}, options...)
	cp := controlplanetest.Start(t, options...)
	return &world{t: t, cp: cp, op: cp.REST(cp.Operator), log: j, every: 50 * time.Millisecond}
}

// replay runs one disaster as a subtest.
func (w *world) replay(name string, run func(w *world)) {
	w.t.Run(name, func(t *testing.T) {
		run(&world{t: t, cp: w.cp.For(t), op: w.op.For(t), log: w.log, every: w.every})
	})
}

// account is the tenant of a site: every site has one of its own, named after it.
func account(domain string) string { return strings.TrimSuffix(domain, ".test") }

func path(domain string) string { return "/v1/accounts/" + account(domain) + "/sites/" + domain }

// onboard makes accounts with a site each, and waits until all are live everywhere.
func (w *world) onboard(domains ...string) {
	w.t.Helper()
	for _, d := range domains {
		a := account(d)
		w.op.OK(http.MethodPost, "/v1/accounts", fmt.Sprintf(`{"accountId": %q, "ownerEmail": "owner@%s"}`, a, d))
		w.op.OK(http.MethodPost, "/v1/accounts/"+a+"/sites", fmt.Sprintf(`{"domain": %q, "origin": {"address": "203.0.113.10"}}`, d))
	}
	for _, d := range domains {
		w.cp.Eventually(d+" is active", func() bool { return w.op.Get(path(d)).Text("state") == "ACTIVE" })
	}
	for _, d := range domains {
		w.live(d)
	}
	w.cp.Converged()
}

func (w *world) live(domain string) { w.cp.Live(w.op, account(domain), domain) }

// change sets a site's lifetime in browsers, which every plan may.
func (w *world) change(domain string, seconds int) {
	w.t.Helper()
	w.op.OK(http.MethodPatch, path(domain)+"/settings", fmt.Sprintf(`{"browserTtlSeconds": %d}`, seconds))
}

// refused checks that a change is refused with a status of 400, and returns the reason.
func (w *world) refused(path, body string) string {
	w.t.Helper()
	r := w.op.Do(http.MethodPatch, path, body)
	if r.Status != http.StatusBadRequest {
		w.t.Fatalf("PATCH %s answers %d: %s", path, r.Status, r.Raw)
	}
	return r.Reason()
}

// sample is what data centers served at a time.
type sample struct {
	at      time.Time
	healthy bool
	// serves and told are the releases that data centers serve and must serve.
	serves, told map[string]int64
}

// watched is a replay under observation.
type watched struct {
	w       *world
	channel wire.Channel
	began   time.Time
	lkg     int64
	// restarts is how often each server had started anew before.
	restarts map[string]int64
	stop     context.CancelFunc
	done     chan struct{}
	samples  []sample
}

// watch begins to observe a channel.
func (w *world) watch(channel wire.Channel) *watched {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	o := &watched{
		w: w, channel: channel, began: time.Now(), restarts: map[string]int64{}, stop: cancel, done: make(chan struct{}),
		lkg: w.op.Get("/v1/channels/" + string(channel)).Int("lastKnownGood"),
	}
	for name, s := range w.cp.Servers() {
		o.restarts[name] = s.Int("restarts")
	}
	go func() {
		defer close(o.done)
		tick := time.NewTicker(w.every)
		defer tick.Stop()
		for {
			o.sample(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return o
}

func (o *watched) sample(ctx context.Context) {
	s := sample{at: time.Now(), healthy: true, serves: map[string]int64{}, told: map[string]int64{}}
	r, err := o.w.op.Try(ctx, http.MethodGet, "/v1/dataCenters?pageSize=1000", "")
	if err != nil || r.Status != http.StatusOK {
		return
	}
	for _, dc := range r.Body.Objects("dataCenters") {
		s.healthy = s.healthy && dc.Int("servers") > 0 && dc.Int("servers") == dc.Int("healthyServers")
		s.serves[dc.Text("code")] = dc.Int("releases." + string(o.channel))
		s.told[dc.Text("code")] = dc.Int("targets." + string(o.channel))
	}
	o.samples = append(o.samples, s)
}

// harmed says whether there was harm since the observation began.
func (o *watched) harmed() bool { return slices.ContainsFunc(o.w.log.since(o.began), entry.harm) }

// round is one time that harm came and went: the release itself, then trials of the search.
type round struct {
	released       []int64
	halted, undone time.Duration // since the first sign of harm
	seen           bool          // that it was undone
	hurt           []string      // data centers
}

// outcome is what a replay came to.
type outcome struct {
	hurt   []string // data centers with harm of any kind
	rounds []round
	// isolated is how long after the first sign of harm the culprit was in quarantine.
	isolated time.Duration
	culprits []string
	bad      map[int64]bool
}

// end ends the observation and says what happened.
func (o *watched) end() outcome {
	o.w.t.Helper()
	o.stop()
	<-o.done
	o.sample(o.w.t.Context())
	out := outcome{bad: map[int64]bool{}}
	hurt, now := map[string]bool{}, map[string]bool{}
	var harmed, first time.Time
	for _, e := range o.w.log.since(o.began) {
		switch {
		case e.harm():
			hurt[e.attr("data_center")], now[e.attr("data_center")] = true, true
			// A second server may tell late of what is undone already: no new round begins.
			if harmed.IsZero() && !e.late(out.bad) {
				harmed = e.at
			}
			if first.IsZero() {
				first = e.at
			}
		case e.text == abandonedIt && e.attr("channel") == string(o.channel):
			for _, n := range e.releases() {
				out.bad[n] = true
			}
			if !harmed.IsZero() {
				reverted := o.reverted(e.at, out.bad)
				out.rounds = append(out.rounds, round{
					released: e.releases(), halted: e.at.Sub(harmed), undone: reverted.Sub(harmed), seen: !reverted.IsZero(),
					hurt: slices.Sorted(maps.Keys(now)),
				})
			}
			now = map[string]bool{}
			harmed = time.Time{}
		case e.text == quarantined:
			out.culprits = append(out.culprits, e.attr("document"))
			if out.isolated == 0 {
				out.isolated = e.at.Sub(first)
			}
		}
	}
	for name, s := range o.w.cp.Servers() {
		if s.Int("restarts") > o.restarts[name] {
			dc, _, _ := strings.Cut(name, "/")
			hurt[dc] = true
		}
	}
	out.hurt = slices.Sorted(maps.Keys(hurt))
	return out
}

// reverted is when, after a release was abandoned, every data center was first seen healthy
// and acknowledged to serve what it must, none of it abandoned; zero when it was not seen.
func (o *watched) reverted(abandoned time.Time, bad map[int64]bool) time.Time {
	for _, s := range o.samples {
		if s.at.Before(abandoned) || !s.healthy {
			continue
		}
		clean := true
		for dc, n := range s.serves {
			clean = clean && !bad[n] && !bad[s.told[dc]] && n == s.told[dc]
		}
		if clean {
			return s.at
		}
	}
	return time.Time{}
}

// bounds on a machine that has other things to do; docs/fail-small.md has what was measured.
const (
	haltWithin = 15 * time.Second
	undoWithin = 30 * time.Second
)

// contained checks what every replay promises, and logs its numbers.
func (o *watched) contained(out outcome, culprit string) {
	t := o.w.t
	t.Helper()
	first := o.w.cp.FirstWave(string(o.channel))
	if len(out.hurt) != 1 || out.hurt[0] != first {
		t.Errorf("hurt: %v; the first wave is %s", out.hurt, first)
	}
	o.undone(out, culprit)
}

// undone checks what is promised for harm that shows late, too.
func (o *watched) undone(out outcome, culprit string) {
	t := o.w.t
	t.Helper()
	if len(out.rounds) == 0 {
		t.Fatal("nothing was abandoned")
	}
	for _, r := range out.rounds {
		if !r.seen || r.halted > haltWithin || r.undone > undoWithin {
			t.Errorf("%v: halted %v and undone %v after the first sign of harm", r.released, r.halted, r.undone)
		}
	}
	if len(out.culprits) == 0 || slices.ContainsFunc(out.culprits, func(d string) bool { return d != culprit }) {
		t.Errorf("in quarantine: %v; the culprit is %s", out.culprits, culprit)
	}
	ch := o.w.op.Get("/v1/channels/" + string(o.channel))
	if n := ch.Int("lastKnownGood"); n < o.lkg || out.bad[n] {
		t.Errorf("last known good was %d and is %d; bad: %v", o.lkg, n, slices.Sorted(maps.Keys(out.bad)))
	}
	if q := o.w.quarantine(culprit); q.Text("reason") == "" || !out.bad[q.Int("release")] {
		t.Errorf("the quarantine of %s: %v; bad releases: %v", culprit, q, slices.Sorted(maps.Keys(out.bad)))
	}
	r := out.rounds[0]
	t.Logf("%d of %d data centers hurt, %v; halted %v and undone %v after the first sign of harm; %d rounds; isolated after %v",
		len(out.hurt), len(o.samples[0].told), out.hurt, ms(r.halted), ms(r.undone), len(out.rounds), ms(out.isolated))
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// quarantine returns the quarantine of a document; nil when there is none.
func (w *world) quarantine(document string) controlplanetest.JSON {
	w.t.Helper()
	for _, q := range w.op.Get("/v1/quarantines?pageSize=1000").Objects("quarantines") {
		if q.Text("document") == document {
			return q
		}
	}
	return nil
}

// blamed waits until a site's owner is told that its newest version is in quarantine, and
// why.
func (w *world) blamed(domain string) {
	w.t.Helper()
	p := w.cp.Propagates(w.op, account(domain), domain, "QUARANTINED")
	if p.Text("reason") == "" || p.Int("servingVersion") >= p.Int("version") {
		w.t.Errorf("%s: version %s, serving %s, reason %q", domain, p.Text("version"), p.Text("servingVersion"), p.Text("reason"))
	}
}

// mended removes a bug.
func (w *world) mended(id string) { w.op.OK(http.MethodDelete, "/v1/dev/bugs/"+id, "") }
