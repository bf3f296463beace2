package fleet

import (
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Limits bound how many servers may begin to report at a time. A leader that is new, or
// that was away, is found by the whole fleet at once, and each server's first report is a
// change that the rollout and the summaries look at. Zero values mean the defaults.
type Limits struct {
	// PerSecond is how many streams may begin in a second, and Burst how many at once after
	// quiet. Both 1,000 by default.
	PerSecond, Burst int
	// Beginning is how many streams may be open whose first report is not taken yet; 256 by
	// default.
	Beginning int
}

// The rest of what is promised to servers that are refused.
const (
	// furthest is the longest time after which a refused server is asked to come again.
	furthest = 30 * time.Second
	// firstWithin is how long a stream may be open before its first report is taken.
	firstWithin = 5 * time.Second
)

func (l Limits) withDefaults() Limits {
	if l.PerSecond <= 0 {
		l.PerSecond = 1000
	}
	if l.Burst <= 0 {
		l.Burst = 1000
	}
	if l.Beginning <= 0 {
		l.Beginning = 256
	}
	return l
}

// admission lets streams begin within limits. It is safe for concurrent use.
//
// Whoever is refused is given a time of its own to come again, as far from the one before
// as the rate allows: so thousands come back one after the other, and not all together
// after the same pause to be refused again.
type admission struct {
	clock  clockwork.Clock
	limits Limits

	mu        sync.Mutex
	tokens    float64
	counted   time.Time // when tokens were counted last
	promised  time.Time // the last time that was given to anyone
	beginning int
}

func newAdmission(clock clockwork.Clock, limits Limits) *admission {
	limits = limits.withDefaults()
	return &admission{clock: clock, limits: limits, tokens: float64(limits.Burst), counted: clock.Now()}
}

// enter lets a stream begin; begun must be called once, when its first report was taken or
// when it ended before. The error says when to come again.
func (a *admission) enter() (begun func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	rate := float64(a.limits.PerSecond)
	a.tokens = min(a.tokens+now.Sub(a.counted).Seconds()*rate, float64(a.limits.Burst))
	a.counted = now
	if a.tokens < 1 || a.beginning >= a.limits.Beginning {
		return nil, rpcerr.RateLimited("reports", a.promise(now), "too many servers begin to report at once: come again later")
	}
	a.tokens--
	a.beginning++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.beginning--
	}, nil
}

// promise returns after what time to come again. When the times reach too far, they begin
// anew. The caller holds the lock.
func (a *admission) promise(now time.Time) time.Duration {
	if a.promised.Before(now) || a.promised.Sub(now) >= furthest {
		a.promised = now
	}
	a.promised = a.promised.Add(time.Second / time.Duration(a.limits.PerSecond))
	return a.promised.Sub(now)
}
