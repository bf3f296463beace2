package ratelimit

import (
	"container/list"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// Decision says whether a call may be made now, and what is left.
type Decision struct {
	// Allowed says whether the call may be made.
	Allowed bool
	// Limit is the number of calls in a window; zero where there is no limit.
	Limit int
	// Remaining is how many calls may follow at once.
	Remaining int
	// Reset is how long it takes until Remaining is Limit again, without further calls.
	Reset time.Duration
	// RetryAfter is how long to wait before the next call is allowed; zero where this one
	// is.
	RetryAfter time.Duration
}

// Config is what a Limiter needs.
type Config struct {
	Clock clockwork.Clock
	// Limit is how many calls a tenant may make in a window; zero or less is no limit. It is
	// asked again when the last answer is older than LimitAge.
	Limit func(tenant string) int
	// LimitAge is how long an answer of Limit holds; zero means 5 s.
	LimitAge time.Duration
	// Window is the window of time; zero means 5 minutes.
	Window time.Duration
	// MaxTenants bounds how many tenants are remembered; zero means 65,536.
	MaxTenants int
}

// Limiter counts calls by tenant.
type Limiter struct {
	cfg Config

	mu      sync.Mutex
	tenants map[string]*list.Element
	// recent has the most recently used tenant in front.
	recent *list.List
}

// bucket is a token bucket in the form of one time: when it will be full again. Its level
// is the part of the window that lies between now and then.
type bucket struct {
	tenant  string
	full    time.Time
	limit   int
	limitAt time.Time
}

// NewLimiter returns a Limiter.
func NewLimiter(cfg Config) *Limiter {
	if cfg.LimitAge <= 0 {
		cfg.LimitAge = 5 * time.Second
	}
	if cfg.Window <= 0 {
		cfg.Window = 5 * time.Minute
	}
	if cfg.MaxTenants <= 0 {
		cfg.MaxTenants = 1 << 16
	}
	return &Limiter{cfg: cfg, tenants: map[string]*list.Element{}, recent: list.New()}
}

// Allow counts one call of the tenant, if it may be made.
func (l *Limiter) Allow(tenant string) Decision {
	now := l.cfg.Clock.Now()
	limit, known := l.knownLimit(tenant, now)
	if !known {
		// Asked without the lock: the answer may take a while to compute.
		limit = l.cfg.Limit(tenant)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(tenant, now)
	// A bucket that was forgotten and made again meanwhile knows no limit either.
	if !known || b.limitAt.IsZero() {
		b.limit, b.limitAt = limit, now
	}
	return b.take(now, l.cfg.Window)
}

// Take counts one event of a key that has a limit of its own, if it may happen. Keys and
// tenants share the limiter's memory, so one limiter serves one or the other.
func (l *Limiter) Take(key string, limit int) Decision {
	now := l.cfg.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key, now)
	b.limit, b.limitAt = limit, now
	return b.take(now, l.cfg.Window)
}

func (l *Limiter) knownLimit(tenant string, now time.Time) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.tenants[tenant]
	if !ok {
		return 0, false
	}
	b := value(e)
	return b.limit, now.Sub(b.limitAt) < l.cfg.LimitAge
}

// bucket finds or makes the tenant's bucket, marks it as used, and forgets others.
func (l *Limiter) bucket(tenant string, now time.Time) *bucket {
	if e, ok := l.tenants[tenant]; ok {
		l.recent.MoveToFront(e)
		return value(e)
	}
	// A full bucket is the same as none. Two for each new one keeps pace.
	for range 2 {
		if e := l.recent.Back(); e != nil && (!value(e).full.After(now) || len(l.tenants) >= l.cfg.MaxTenants) {
			l.recent.Remove(e)
			delete(l.tenants, value(e).tenant)
		}
	}
	b := &bucket{tenant: tenant, full: now}
	l.tenants[tenant] = l.recent.PushFront(b)
	return b
}

func value(e *list.Element) *bucket {
	b, _ := e.Value.(*bucket)
	return b
}

func (b *bucket) take(now time.Time, window time.Duration) Decision {
	if b.limit <= 0 {
		return Decision{Allowed: true}
	}
	each := max(window/time.Duration(b.limit), 1)
	used := max(b.full.Sub(now), 0)
	d := Decision{Limit: b.limit}
	if used+each > window {
		d.RetryAfter = used + each - window
	} else {
		used += each
		b.full = now.Add(used)
		d.Allowed = true
	}
	d.Reset = used
	d.Remaining = int((window - used) / each)
	return d
}
