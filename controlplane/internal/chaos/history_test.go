package chaos

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

const account = "acme"

// history is what users did and saw while faults happened.
type history struct {
	w     *world
	token string

	stop chan struct{}
	wg   sync.WaitGroup

	writers  []*writer
	watchers []*watcher
}

// begin lets users work: a writer for each site, a watcher that prefers each replica.
func (w *world) begin(domains ...string) *history {
	w.t.Helper()
	h := &history{w: w, token: w.operator, stop: make(chan struct{})}
	for _, d := range domains {
		site, err := w.replicas[0].as(w.operator).get(w.t.Context(), sitePath(d))
		if err != nil {
			w.t.Fatal(err)
		}
		h.writers = append(h.writers, &writer{h: h, domain: d, first: site.Int("version")})
	}
	for i := range w.replicas {
		h.watchers = append(h.watchers, &watcher{h: h, turn: i, seen: map[string]bool{}, versions: map[string]int64{}, skips: map[string]int64{}, repeats: map[string]int64{}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(func() {
		cancel()
		h.wg.Wait()
	})
	for _, wr := range h.writers {
		h.wg.Go(func() { wr.run(ctx) })
	}
	for _, wa := range h.watchers {
		h.wg.Go(func() { wa.run(ctx) })
	}
	return h
}

func sitePath(domain string) string { return "/v1/accounts/" + account + "/sites/" + domain }

// writer changes one site, one change after the other.
type writer struct {
	h      *history
	domain string
	// first is the version before the first change.
	first int64

	mu    sync.Mutex
	acked int64 // how many changes were acknowledged
	tries int
}

func (wr *writer) done() int64 {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	return wr.acked
}

// ttl is what the nth change writes.
func ttl(n int64) int64 { return 1000 + n }

// run changes until it is told to stop; a change that was begun is carried to its end.
func (wr *writer) run(ctx context.Context) {
	// All writers together stay below the rate of calls that an operator has for ever.
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	for n := int64(1); ; n++ {
		select {
		case <-wr.h.stop:
			return
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if !wr.change(ctx, n) {
			return
		}
	}
}

// change repeats one change, with one idempotency key, until it is acknowledged.
func (wr *writer) change(ctx context.Context, n int64) bool {
	t := wr.h.w.t
	body, key := fmt.Sprintf(`{"browserTtlSeconds": %d}`, ttl(n)), fmt.Sprintf("%s-%d", wr.domain, n)
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for turn := 0; ctx.Err() == nil; turn++ {
		bounded, cancel := context.WithTimeout(ctx, 2*time.Second)
		r := wr.h.w.replicas[turn%len(wr.h.w.replicas)]
		a, err := r.as(wr.h.token).do(bounded, http.MethodPatch, sitePath(wr.domain)+"/settings", body, "Idempotency-Key", key)
		if err == nil {
			// What a server answers to who just gave up may still arrive: that it was cancelled.
			err = bounded.Err()
		}
		cancel()
		wr.mu.Lock()
		wr.tries++
		wr.mu.Unlock()
		switch {
		case err != nil, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout, a.status == http.StatusTooManyRequests,
			a.status == http.StatusConflict:
			// Not acknowledged: it may have happened or not, and repeating finds out.
		case a.status != http.StatusOK:
			t.Errorf("%s: change %d: %d %s", wr.domain, n, a.status, a.raw)
			return false
		default:
			if got := a.body.Int("version"); got != wr.first+n {
				t.Errorf("%s: change %d was acknowledged as version %d, not %d: a change was lost or made twice", wr.domain, n, got, wr.first+n)
				return false
			}
			wr.mu.Lock()
			wr.acked = n
			wr.mu.Unlock()
			return true
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
	return false
}

// watcher follows the feed of the account's sites, and goes on by cursor when a stream ends.
type watcher struct {
	h    *history
	turn int

	mu       sync.Mutex
	cursor   string
	seen     map[string]bool  // cursors of changes
	versions map[string]int64 // the newest version seen, by domain
	events   int
	resumes  int
	expired  int
	current  bool
	// skips and repeats are the compactions after which a site's versions were skipped, or
	// told again; skipped and repeated count how often.
	skips, repeats    map[string]int64
	skipped, repeated int
}

func (wa *watcher) run(ctx context.Context) {
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil {
		r := wa.h.w.replicas[wa.turn%len(wa.h.w.replicas)]
		// Now and then a stream is left in good order, so that resuming is tried without
		// any fault too.
		bounded, cancel := context.WithTimeout(ctx, 7*time.Second)
		err := r.as(wa.h.token).stream(bounded, "/v1/accounts/"+account+"/sites:watch?cursor="+url.QueryEscape(wa.cursor), wa.take)
		cancel()
		wa.mu.Lock()
		if err != nil && strings.Contains(err.Error(), "CURSOR_EXPIRED") {
			wa.cursor, wa.current = "", false
			wa.expired++
		}
		wa.resumes++
		wa.turn++
		wa.mu.Unlock()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// take checks one event.
func (wa *watcher) take(e controlplanetest.JSON) bool {
	wa.mu.Lock()
	defer wa.mu.Unlock()
	t := wa.h.w.t
	kind, domain, version := e.Text("type"), e.Text("site.domain"), e.Int("site.version")
	if c := e.Text("cursor"); c != "" {
		wa.cursor = c
	}
	switch kind {
	case "CURRENT":
		wa.current = true
	case "EXISTING":
		wa.versions[domain] = version
	case "CHANGED":
		wa.events++
		last, known := wa.versions[domain]
		// A replica whose history was compacted before it saw it knows only what is there now,
		// and so it may skip versions and tell the newest one again: once for a compaction.
		compactions := wa.h.w.etcd.compactions.Load()
		if cursor := e.Text("cursor"); wa.seen[cursor] {
			if wa.repeated++; version != last || wa.repeats[domain] == compactions {
				t.Errorf("the feed told of %s twice: %v", domain, e)
			}
			wa.repeats[domain] = compactions
		} else {
			wa.seen[cursor] = true
		}
		if known && version != last && version != last+1 {
			if wa.skipped++; version < last || wa.skips[domain] == compactions {
				t.Errorf("the feed told version %d of %s after %d", version, domain, last)
			}
			wa.skips[domain] = compactions
		}
		wa.versions[domain] = version
	default:
		t.Errorf("event %v", e)
	}
	return true
}

// end lets the writers stop and checks everything.
func (h *history) end() {
	t := h.w.t
	t.Helper()
	close(h.stop)
	eventually(t, "every change that was begun is acknowledged", func(ctx context.Context) error {
		for _, wr := range h.writers {
			site, err := h.w.replicas[0].as(h.token).get(ctx, sitePath(wr.domain))
			if err != nil {
				return err
			}
			if site.Int("version") != wr.first+wr.done() {
				return fmt.Errorf("%s has version %d after %d and %d changes", wr.domain, site.Int("version"), wr.first, wr.done())
			}
		}
		return nil
	})
	for _, wr := range h.writers {
		wr.mu.Lock()
		t.Logf("%s: %d changes acknowledged in %d attempts", wr.domain, wr.acked, wr.tries)
		wr.mu.Unlock()
		if wr.done() == 0 {
			t.Errorf("%s: nothing was written", wr.domain)
		}
		h.kept(t, wr)
	}
	for i, wa := range h.watchers {
		eventually(t, "the feed tells everything", func(context.Context) error {
			wa.mu.Lock()
			defer wa.mu.Unlock()
			for _, wr := range h.writers {
				if got, want := wa.versions[wr.domain], wr.first+wr.done(); got != want {
					return fmt.Errorf("watcher %d saw version %d of %s, not %d", i, got, wr.domain, want)
				}
			}
			return nil
		})
		wa.mu.Lock()
		t.Logf("watcher %d: %d events, %d streams, %d expired cursors; after compactions %d skips and %d repeats",
			i, wa.events, wa.resumes, wa.expired, wa.skipped, wa.repeated)
		wa.mu.Unlock()
	}
	for _, wr := range h.writers {
		h.w.live(account, wr.domain)
	}
	h.w.converged(h.writers)
}

// kept compares the versions that are kept with what was acknowledged.
func (h *history) kept(t *testing.T, wr *writer) {
	t.Helper()
	last := wr.done()
	for n := last; n > max(0, last-10); n-- {
		for _, r := range h.w.replicas {
			v, err := r.as(h.token).get(t.Context(), fmt.Sprintf("%s/versions/%d", sitePath(wr.domain), wr.first+n))
			if err != nil {
				t.Errorf("%s: acknowledged change %d: %v", wr.domain, n, err)
			} else if got := v.Int("config.settings.browserTtlSeconds"); got != ttl(n) {
				t.Errorf("%s: version %d, acknowledged as %d, has %d", wr.domain, wr.first+n, ttl(n), got)
			}
		}
	}
}

// converged waits until every data center serves the same, and what was written last.
func (w *world) converged(writers []*writer) {
	w.t.Helper()
	eventually(w.t, "every data center has the same state hashes, as both replicas tell", func(ctx context.Context) error {
		var first string
		for _, r := range w.replicas {
			for _, dc := range dataCenters {
				got, err := r.as(w.operator).get(ctx, "/v1/dataCenters/"+dc+"/servers")
				if err != nil {
					return err
				}
				s := got.Objects("servers")
				if len(s) != 1 || s[0].Text("state") != "HEALTHY" {
					return fmt.Errorf("%s: %v", dc, got)
				}
				// The platform channel bakes for minutes between its waves.
				hashes := s[0].Text("stateHashes.routine") + " " + s[0].Text("stateHashes.urgent")
				if first == "" {
					first = hashes
				}
				if hashes != first || len(hashes) < 64 {
					return fmt.Errorf("%s has %s, others %s", dc, hashes, first)
				}
			}
		}
		return nil
	})
	for _, wr := range writers {
		for _, e := range w.edges {
			doc, err := e.document("site", wr.domain)
			if err != nil {
				w.t.Error(err)
			} else if got, want := doc.Int("browserTtlSeconds"), ttl(wr.done()); got != want {
				w.t.Errorf("%s serves %s with %d, not %d", e.name, wr.domain, got, want)
			}
		}
	}
}

// progress waits until every writer got further.
func (h *history) progress(before []int64) {
	h.w.t.Helper()
	eventually(h.w.t, "every writer goes on", func(context.Context) error {
		for i, wr := range h.writers {
			if wr.done() <= before[i] {
				return fmt.Errorf("%s is at %d", wr.domain, before[i])
			}
		}
		return nil
	})
}
