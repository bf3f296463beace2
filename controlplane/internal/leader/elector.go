package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
)

// Config says how to elect. The zero value works.
type Config struct {
	// TTL is how long a dead leader keeps others out; zero means 3 s. Stores count leases
	// in seconds.
	TTL time.Duration
	// Clock drives the lease. Nil means the real one.
	Clock clockwork.Clock
	// Logger gets changes of leadership. Nil discards them.
	Logger *slog.Logger
	// RetryMin and RetryMax bound the pause after a failure, which doubles each time; zero
	// means 50 ms and 2 s.
	RetryMin, RetryMax time.Duration
}

func (c Config) withDefaults() Config {
	if c.TTL <= 0 {
		c.TTL = 3 * time.Second
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.RetryMin <= 0 {
		c.RetryMin = 50 * time.Millisecond
	}
	if c.RetryMax <= 0 {
		c.RetryMax = 2 * time.Second
	}
	c.RetryMax = max(c.RetryMax, c.RetryMin)
	return c
}

// trust is the part of the lease's time, counted from when it was last asked to be
// renewed, in which a leader leads. The rest is for its function to stop in, and for clocks
// that run at different speeds.
func (c Config) trust() time.Duration { return c.TTL * 5 / 6 }

// Elector is one candidate. Its methods may be called concurrently, but Run only once at a
// time.
type Elector struct {
	store registry.Store
	key   string
	id    string
	cfg   Config
	term  atomic.Pointer[Term]
}

// New returns a candidate for the leadership that key stands for. The elector also writes
// key with "/term" appended. id names the candidate to people; it need not be unique.
func New(store registry.Store, key, id string, cfg Config) *Elector {
	return &Elector{store: store, key: key, id: id, cfg: cfg.withDefaults()}
}

// Term is one period of one leader.
type Term struct {
	number int64
	fence  registry.Compare
}

// Number is larger than that of every term before.
func (t Term) Number() int64 { return t.number }

// Fence is the condition that every transaction of the leader includes: it fails with a
// [registry.ConflictError] once the term is over.
func (t Term) Fence() registry.Compare { return t.fence }

// Holder says who leads.
type Holder struct {
	// ID is that of the candidate.
	ID string `json:"id"`
	// Term is the number of its term.
	Term int64 `json:"term"`
}

// Holder reads who leads, or fails with [registry.ErrNotFound] while nobody does.
func (e *Elector) Holder(ctx context.Context) (Holder, error) {
	kv, err := e.store.Get(ctx, e.key)
	if err != nil {
		return Holder{}, err
	}
	var h Holder
	if err := json.Unmarshal(kv.Value, &h); err != nil {
		return Holder{}, fmt.Errorf("leader: %s: %w", e.key, err)
	}
	return h, nil
}

// Leading returns the term while this candidate leads.
func (e *Elector) Leading() (Term, bool) {
	if t := e.term.Load(); t != nil {
		return *t, true
	}
	return Term{}, false
}

// Run campaigns, calls lead while leading, and campaigns again afterwards, until ctx ends;
// it then returns nil. The context of lead ends with ctx and as soon as the lease can't be
// trusted; lead should then return soon. Where lead returns by itself, with an error or
// without, the leadership is given up and fought for again after a pause.
func (e *Elector) Run(ctx context.Context, lead func(ctx context.Context, term Term) error) error {
	pause := e.cfg.RetryMin
	for ctx.Err() == nil {
		began := e.cfg.Clock.Now()
		err := e.runTerm(ctx, lead)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // to end with ctx is what was asked for
		}
		if e.cfg.Clock.Since(began) > e.cfg.RetryMax {
			pause = e.cfg.RetryMin
		}
		e.cfg.Logger.WarnContext(ctx, "leadership is to be fought for again",
			"key", e.key, "id", e.id, "retry", pause, "error", err)
		e.sleep(ctx, pause)
		pause = min(2*pause, e.cfg.RetryMax)
	}
	return nil
}

// runTerm waits for the leadership, leads, and returns why that ended.
func (e *Elector) runTerm(ctx context.Context, lead func(context.Context, Term) error) error {
	held, err := e.campaign(ctx)
	if err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	e.cfg.Logger.InfoContext(ctx, "leading", "key", e.key, "id", e.id, "term", held.term.number)
	e.term.Store(&held.term)
	err = e.serve(ctx, held, lead)
	e.term.Store(nil)
	e.resign(ctx, held.lease)
	e.cfg.Logger.InfoContext(ctx, "no longer leading",
		"key", e.key, "id", e.id, "term", held.term.number, "reason", err)
	return err
}

// resign ends the lease, and with it the key. Where that fails the lease's time ends it.
func (e *Elector) resign(ctx context.Context, lease registry.LeaseID) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.TTL)
	defer cancel()
	if err := e.store.Revoke(bounded, lease); err != nil && !errors.Is(err, registry.ErrNotFound) {
		e.cfg.Logger.WarnContext(ctx, "could not resign", "key", e.key, "id", e.id, "error", err)
	}
}

// sleep pauses with jitter, so that candidates do not come in step.
func (e *Elector) sleep(ctx context.Context, d time.Duration) {
	timer := e.cfg.Clock.NewTimer(d/2 + rand.N(d)) //nolint:gosec // jitter needs no secrecy
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-ctx.Done():
	}
}
