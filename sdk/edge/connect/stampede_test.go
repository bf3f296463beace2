package connect_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/sdk/edge/connect"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/feed"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	// patience is for a busy machine, and 10,000 clients on it.
	patience = 20 * time.Minute
	// step is how far time passes at once.
	step = time.Second
)

// dataCenters are those whose servers the crowd is.
var dataCenters = []string{"AMS", "LHR", "NRT", "SJC", "SYD"}

// crowd is many agents' feeds, without disks and data planes, each over a connection of its
// own, on a clock of the test's.
type crowd struct {
	t     *testing.T
	clock *clockwork.FakeClock
	etcd  *besieged
	feeds []*feed.Feed
	pub   *edgetest.Publisher
}

func gather(t *testing.T, n int, heartbeat, timeout time.Duration) *crowd {
	t.Helper()
	c := &crowd{t: t, clock: clockwork.NewFakeClock()}
	c.etcd = besiege(t, c.clock)
	c.pub = edgetest.NewPublisher(t, c.etcd.admin)
	c.release()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for i := range n {
		random := locked(rand.New(rand.NewPCG(1, uint64(i))).Float64)
		etcd, err := connect.OpenEtcd(connect.EtcdConfig{
			Endpoints: []string{"http://etcd.test:2379"}, Clock: c.clock, Random: random, Dial: c.etcd.dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		f := feed.New(feed.Config{
			DataCenter: dataCenters[i%len(dataCenters)], Etcd: etcd, Quota: 1 << 20, Heartbeat: heartbeat, Timeout: timeout,
			Clock: c.clock, Pause: pauses(random), Logger: slog.New(slog.DiscardHandler),
			Rejected: func(wire.Channel) []int64 { return nil }, Abandoned: func(wire.Channel, int64) {},
		})
		c.feeds = append(c.feeds, f)
		running.Go(func() {
			f.Run(ctx)
			if err := etcd.Close(); err != nil {
				t.Error(err)
			}
		})
		if i%200 == 199 {
			c.told(1) // they do not all start at once either
		}
	}
	c.told(1)
	for give := time.Now().Add(patience); !c.etcd.so(func(s seen) bool { return len(s.watches) == n }); runtime.Gosched() {
		if time.Now().After(give) {
			t.Fatalf("not all watch: %s", c.etcd)
		}
	}
	return c
}

func locked(random func() float64) func() float64 {
	var mu sync.Mutex
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return random()
	}
}

// pauses are those of an agent by default: doubling from 100 ms to 10 s, half of it random.
func pauses(random func() float64) func(int) time.Duration {
	return func(attempt int) time.Duration {
		d := min(100*time.Millisecond<<min(attempt, 16), 10*time.Second)
		return d/2 + time.Duration(random()*float64(d)/2)
	}
}

// release seals one, and has all data centers serve it.
func (c *crowd) release() int64 {
	n := c.pub.Release(wire.Routine, edgetest.Doc(wire.KindSite, "shop.test", fmt.Sprint(c.clock.Now())))
	for _, dc := range dataCenters {
		c.pub.Target(dc, wire.Routine, n, time.Second)
	}
	return n
}

// told waits until everyone knows that a release is to be served.
func (c *crowd) told(n int64) {
	c.t.Helper()
	for i, f := range c.feeds {
		for give := time.After(patience); ; {
			if got, _ := f.Target(wire.Routine); got.Release == n {
				break
			}
			select {
			case <-f.Wake():
			case <-time.After(time.Second):
				c.clock.Advance(100 * time.Millisecond) // a busy machine let a read time out
			case <-give:
				c.t.Fatalf("feed %d was not told of release %d", i, n)
			}
		}
	}
}

// settle waits until everyone did what was due. Everyone has the timer of its heartbeat, or
// of its next list, and where it is not connected that of its next attempt.
func (c *crowd) settle() {
	c.t.Helper()
	give := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(20+len(c.feeds)/20)*time.Millisecond)
		err := c.clock.BlockUntilContext(ctx, 2*len(c.feeds)-c.etcd.connected())
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(give) {
			c.t.Fatalf("what was due is not done within %v", patience)
		}
	}
}

// revision is that of the store.
func (c *crowd) revision() int64 {
	c.t.Helper()
	resp, err := c.etcd.admin.Get(c.t.Context(), "x")
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.Header.GetRevision()
}

// busiest is the most times within any second.
func busiest(times []time.Time) int {
	times = slices.SortedFunc(slices.Values(times), time.Time.Compare)
	most, first := 0, 0
	for i, at := range times {
		for at.Sub(times[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// crowdSize is a fleet of 10,000 servers in the long form.
func crowdSize() int {
	if os.Getenv("BREAKWATER_SOAK") != "" {
		return 10_000
	}
	return 300
}

// TestNoStampede cuts all watchers off at the same moment. They come back spread over a
// while, each goes on where it was, and after a compaction the lists are spread as well.
func TestNoStampede(t *testing.T) {
	t.Parallel()
	n := crowdSize()
	c := gather(t, n, 1000*time.Hour, time.Minute)
	c.clock.Advance(time.Minute) // the connections last
	c.etcd.take()

	// An outage of a minute. Everyone has two timers: of its heartbeat, and of the next
	// attempt.
	at := c.revision()
	c.etcd.cut()
	c.settle()
	if got := c.etcd.take(); len(got.attempts) > 0 {
		t.Errorf("%d tried again at once", len(got.attempts))
	}
	c.pass(2 * time.Second)
	first := c.etcd.take().attempts
	c.pass(58 * time.Second)
	later := c.etcd.take().attempts
	t.Logf("%d clients are cut off for a minute: %d attempts in the first 2 s, at most %d a second; %d later, at most %d a second",
		n, len(first), busiest(first), len(later), busiest(later))
	// At first everyone once within 2 s; some draw short waits and come again.
	within(t, "attempts in the first second", busiest(first), n*7/8)
	within(t, "attempts a second in a long outage", busiest(later[len(later)/2:]), n/8+n/16+20)
	within(t, "attempts of each in a minute", (len(first)+len(later))/n, 16)

	missed := c.release()
	c.etcd.restore()
	c.until("all watch again", func(s seen) bool { return len(s.watches) == n })
	c.told(missed)
	got := c.etcd.take()
	t.Logf("they come back: %d attempts, at most %d a second", len(got.attempts), busiest(got.attempts))
	within(t, "attempts after the outage", len(got.attempts), n+n/20) // a busy machine may let some time out
	within(t, "attempts a second after the outage", busiest(got.attempts), n/8+n/16+20)
	within(t, "reads after the outage", len(got.reads), 0)
	for _, from := range got.watches {
		if from != at+1 {
			t.Fatalf("a watch went on at %d, not at %d", from, at+1)
		}
	}
	for i, f := range c.feeds {
		if _, ok := f.StagedManifest(wire.Routine, missed); !ok {
			t.Fatalf("feed %d did not see what was released meanwhile", i)
		}
		if f.Epoch() != 1 {
			t.Fatalf("feed %d listed %d times", i, f.Epoch())
		}
	}

	// An outage that history did not outlast. All have to list, and none at the same time.
	c.etcd.cut()
	c.settle()
	missed = c.release()
	if _, err := c.etcd.admin.Compact(t.Context(), c.revision()); err != nil {
		t.Fatal(err)
	}
	c.etcd.take()
	c.etcd.restore()
	c.until("all listed", func(s seen) bool { return len(s.reads) >= n })
	c.told(missed)
	got = c.etcd.take()
	t.Logf("after a compaction: %d lists, at most %d a second, %d at once", len(got.reads), busiest(got.reads), got.together)
	within(t, "lists", len(got.reads), n+n/20)
	within(t, "lists a second", busiest(got.reads), n/8+n/16+20)
}

// TestLongOutage is one in which heartbeats fail as well: watches still go on where they
// were, without a list.
func TestLongOutage(t *testing.T) {
	t.Parallel()
	c := gather(t, 20, 10*time.Second, 300*time.Millisecond)
	at := c.revision()
	c.etcd.take()
	c.etcd.cut()
	// Until every heartbeat failed, and the watch with it.
	c.elapse(func() bool {
		return !slices.ContainsFunc(c.feeds, func(f *feed.Feed) bool {
			_, _, connected := f.Position()
			return connected
		})
	})
	missed := c.release()
	c.etcd.take()
	c.etcd.restore()
	c.elapse(func() bool {
		return !slices.ContainsFunc(c.feeds, func(f *feed.Feed) bool {
			got, _ := f.Target(wire.Routine)
			return got.Release != missed
		})
	})
	for _, from := range c.etcd.take().watches {
		if from != at+1 && from <= c.revision() {
			t.Errorf("a watch went on at %d, not at %d", from, at+1)
		}
	}
	for i, f := range c.feeds {
		if f.Epoch() != 1 {
			t.Errorf("feed %d listed %d times", i, f.Epoch())
		}
	}
}

// elapse lets time pass until something happened; agents' time-outs are of real time.
func (c *crowd) elapse(done func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for give := time.Now().Add(patience); !done(); <-tick.C {
		c.clock.Advance(100 * time.Millisecond)
		if time.Now().After(give) {
			c.t.Fatal("it does not happen")
		}
	}
}

// pass lets time pass in steps, and waits after each until everyone did what was due.
func (c *crowd) pass(d time.Duration) {
	c.t.Helper()
	for passed := time.Duration(0); passed < d; passed += step {
		c.clock.Advance(step)
		c.settle()
	}
}

// until lets time pass until what came is as wanted.
func (c *crowd) until(what string, done func(seen) bool) {
	c.t.Helper()
	for give := time.Now().Add(patience); !c.etcd.so(done); c.pass(step) {
		if time.Now().After(give) {
			c.t.Fatalf("not within %v: %s: %s", patience, what, c.etcd)
		}
	}
}

func within(t *testing.T, what string, got, most int) {
	t.Helper()
	if got > most {
		t.Errorf("%s: %d, more than %d", what, got, most)
	}
}
