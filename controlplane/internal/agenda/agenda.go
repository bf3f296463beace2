package agenda

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// Feed gives views and what changes after them. A [watchcache.Cache] is one.
type Feed interface {
	Read(ctx context.Context) (watchcache.View, error)
	SubscribeFrom(ctx context.Context, prefix string, view watchcache.View) *watchcache.Subscription
}

// Config is what an Agenda needs. Fields without a default are required.
type Config struct {
	// Name says in logs what is worked on.
	Name string
	Feed Feed
	// Prefix is where the keys are.
	Prefix string
	// When says when a value is due; ok is false for never.
	When func(kv registry.KV) (at time.Time, ok bool, err error)
	// Work does what is due of a key, if it still is. It is called concurrently, for one key
	// at a time. Errors are logged here.
	Work func(ctx context.Context, key string) error
	// Gone, if any, is called when a key was removed. It must not call the Agenda.
	Gone   func(key string)
	Clock  clockwork.Clock
	Logger *slog.Logger
	// Concurrency is how many keys are worked on at a time; 32 if zero.
	Concurrency int
	// Tick is how often the clock is looked at; 200 ms if zero.
	Tick time.Duration
	// RetryAfter is the pause before a key is handed out again whose work failed; 5 s if zero.
	RetryAfter time.Duration
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Agenda does work when it falls due. Its methods may be called concurrently.
type Agenda struct {
	cfg Config
	// places bounds how many keys are worked on at a time.
	places chan struct{}

	mu    sync.Mutex
	sub   *watchcache.Subscription
	due   *deadlines
	busy  map[string]struct{}
	freed chan struct{} // closed, and replaced, when work ends
}

// New makes an Agenda.
func New(cfg Config) *Agenda {
	cfg.Concurrency = orDefault(cfg.Concurrency, 32)
	cfg.Tick = orDefault(cfg.Tick, 200*time.Millisecond)
	cfg.RetryAfter = orDefault(cfg.RetryAfter, 5*time.Second)
	return &Agenda{
		cfg: cfg, places: make(chan struct{}, cfg.Concurrency),
		due: newDeadlines(), busy: map[string]struct{}{}, freed: make(chan struct{}),
	}
}

// Run does what is due until ctx ends, and waits for what it began.
func (a *Agenda) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := a.cfg.Clock.NewTicker(a.cfg.Tick)
	defer tick.Stop()
	failing := false
	for {
		// What is due may be busy, or everybody may be: either ends with this.
		_, freed := a.idle()
		changed, err := a.sync(ctx, false)
		if err != nil && ctx.Err() == nil && !failing {
			a.cfg.Logger.WarnContext(ctx, "what is due can't be read", "agenda", a.cfg.Name, "error", err)
		}
		failing = err != nil
		for err == nil {
			select {
			case a.places <- struct{}{}:
			default:
				err = errFull
				continue
			}
			key, ok := a.take()
			if !ok {
				<-a.places
				break
			}
			wg.Go(func() {
				defer func() { <-a.places }()
				_ = a.work(ctx, key) // logged there
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed: // nil, and never ready, where the keys can't be read
		case <-freed:
		case <-tick.Chan():
		}
	}
}

var errFull = errors.New("agenda: enough is under way")

// RunDue does everything that is due at the clock's now, also what becomes due by that, and
// returns when it is done. What failed is tried again later; its errors are returned.
func (a *Agenda) RunDue(ctx context.Context) error {
	var (
		failed error
		mu     sync.Mutex
	)
	for {
		if _, err := a.sync(ctx, true); err != nil {
			return errors.Join(failed, err)
		}
		var wg sync.WaitGroup
		begun := 0
		for {
			key, ok := a.take()
			if !ok {
				break
			}
			begun++
			select {
			case a.places <- struct{}{}:
			case <-ctx.Done():
				a.done(key, ctx.Err())
				wg.Wait()
				return errors.Join(failed, ctx.Err())
			}
			wg.Go(func() {
				defer func() { <-a.places }()
				if err := a.work(ctx, key); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if begun > 0 {
			continue
		}
		idle, freed := a.idle()
		if idle {
			return failed
		}
		select {
		case <-freed: // Run had begun something that is due.
		case <-ctx.Done():
			return errors.Join(failed, ctx.Err())
		}
	}
}

func (a *Agenda) work(ctx context.Context, key string) error {
	err := a.cfg.Work(ctx, key)
	a.done(key, err)
	if err != nil && ctx.Err() == nil {
		a.cfg.Logger.WarnContext(ctx, "work that was due is tried again", "agenda", a.cfg.Name, "key", key, "error", err)
	}
	return err
}

// take returns a key that is due and marks it as worked on.
func (a *Agenda) take() (key string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key, ok = a.due.next(a.cfg.Clock.Now(), func(key string) bool {
		_, busy := a.busy[key]
		return busy
	})
	if ok {
		a.busy[key] = struct{}{}
	}
	return key, ok
}

// done ends the work on a key. A failure makes it due again, a little later.
func (a *Agenda) done(key string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, key)
	if err != nil {
		a.due.set(key, a.cfg.Clock.Now().Add(a.cfg.RetryAfter))
	}
	close(a.freed)
	a.freed = make(chan struct{})
}

// idle says whether nothing is worked on; else the channel is closed when that may have
// changed.
func (a *Agenda) idle() (bool, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.busy) == 0, a.freed
}
