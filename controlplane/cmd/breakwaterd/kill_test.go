package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
)

// Killing the process at any point loses no acknowledged write and leaves no half release.
//
// Writers change a site each, with an idempotency key a change, and repeat what was not
// answered until it is. So every change is made exactly once, whatever dies in between, and
// the versions of a site have no gaps. With BREAKWATER_SOAK it runs longer.
func TestKill(t *testing.T) {
	kills, writers := 5, 2
	if os.Getenv("BREAKWATER_SOAK") != "" {
		kills = 100
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	dir := filepath.Join(t.TempDir(), "data")
	p := startDev(t, dir, "--bake-scale", "0.05")
	cp := p.controlPlane(t)
	token := cp.Account("acme").Token()
	sites := make([]*writer, writers)
	for i := range sites {
		sites[i] = newWriter(cp, token, i)
	}

	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	point := &address{changed: make(chan struct{})}
	point.set(cp)
	for _, w := range sites {
		running.Go(func() { w.run(ctx, point) })
	}
	for n := range kills {
		delay := time.NewTimer(time.Duration(random.Int64N(int64(700 * time.Millisecond))))
		<-delay.C
		p.kill()
		if n == kills/2 {
			controlplanetest.Examine(t, dir, func(a *controlplanetest.Aftermath) { a.CheckReleases() })
		}
		p = startDev(t, dir, "--bake-scale", "0.05")
		cp = p.controlPlane(t)
		point.set(cp)
		for _, w := range sites {
			w.check(t, cp)
		}
	}
	cancel()
	running.Wait()

	writes := 0
	for _, w := range sites {
		w.finish(t, cp)
		writes += len(w.acknowledged())
	}
	t.Logf("%d writes were acknowledged between %d kills", writes, kills)
	if writes < kills {
		t.Errorf("only %d writes were acknowledged", writes)
	}
	cp.Converged()
	p.stop()
	controlplanetest.Examine(t, dir, func(a *controlplanetest.Aftermath) { a.CheckReleases() })
}

// address is where the control plane is now.
type address struct {
	mu      sync.Mutex
	cp      *controlplanetest.ControlPlane
	changed chan struct{}
}

func (a *address) set(cp *controlplanetest.ControlPlane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cp = cp
	close(a.changed)
	a.changed = make(chan struct{})
}

// get returns the control plane, and a channel that is closed when there is another.
func (a *address) get() (*controlplanetest.ControlPlane, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cp, a.changed
}

// writer changes one site again and again.
type writer struct {
	token, domain string

	mu sync.Mutex
	// versions are those that were answered, by the number of the change. They begin after
	// the site's version first.
	versions []int64
	first    int64
	// pending is whether the change after those may have been made without an answer.
	pending bool
	problem error
}

func newWriter(cp *controlplanetest.ControlPlane, token string, n int) *writer {
	w := &writer{token: token, domain: fmt.Sprintf("site-%d.test", n)}
	c := cp.REST(token)
	cp.Site(c, "acme", w.domain)
	w.first = c.Get(w.path("")).Int("version")
	return w
}

func (w *writer) path(rest string) string { return "/v1/accounts/acme/sites/" + w.domain + rest }

func (w *writer) ttl(n int) int { return 1000 + n }

// run writes until ctx ends. A change that was not answered is repeated first.
func (w *writer) run(ctx context.Context, at *address) {
	for n := 0; ctx.Err() == nil; {
		cp, changed := at.get()
		w.set(func() { w.pending = true })
		r, err := cp.REST(w.token).Try(context.WithoutCancel(ctx), http.MethodPatch, w.path("/settings"),
			fmt.Sprintf(`{"browserTtlSeconds": %d}`, w.ttl(n)), "Idempotency-Key", fmt.Sprintf("%s-%d", w.domain, n))
		switch {
		case err == nil && r.Status == http.StatusOK:
			w.set(func() { w.versions, w.pending = append(w.versions, r.Body.Int("version")), false })
			n++
		case err != nil || r.Status == http.StatusServiceUnavailable || r.Status == http.StatusTooManyRequests:
			// It may have been made or not. While the process is down there is nobody to ask.
			retry := time.NewTimer(50 * time.Millisecond)
			select {
			case <-changed:
			case <-retry.C:
			case <-ctx.Done():
			}
			retry.Stop()
		case r.Reason() == "IDEMPOTENCY_IN_PROGRESS":
		default:
			w.set(func() { w.problem = fmt.Errorf("change %d of %s: %d %s", n, w.domain, r.Status, r.Raw) })
			return
		}
	}
}

func (w *writer) set(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

func (w *writer) acknowledged() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]int64(nil), w.versions...)
}

// check fails the test unless everything acknowledged so far is there.
func (w *writer) check(t *testing.T, cp *controlplanetest.ControlPlane) {
	t.Helper()
	w.mu.Lock()
	problem, versions := w.problem, w.versions
	w.mu.Unlock()
	if problem != nil {
		t.Fatal(problem)
	}
	c := cp.REST(w.token)
	for n, v := range versions {
		if want := w.first + int64(n) + 1; v != want {
			t.Fatalf("change %d of %s made version %d, want %d", n, w.domain, v, want)
		}
	}
	if len(versions) == 0 {
		return
	}
	last := len(versions) - 1
	if got := c.Get(w.path("")).Int("version"); got < versions[last] {
		t.Fatalf("%s is at version %d, but version %d was acknowledged", w.domain, got, versions[last])
	}
	w.checkVersion(t, c, last)
}

func (w *writer) checkVersion(t *testing.T, c *controlplanetest.REST, n int) {
	t.Helper()
	v := c.Get(w.path(fmt.Sprintf("/versions/%d", w.first+int64(n)+1)))
	if got := v.Int("config.settings.browserTtlSeconds"); got != int64(w.ttl(n)) {
		t.Fatalf("version %d of %s has the TTL %d, want %d: %v", w.first+int64(n)+1, w.domain, got, w.ttl(n), v)
	}
}

// finish checks everything, once the writer ended, and that the newest version goes LIVE.
func (w *writer) finish(t *testing.T, cp *controlplanetest.ControlPlane) {
	t.Helper()
	w.check(t, cp)
	c := cp.REST(w.token)
	// The oldest ones are not kept; those that are have no gap.
	kept := c.Get(w.path("/versions?pageSize=1000")).Objects("versions")
	if len(kept) < 2 {
		t.Errorf("%d versions of %s are kept", len(kept), w.domain)
	}
	for i, v := range kept {
		number := v.Int("number")
		if i > 0 && number != kept[i-1].Int("number")-1 {
			t.Errorf("%s: version %d comes before version %d", w.domain, number, kept[i-1].Int("number"))
		}
		if n := int(number - w.first - 1); n >= 0 && n < len(w.versions) {
			w.checkVersion(t, c, n)
		}
	}
	newest := c.Get(w.path("")).Int("version")
	if made := newest - w.first - int64(len(w.versions)); made < 0 || made > 1 || made == 1 && !w.pending {
		t.Errorf("%s is at version %d after %d acknowledged changes from version %d", w.domain, newest, len(w.versions), w.first)
	}
	if p := cp.Live(c, "acme", w.domain); p.Int("version") != newest {
		t.Errorf("%s: version %d is LIVE, want %d", w.domain, p.Int("version"), newest)
	}
}
