package fleet

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// visit is when a server does something next.
type visit struct {
	at    time.Time
	begun func() // its first report is taken; nil: it comes
	tries int
}

type visits []visit

func (v visits) Len() int           { return len(v) }
func (v visits) Less(i, j int) bool { return v[i].at.Before(v[j].at) }
func (v visits) Swap(i, j int)      { v[i], v[j] = v[j], v[i] }
func (v *visits) Push(x any)        { *v = append(*v, x.(visit)) } //nolint:forcetypeassert // a heap of visits
func (v *visits) Pop() any {
	last := (*v)[len(*v)-1]
	*v = (*v)[:len(*v)-1]
	return last
}

// TestCrowd has 10,000 servers find a leader within a tenth of a second, and do as they are
// told. They are let in at the rate, one refusal is enough for nearly all, and none waits
// much longer than the rate needs.
func TestCrowd(t *testing.T) {
	const servers = 10_000
	clock := clockwork.NewFakeClock()
	began := clock.Now()
	limits := Limits{PerSecond: 500, Burst: 500, Beginning: 100}
	a := newAdmission(clock, limits)
	random := rand.New(rand.NewPCG(1, 2))
	var next visits
	for range servers {
		heap.Push(&next, visit{at: began.Add(time.Duration(random.Int64N(int64(100 * time.Millisecond))))})
	}
	perSecond, refusals, admitted, most := map[int64]int{}, 0, 0, 0
	for len(next) > 0 {
		v := heap.Pop(&next).(visit) //nolint:forcetypeassert // a heap of visits
		clock.Advance(v.at.Sub(clock.Now()))
		if v.begun != nil {
			v.begun()
			continue
		}
		begun, err := a.enter()
		if err == nil {
			admitted++
			perSecond[int64(clock.Since(began)/time.Second)]++
			heap.Push(&next, visit{at: v.at.Add(50 * time.Millisecond), begun: begun})
			if a.beginning > limits.Beginning {
				t.Fatalf("%d streams begin at once", a.beginning)
			}
			continue
		}
		hint := retryAfter(t, err)
		hint += time.Duration(random.Float64() * float64(hint) / 8) // as connect does
		refusals++
		most = max(most, v.tries+1)
		heap.Push(&next, visit{at: v.at.Add(hint), tries: v.tries + 1})
	}
	took := clock.Since(began)
	t.Logf("%d admitted in %v after %d refusals, at most %d of one", admitted, took, refusals, most)
	for second, n := range perSecond {
		if n > limits.PerSecond+limits.Burst {
			t.Errorf("%d streams began in second %d", n, second)
		}
	}
	if admitted != servers || refusals > servers*3/2 || most > 6 || took > 40*time.Second {
		t.Errorf("%d admitted in %v after %d refusals, at most %d of one", admitted, took, refusals, most)
	}
}

func retryAfter(t *testing.T, err error) time.Duration {
	t.Helper()
	e, ok := errors.AsType[*rpcerr.Error](err)
	if !ok || e.Reason != rpcerr.ReasonRateLimited || e.RetryAfter <= 0 || e.RetryAfter > furthest+time.Second {
		t.Fatalf("refused with %v", err)
	}
	return e.RetryAfter
}

// Times that are given out end at the furthest, and begin anew.
func TestPromisesEnd(t *testing.T) {
	a := newAdmission(clockwork.NewFakeClock(), Limits{PerSecond: 10, Burst: 1})
	if _, err := a.enter(); err != nil {
		t.Fatal(err)
	}
	last, anew := time.Duration(0), 0
	for range 1000 {
		_, err := a.enter()
		hint := retryAfter(t, err)
		if hint > furthest || hint <= 0 {
			t.Fatalf("to come again in %v", hint)
		}
		if hint < last {
			anew++
		}
		last = hint
	}
	if anew != 3 {
		t.Errorf("times began anew %d times", anew)
	}
}
