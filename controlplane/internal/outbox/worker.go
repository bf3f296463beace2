package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/agenda"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Handler does the work of one kind; see the package documentation for what it returns. It
// gets a context with a deadline.
type Handler func(ctx context.Context, item Item) error

// Store is what a Worker reads and writes. A [registry.Store] is one.
type Store interface {
	Get(ctx context.Context, key string) (registry.KV, error)
	Commit(ctx context.Context, txn registry.Txn) (int64, error)
}

// Config is what a Worker needs. Fields without a default are required.
type Config struct {
	Store Store
	Feed  agenda.Feed
	// Fence is the compare that proves leadership, and whether this server leads.
	Fence func() (registry.Compare, bool)
	// Handlers do the work, by kind.
	Handlers map[string]Handler
	Clock    clockwork.Clock
	Logger   *slog.Logger
	// Rand gives numbers from 0 up to 1, for jitter. It is called concurrently.
	Rand func() float64
	// Concurrency is how many items of a kind are worked on at a time; 16 if zero. One kind
	// never waits for another.
	Concurrency int
	// Limit bounds one handling of an item; 2 minutes if zero.
	Limit time.Duration
	// GiveUp is how long an item may fail before it is dead; 72 hours if zero.
	GiveUp time.Duration
}

// Worker does the work of the outbox. Its methods may be called concurrently.
type Worker struct {
	cfg Config
	// agendas are one for every kind, and one for what is of none.
	agendas []*agenda.Agenda
	handled atomic.Int64
}

// New makes a Worker.
func New(cfg Config) *Worker {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 16
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 2 * time.Minute
	}
	if cfg.GiveUp <= 0 {
		cfg.GiveUp = 72 * time.Hour
	}
	w := &Worker{cfg: cfg}
	kinds := append(slices.Sorted(maps.Keys(cfg.Handlers)), "")
	for _, kind := range kinds {
		w.agendas = append(w.agendas, agenda.New(agenda.Config{
			Name: strings.TrimSuffix("outbox "+kind, " "), Feed: cfg.Feed, Prefix: resource.OutboxPrefix,
			When: w.when(kind), Work: w.work,
			Clock: cfg.Clock, Logger: cfg.Logger, Concurrency: cfg.Concurrency,
		}))
	}
	return w
}

// Run does what is due until ctx ends, and waits for what it began.
func (w *Worker) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range w.agendas {
		g.Go(func() error { return a.Run(ctx) })
	}
	return g.Wait()
}

// RunDue does everything that is due at the clock's now, also what becomes due by that, and
// returns when it is done. What failed is tried again later and is no error.
func (w *Worker) RunDue(ctx context.Context) error {
	var failed error
	for {
		before := w.handled.Load()
		for _, a := range w.agendas {
			failed = errors.Join(failed, a.RunDue(ctx))
		}
		if failed != nil || w.handled.Load() == before {
			return failed
		}
	}
}

// when says when an item of a kind is due; of none, where nobody does work of its kind.
func (w *Worker) when(kind string) func(kv registry.KV) (time.Time, bool, error) {
	return func(kv registry.KV) (time.Time, bool, error) {
		item := &storev1.OutboxItem{}
		if err := proto.Unmarshal(kv.Value, item); err != nil {
			return time.Time{}, false, fmt.Errorf("outbox: %s: %w", kv.Key, err)
		}
		of := item.GetKind()
		if w.cfg.Handlers[of] == nil {
			of = ""
		}
		return item.GetNextTime().AsTime(), of == kind && !item.GetDead(), nil
	}
}

// work does an item that is due and stores what became of it.
func (w *Worker) work(ctx context.Context, key string) error {
	kv, err := w.cfg.Store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	item := &storev1.OutboxItem{}
	if err := proto.Unmarshal(kv.Value, item); err != nil {
		return fmt.Errorf("outbox: %s: %w", key, err)
	}
	if item.GetDead() || w.cfg.Clock.Now().Before(item.GetNextTime().AsTime()) {
		return nil // The event of it is on its way.
	}
	fence, leads := w.cfg.Fence()
	if !leads {
		return errNotLeading
	}
	w.handled.Add(1)
	outcome := w.handle(ctx, strings.TrimPrefix(key, resource.OutboxPrefix), item)
	if ctx.Err() != nil {
		return ctx.Err() // What an interrupted handler says means nothing.
	}
	txn := registry.Txn{If: []registry.Compare{fence, {Key: key, ModRevision: kv.ModRevision}}}
	if settle(item, outcome, w.cfg.Clock.Now(), w.pause, w.cfg.GiveUp) {
		txn.Then = []registry.Op{registry.Delete(key)}
	} else {
		value, err := proto.Marshal(item)
		if err != nil {
			return fmt.Errorf("outbox: %s: %w", key, err)
		}
		txn.Then = []registry.Op{registry.Put(key, value)}
		w.tell(ctx, key, item)
	}
	_, err = w.cfg.Store.Commit(ctx, txn)
	var conflict *registry.ConflictError
	if !errors.As(err, &conflict) {
		return err
	}
	if conflict.Current[fence.Key].ModRevision != fence.ModRevision {
		return errNotLeading
	}
	return nil // It was touched meanwhile; the event of that is on its way.
}

// errNotLeading keeps an item due here, for when this server leads again.
var errNotLeading = errors.New("outbox: another server leads now")

func (w *Worker) handle(ctx context.Context, id string, item *storev1.OutboxItem) error {
	handler, ok := w.cfg.Handlers[item.GetKind()]
	if !ok {
		return Dead(fmt.Errorf("outbox: nobody does work of the kind %q", item.GetKind()))
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.Limit)
	defer cancel()
	return handler(ctx, Item{
		ID: id, Subject: item.GetSubject(), Payload: item.GetPayload(), Attempts: int(item.GetAttempts()),
	})
}

// tell logs what failed; waiting is no failure.
func (w *Worker) tell(ctx context.Context, key string, item *storev1.OutboxItem) {
	if item.GetLastError() == "" {
		return
	}
	log := w.cfg.Logger.With("item", key, "kind", item.GetKind(), "subject", item.GetSubject(),
		"attempts", item.GetAttempts(), "error", item.GetLastError())
	if item.GetDead() {
		log.ErrorContext(ctx, "work outside was given up: operators decide")
		return
	}
	log.WarnContext(ctx, "work outside failed and is tried again")
}

const (
	firstPause = 5 * time.Second
	maxPause   = time.Hour
)

// pause is how long an item waits after so many failures in a row: it doubles, up to an hour,
// less up to a fifth by chance, so that items that failed together do not come together.
func (w *Worker) pause(attempts int) time.Duration {
	pause := maxPause
	if attempts < 11 {
		pause = min(maxPause, firstPause<<(attempts-1))
	}
	return pause - time.Duration(w.cfg.Rand()*float64(pause)/5)
}
