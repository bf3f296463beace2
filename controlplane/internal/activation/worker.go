package activation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// Prover looks for proofs in the DNS. An [onboard.Checker] is one.
type Prover interface {
	CheckDelegation(ctx context.Context, domain string, want []string) onboard.Result
	CheckTXT(ctx context.Context, name, want string) onboard.Result
	CheckCNAME(ctx context.Context, name, want string) onboard.Result
}

// Feed gives views and what changes after them. A [watchcache.Cache] is one.
type Feed interface {
	Read(ctx context.Context) (watchcache.View, error)
	SubscribeFrom(ctx context.Context, prefix string, view watchcache.View) *watchcache.Subscription
}

// Plans answers what plans allow. Package billing implements it.
type Plans interface {
	Cheapest() string
	Entitlements(id string) *breakwaterv1.Entitlements
}

// History lists what is not in the cache. A [registry.Store] is one.
type History interface {
	List(ctx context.Context, req registry.ListRequest) (registry.ListResponse, error)
}

// Config is what a Worker needs. Fields without a default are required.
type Config struct {
	Writer  *change.Writer
	Feed    Feed
	History History
	Prover  Prover
	Plans   Plans
	Clock   clockwork.Clock
	Logger  *slog.Logger
	// NewID makes an ID that orders by time.
	NewID func(now time.Time) string
	// Rand gives numbers from 0 up to 1, for jitter. It is called concurrently.
	Rand func() float64
	// Schedule says when proofs are checked.
	Schedule onboard.Schedule
	// Times say how long sites wait.
	Times sitestate.Times
	// Concurrency is how many sites are worked on at a time; 32 if zero.
	Concurrency int
	// CheckLimit bounds one check; 30 s if zero.
	CheckLimit time.Duration
	// Tick is how often the clock is looked at; 200 ms if zero.
	Tick time.Duration
	// LoseAfter is how many definite failures in a row make an active site move; 3 if zero.
	LoseAfter int
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Worker does what time asks for of sites. Its methods may be called concurrently.
type Worker struct {
	cfg Config
	// places bounds how many sites are worked on at a time.
	places chan struct{}

	mu    sync.Mutex
	sub   *watchcache.Subscription
	due   *deadlines
	busy  map[string]struct{}
	freed chan struct{} // closed, and replaced, when work ends
	// misses counts definite failures in a row of active sites, by key.
	misses map[string]int
}

// New makes a Worker.
func New(cfg Config) *Worker {
	cfg.Concurrency = orDefault(cfg.Concurrency, 32)
	cfg.CheckLimit = orDefault(cfg.CheckLimit, 30*time.Second)
	cfg.Tick = orDefault(cfg.Tick, 200*time.Millisecond)
	cfg.LoseAfter = orDefault(cfg.LoseAfter, 3)
	return &Worker{
		cfg: cfg, places: make(chan struct{}, cfg.Concurrency),
		due: newDeadlines(), busy: map[string]struct{}{}, freed: make(chan struct{}), misses: map[string]int{},
	}
}

// retryAfter is the pause before a site is tried again whose change could not be stored.
const retryAfter = 5 * time.Second

// Run does what is due until ctx ends, and waits for what it began.
func (w *Worker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := w.cfg.Clock.NewTicker(w.cfg.Tick)
	defer tick.Stop()
	failing := false
	for {
		changed, err := w.sync(ctx, false)
		if err != nil && ctx.Err() == nil && !failing {
			w.cfg.Logger.WarnContext(ctx, "activation: sites can't be read", "error", err)
		}
		failing = err != nil
		for err == nil {
			select {
			case w.places <- struct{}{}:
			default:
				err = errFull
				continue
			}
			key, ok := w.take()
			if !ok {
				<-w.places
				break
			}
			wg.Go(func() {
				defer func() { <-w.places }()
				_ = w.work(ctx, key) // logged there
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed: // nil, and never ready, where the sites can't be read
		case <-tick.Chan():
		}
	}
}

var errFull = errors.New("activation: enough is under way")

// RunDue does everything that is due at the clock's now, also what becomes due by that, and
// returns when it is done. What failed is tried again later; its errors are returned.
func (w *Worker) RunDue(ctx context.Context) error {
	var (
		failed error
		mu     sync.Mutex
	)
	for {
		if _, err := w.sync(ctx, true); err != nil {
			return errors.Join(failed, err)
		}
		var wg sync.WaitGroup
		begun := 0
		for {
			key, ok := w.take()
			if !ok {
				break
			}
			begun++
			select {
			case w.places <- struct{}{}:
			case <-ctx.Done():
				w.done(key, ctx.Err())
				wg.Wait()
				return errors.Join(failed, ctx.Err())
			}
			wg.Go(func() {
				defer func() { <-w.places }()
				if err := w.work(ctx, key); err != nil {
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
		idle, freed := w.idle()
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

// sync brings the deadlines up to what the cache knows; with certain, up to everything that
// was stored before the call. The channel is closed when there may be more.
func (w *Worker) sync(ctx context.Context, certain bool) (<-chan struct{}, error) {
	var wanted int64
	if certain {
		view, err := w.cfg.Feed.Read(ctx)
		if err != nil {
			return nil, err
		}
		wanted = view.Revision()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sub == nil {
		return w.rebuild(ctx)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel() // Next then returns what is there and does not wait.
	for {
		batch, err := w.sub.Next(ended)
		var lagged *watchcache.LaggedError
		switch {
		case errors.As(err, &lagged):
			return w.rebuild(ctx)
		case err != nil && w.sub.Revision() >= wanted:
			return w.sub.Wait(), ctx.Err()
		case err != nil:
			// Events reach subscribers a moment after they reach views.
			select {
			case <-w.sub.Wait():
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		for _, ev := range batch.Events {
			if ev.Deleted {
				w.due.drop(ev.Key)
				delete(w.misses, ev.Key)
				continue
			}
			if err := w.note(ev.KV); err != nil {
				return nil, err
			}
		}
	}
}

// rebuild reads all sites. The lock is held.
func (w *Worker) rebuild(ctx context.Context) (<-chan struct{}, error) {
	view, err := w.cfg.Feed.Read(ctx)
	if err != nil {
		return nil, err
	}
	w.due = newDeadlines()
	var failed error
	view.Ascend(resource.AccountsPrefix, func(kv registry.KV) bool {
		failed = w.note(kv)
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	w.sub = w.cfg.Feed.SubscribeFrom(context.WithoutCancel(ctx), resource.AccountsPrefix, view)
	return w.sub.Wait(), nil
}

// note keeps when a site is due. The lock is held.
func (w *Worker) note(kv registry.KV) error {
	if _, kind, _, ok := resource.ParseStateKey(kv.Key); !ok || kind != resource.KindSite {
		return nil
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		return fmt.Errorf("activation: %s: %w", kv.Key, err)
	}
	if what, when := sitestate.NextDue(rec); what == sitestate.DueNothing {
		w.due.drop(kv.Key)
	} else {
		w.due.set(kv.Key, when)
	}
	return nil
}

// take returns a site that is due and marks it as worked on.
func (w *Worker) take() (key string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key, ok = w.due.next(w.cfg.Clock.Now(), func(key string) bool {
		_, busy := w.busy[key]
		return busy
	})
	if ok {
		w.busy[key] = struct{}{}
	}
	return key, ok
}

// done ends the work on a site. A failure makes it due again, a little later.
func (w *Worker) done(key string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, key)
	if err != nil {
		w.due.set(key, w.cfg.Clock.Now().Add(retryAfter))
	}
	close(w.freed)
	w.freed = make(chan struct{})
}

// idle says whether nothing is worked on; else the channel is closed when that may have
// changed.
func (w *Worker) idle() (bool, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.busy) == 0, w.freed
}
