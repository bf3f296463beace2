package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLimiter(t *testing.T) {
	clock := clockwork.NewFakeClock()
	l := ratelimit.NewLimiter(ratelimit.Config{Clock: clock, Window: time.Minute, Limit: func(string) int { return 60 }})
	for i := range 60 {
		d := l.Allow("a")
		if !d.Allowed || d.Limit != 60 || d.Remaining != 59-i || d.Reset != time.Duration(i+1)*time.Second {
			t.Fatalf("call %d: %+v", i, d)
		}
	}
	d := l.Allow("a")
	if d.Allowed || d.Remaining != 0 || d.RetryAfter != time.Second || d.Reset != time.Minute {
		t.Fatalf("above the limit: %+v", d)
	}
	if d := l.Allow("b"); !d.Allowed {
		t.Errorf("another tenant pays for it: %+v", d)
	}
	clock.Advance(d.RetryAfter)
	if d := l.Allow("a"); !d.Allowed {
		t.Errorf("after RetryAfter: %+v", d)
	}
	if d := l.Allow("a"); d.Allowed {
		t.Errorf("one second brings more than one call: %+v", d)
	}
}

func TestLimiterWithoutLimit(t *testing.T) {
	l := ratelimit.NewLimiter(ratelimit.Config{Clock: clockwork.NewFakeClock(), Limit: func(string) int { return 0 }})
	for range 10_000 {
		if d := l.Allow("a"); !d.Allowed || d.Limit != 0 {
			t.Fatalf("%+v", d)
		}
	}
}

func TestLimiterLearnsOfAnotherPlan(t *testing.T) {
	clock := clockwork.NewFakeClock()
	limit, asked := 1, 0
	l := ratelimit.NewLimiter(ratelimit.Config{Clock: clock, Window: time.Minute, LimitAge: time.Second, Limit: func(string) int {
		asked++
		return limit
	}})
	l.Allow("a")
	if d := l.Allow("a"); d.Allowed || asked != 1 {
		t.Fatalf("%+v, asked %d times", d, asked)
	}
	limit = 1000
	clock.Advance(time.Second)
	if d := l.Allow("a"); !d.Allowed || d.Limit != 1000 {
		t.Errorf("after the upgrade: %+v", d)
	}
}

func TestLimiterForgets(t *testing.T) {
	clock := clockwork.NewFakeClock()
	l := ratelimit.NewLimiter(ratelimit.Config{Clock: clock, Window: time.Minute, MaxTenants: 10, Limit: func(string) int { return 1 }})
	l.Allow("first")
	for i := range 1000 {
		l.Allow(fmt.Sprint("t", i))
		if i%5 == 0 {
			l.Allow("kept")
		}
	}
	if d := l.Allow("kept"); d.Allowed {
		t.Error("a tenant that keeps calling was forgotten")
	}
	if d := l.Allow("first"); !d.Allowed {
		t.Error("more tenants are remembered than MaxTenants")
	}
}

// TestLimiterNeverExceeds checks the promise for any pattern of calls: in no window of time
// are there more than twice the limit (a full bucket, and what flows in), and a call is
// allowed once RetryAfter has passed.
func TestLimiterNeverExceeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := clockwork.NewFakeClock()
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		l := ratelimit.NewLimiter(ratelimit.Config{Clock: clock, Window: time.Minute, Limit: func(string) int { return limit }})
		var allowed []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			clock.Advance(time.Duration(rapid.IntRange(0, 5000).Draw(t, "pause")) * time.Millisecond)
			d := l.Allow("a")
			if d.Allowed {
				allowed = append(allowed, clock.Now())
			} else {
				clock.Advance(d.RetryAfter)
				if d := l.Allow("a"); !d.Allowed {
					t.Fatalf("refused after RetryAfter: %+v", d)
				}
				allowed = append(allowed, clock.Now())
			}
		}
		for i, from := range allowed {
			n := 0
			for _, at := range allowed[i:] {
				if at.Sub(from) < time.Minute {
					n++
				}
			}
			if n > 2*limit {
				t.Fatalf("%d calls in a window of %d", n, limit)
			}
		}
	})
}

func gate(t *testing.T, cfg ratelimit.GateConfig) (*ratelimit.Gate, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClock()
	cfg.Clock = clock
	return ratelimit.NewGate(cfg), clock
}

// waiting starts a call and returns once it waits.
func waiting(t *testing.T, g *ratelimit.Gate, clock *clockwork.FakeClock, tenant string, already int, then func(leave func(), err error)) {
	t.Helper()
	go func() { then(g.Enter(context.Background(), tenant)) }()
	if err := clock.BlockUntilContext(t.Context(), already+1); err != nil {
		t.Fatal(err)
	}
}

func TestGateIsFair(t *testing.T) {
	g, clock := gate(t, ratelimit.GateConfig{Total: 2, PerTenant: 2, Queue: 100})
	var places []func()
	for range 2 {
		leave, err := g.Enter(t.Context(), "noisy")
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, leave)
	}
	type entry struct {
		tenant string
		leave  func()
	}
	entered := make(chan entry, 64)
	for i := range 50 {
		waiting(t, g, clock, "noisy", i, func(leave func(), _ error) { entered <- entry{"noisy", leave} })
	}
	waiting(t, g, clock, "quiet", 50, func(leave func(), _ error) { entered <- entry{"quiet", leave} })

	// The noisy tenant waited first and is at its own bound; its first place goes to the
	// front of the turns, where the quiet tenant already is.
	places[0]()
	first := <-entered
	if first.tenant != "quiet" {
		t.Errorf("the first free place went to %q", first.tenant)
	}
	first.leave()
	places[1]()
	for range 50 {
		(<-entered).leave()
	}
	if running, tenants := g.Load(); running != 0 || tenants != 0 {
		t.Errorf("%d calls, %d tenants are left", running, tenants)
	}
}

func TestGateBounds(t *testing.T) {
	g, clock := gate(t, ratelimit.GateConfig{Total: 10, PerTenant: 1, Queue: 1, MaxWait: time.Second})
	leave, err := g.Enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	waiting(t, g, clock, "a", 0, func(_ func(), err error) { waited <- err })
	if _, err := g.Enter(t.Context(), "a"); !errors.Is(err, ratelimit.ErrBusy) {
		t.Errorf("above the queue: %v", err)
	}
	if other, err := g.Enter(t.Context(), "b"); err != nil {
		t.Errorf("another tenant: %v", err)
	} else {
		other()
	}
	clock.Advance(time.Second)
	if err := <-waited; !errors.Is(err, ratelimit.ErrBusy) {
		t.Errorf("after MaxWait: %v", err)
	}
	leave()
	if running, tenants := g.Load(); running != 0 || tenants != 0 {
		t.Errorf("%d calls, %d tenants are left", running, tenants)
	}
}

func TestGateGivesUpWithTheCaller(t *testing.T) {
	g, clock := gate(t, ratelimit.GateConfig{Total: 1})
	leave, err := g.Enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() {
		_, err := g.Enter(ctx, "b")
		waited <- err
	}()
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	leave()
	if running, tenants := g.Load(); running != 0 || tenants != 0 {
		t.Errorf("%d calls, %d tenants are left", running, tenants)
	}
}

// TestGateUnderLoad hammers the gate and checks its bounds from inside.
func TestGateUnderLoad(t *testing.T) {
	g := ratelimit.NewGate(ratelimit.GateConfig{
		Clock: clockwork.NewRealClock(), Total: 4, PerTenant: 2, Queue: 1000, MaxWait: time.Minute,
	})
	var (
		mu      sync.Mutex
		running = map[string]int{}
		total   int
		wg      sync.WaitGroup
	)
	for i := range 40 {
		tenant := fmt.Sprint("t", i%5)
		wg.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(context.Background())
				if i%7 == 0 {
					cancel()
				}
				leave, err := g.Enter(ctx, tenant)
				if err == nil {
					mu.Lock()
					running[tenant]++
					total++
					if running[tenant] > 2 || total > 4 {
						t.Errorf("%d of %s and %d in all run at once", running[tenant], tenant, total)
					}
					mu.Unlock()
					mu.Lock()
					running[tenant]--
					total--
					mu.Unlock()
					leave()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if running, tenants := g.Load(); running != 0 || tenants != 0 {
		t.Errorf("%d calls, %d tenants are left", running, tenants)
	}
}
