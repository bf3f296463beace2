package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// worker publishes one channel. It belongs to one goroutine; everything it knows can be
// read anew from the two stores.
type worker struct {
	cfg     Config
	owner   *Publisher
	channel wire.Channel
	term    Term
	source  source
	log     *slog.Logger
	wake    chan struct{}

	// control and registry wake; head, books and holds are of one revision of control/.
	control, registry *watchcache.Subscription
	head              *storev1.HeadRecord
	headRevision      int64
	books             *books
	holds             *holds
	// atLeast is the revision of control/ that must be seen before anything is decided.
	atLeast int64

	// view is the registry as it was last looked at, and seen the revision up to which its
	// events were.
	view    watchcache.View
	seen    int64
	cluster uint64
	// scanned says that everything was looked at once since the subscription began,
	// restarted that the head's cursor counts in another history of the registry.
	scanned, restarted bool
	// todo are the units to look at, pending those that differ from the head.
	todo, pending map[string]*unit
	bodies        int
	problems      map[string]string
	// newest is the newest revision with a change that somebody may wait for.
	newest int64

	// turn is the class of units that the last release had, burst how many units may be
	// published again at once.
	turn, burst int
	// sweeping are the units that the sweep still has to look at, swept when it began.
	sweeping   []string
	swept      time.Time
	cursorTime time.Time
	quota      quota
	base       int64
	baseTime   time.Time
	sealed     int64
	stopped    string
}

const controlPrefix = ledger.ControlPrefix

func headKey(c wire.Channel) string { return ledger.HeadKey(c) }

func newWorker(p *Publisher, c wire.Channel, term Term) *worker {
	return &worker{
		cfg: p.cfg, owner: p, channel: c, term: term, source: sourceOf(c),
		log:      p.cfg.Logger.With("channel", string(c), "term", term.Number()),
		wake:     make(chan struct{}, 1),
		todo:     map[string]*unit{},
		pending:  map[string]*unit{},
		problems: map[string]string{},
		turn:     classes - 1,
		burst:    1,
	}
}

// step looks at everything once and does what is to be done: one release, or a cursor, or
// a base. It returns how long to wait when nothing wakes the worker: zero when there is
// more to do now.
func (w *worker) step(ctx context.Context) (time.Duration, error) {
	defer w.report()
	if err := w.syncHead(ctx); err != nil {
		return 0, err
	}
	if err := w.syncRegistry(ctx); err != nil {
		return 0, err
	}
	w.sweep()
	w.look()
	if !w.source.complete(w.view) {
		return idleWait, nil
	}
	full, err := w.full(ctx)
	if err != nil {
		return 0, err
	}
	if full {
		// A base takes room for a moment, and lets pruning make more.
		return quotaInterval, w.note(ctx, w.keepBase(ctx))
	}
	may := w.mayNumber()
	if may {
		if batch, ok := w.choose(); ok {
			return 0, w.note(ctx, w.seal(ctx, batch))
		}
	}
	wait, err := w.moveCursor(ctx)
	if err := w.note(ctx, err); err != nil {
		return 0, err
	}
	if err := w.note(ctx, w.keepBase(ctx)); err != nil {
		return 0, err
	}
	switch {
	case len(w.sweeping) > 0:
		return 0, nil
	case !may:
		return min(wait, hearing), nil
	}
	return wait, nil
}

// idleWait is how long a worker sleeps at most that nothing wakes.
const idleWait = 30 * time.Second

// note remembers, after a write failed, up to where control/ must be seen before the next
// decision. A conflict is no failure: the next step sees what it was.
func (w *worker) note(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errNumberTaken):
		return nil
	case err == nil || errors.Is(err, ledger.ErrDeposed):
		return err
	}
	if conflict, ok := errors.AsType[*registry.ConflictError](err); ok {
		w.atLeast = max(w.atLeast, conflict.Revision)
		return nil
	}
	if errors.Is(err, registry.ErrUnknownOutcome) {
		if now, rerr := w.cfg.Edge.Revision(ctx); rerr == nil {
			w.atLeast = max(w.atLeast, now)
		}
	}
	return err
}

var errLagged = errors.New("publish: events were lost, everything is read again")

// drain takes the events that are there without waiting for more.
func drain(ctx context.Context, s *watchcache.Subscription, visit func(registry.Event)) error {
	// With a context that has ended, Next returns what is there and does not wait.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	batch, err := s.Next(ended)
	for ; err == nil; batch, err = s.Next(ended) {
		for _, ev := range batch.Events {
			if visit != nil {
				visit(ev)
			}
		}
	}
	if _, lagged := errors.AsType[*watchcache.LaggedError](err); lagged {
		return fmt.Errorf("%w: %w", errLagged, err)
	}
	return ctx.Err()
}

// syncRegistry takes the registry's events in, or reads all of it.
func (w *worker) syncRegistry(ctx context.Context) error {
	if w.registry != nil && w.scanned {
		var events []registry.Event
		err := drain(ctx, w.registry, func(ev registry.Event) { events = append(events, ev) })
		switch {
		case errors.Is(err, errLagged):
			w.log.Info("the registry is read again", "reason", err)
		case err != nil:
			return err
		default:
			w.view, w.seen = w.cfg.RegistryCache.Cached(), w.registry.Revision()
			for _, ev := range events {
				w.source.dirtied(w.view, ev, func(unit string) {
					w.newest = max(w.newest, ev.ModRevision)
					w.dirty(unit, ev.ModRevision, ev.ModRevision)
				})
			}
			return nil
		}
	}
	return w.scan(ctx)
}

// scan looks at the whole registry: at what changed after the cursor, and at what may be
// gone. Where the registry is another one, or is older than the cursor, as after a backup
// was restored, the cursor begins anew and everything is looked at.
func (w *worker) scan(ctx context.Context) error {
	w.scanned = false
	view, err := w.cfg.RegistryCache.Read(ctx)
	if err != nil {
		return err
	}
	status, err := w.cfg.Registry.Status(ctx)
	if err != nil {
		return err
	}
	w.cluster = status.Cluster
	foreign, err := w.foreignCursor(ctx)
	if err != nil {
		return err
	}
	w.restarted = foreign || w.head.GetRegistryCluster() != w.cluster || view.Revision() < w.head.GetCursor()
	if w.restarted && w.head.GetRegistryCluster() != 0 {
		w.log.Warn("the registry is another one, or older than what was published: everything is compared",
			"cursor", w.head.GetCursor(), "revision", view.Revision())
	}
	after := w.cursor()
	w.registry = w.cfg.RegistryCache.SubscribeFrom(ctx, w.source.prefix(), view)
	w.view, w.seen, w.newest = view, view.Revision(), view.Revision()
	clear(w.pending)
	w.bodies = 0
	w.source.changed(view, after, func(unit string, revision int64) { w.dirty(unit, after+1, revision) })
	for id := range w.books.docs {
		if unit := w.source.unit(id); w.source.gone(view, unit, after) {
			w.dirty(unit, after+1, after+1)
		}
	}
	for id := range w.holds.suspects {
		w.dirty(w.source.unit(id), after+1, after+1)
	}
	for id := range w.holds.quarantines {
		w.dirty(w.source.unit(id), after+1, after+1)
	}
	w.scanned = true
	return nil
}

// foreignCursor says whether the head's cursor was taken from a release that counts in
// another history of the registry: whoever abandons releases moves the cursor back to what
// the new end of the chain covers, without knowing of histories.
func (w *worker) foreignCursor(ctx context.Context) (bool, error) {
	release := w.head.GetRelease()
	if release == 0 || release > w.head.GetRestartNumber() {
		return false, nil
	}
	m, err := w.readManifest(ctx, release)
	if errors.Is(err, errNoManifest) {
		return true, nil // Nobody can tell. To look at everything again does no harm.
	}
	if err != nil {
		return false, err
	}
	return m.covered == w.head.GetCursor(), nil
}

// cursor is the head's cursor, or zero where it counts in another history.
func (w *worker) cursor() int64 {
	if w.restarted {
		return 0
	}
	return w.head.GetCursor()
}

func (w *worker) report() {
	if w.head == nil || w.books == nil {
		return
	}
	problems := map[string]string{}
	for unit, why := range w.problems {
		if len(problems) < maxProblems {
			problems[unit] = why
		}
	}
	w.owner.setStatus(w.channel, ChannelStatus{
		Release: w.head.GetRelease(), Documents: len(w.books.docs), Cursor: w.cursor(), Pending: len(w.pending),
		Sealed: w.sealed, Stopped: w.stopped, Problems: problems,
	})
}
