package activation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/agenda"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// Prover looks for proofs in the DNS. An [onboard.Checker] is one.
type Prover interface {
	CheckDelegation(ctx context.Context, domain string, want []string) onboard.Result
	CheckTXT(ctx context.Context, name, want string) onboard.Result
	CheckCNAME(ctx context.Context, name, want string) onboard.Result
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

// Billing is told of the end of a site, and of its return, in the change that makes it. A
// [payments.Lifecycle] is one.
type Billing interface {
	SiteDeleted(tx *change.Tx, account, site string) error
	// SiteLost is for a site that moved; audit is where the events of its account go.
	SiteLost(tx *change.Tx, rec *storev1.SiteRecord, audit func(*breakwaterv1.AuditEvent)) error
	SiteRestored(tx *change.Tx, account, site string) error
	SitePurged(tx *change.Tx, account, site string) error
}

// Config is what a Worker needs. Fields without a default are required.
type Config struct {
	Writer  *change.Writer
	Feed    agenda.Feed
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
	// Billing may be nil: then nobody is told of the end of a site, and of its return.
	Billing Billing
	// Concurrency is how many sites are worked on at a time; 32 if zero.
	Concurrency int
	// CheckLimit bounds one check; 30 s if zero.
	CheckLimit time.Duration
	// Tick is how often the clock is looked at; 200 ms if zero.
	Tick time.Duration
	// LoseAfter is how many definite failures in a row make an active site move; 3 if zero.
	LoseAfter int
}

// Worker does what time asks for of sites. Its methods may be called concurrently.
type Worker struct {
	cfg    Config
	agenda *agenda.Agenda

	mu sync.Mutex
	// misses counts definite failures in a row of active sites, by key.
	misses map[string]int
}

// New makes a Worker.
func New(cfg Config) *Worker {
	if cfg.CheckLimit <= 0 {
		cfg.CheckLimit = 30 * time.Second
	}
	if cfg.LoseAfter <= 0 {
		cfg.LoseAfter = 3
	}
	w := &Worker{cfg: cfg, misses: map[string]int{}}
	w.agenda = agenda.New(agenda.Config{
		Name: "activation", Feed: cfg.Feed, Prefix: resource.AccountsPrefix, When: when, Work: w.work, Gone: w.forget,
		Clock: cfg.Clock, Logger: cfg.Logger, Concurrency: cfg.Concurrency, Tick: cfg.Tick,
	})
	return w
}

// Run does what is due until ctx ends, and waits for what it began.
func (w *Worker) Run(ctx context.Context) error { return w.agenda.Run(ctx) }

// RunDue does everything that is due at the clock's now, also what becomes due by that, and
// returns when it is done. What failed is tried again later; its errors are returned.
func (w *Worker) RunDue(ctx context.Context) error { return w.agenda.RunDue(ctx) }

// when is when a site is due.
func when(kv registry.KV) (time.Time, bool, error) {
	if _, kind, _, ok := resource.ParseStateKey(kv.Key); !ok || kind != resource.KindSite {
		return time.Time{}, false, nil
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		return time.Time{}, false, fmt.Errorf("activation: %s: %w", kv.Key, err)
	}
	what, at := sitestate.NextDue(rec)
	return at, what != sitestate.DueNothing, nil
}

// forget drops what is known of a key that is gone.
func (w *Worker) forget(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.misses, key)
}
