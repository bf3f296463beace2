package incident

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// turn is how often the tracker looks when nobody tells it to.
const turn = 500 * time.Millisecond

// Documents returns what a release changes. It fails with [registry.ErrNotFound] where the
// release was pruned.
type Documents func(c wire.Channel, release int64) ([]wire.DocumentID, error)

// Owners returns the accounts whose site a domain is.
type Owners func(domain string) []string

// Config is what a tracker works with. All fields are needed.
type Config struct {
	// Control is the store of control/, View the newest state of it that is at hand.
	Control   registry.Store
	View      func() View
	Documents Documents
	Owners    Owners
	// Day is the time of day, in which incidents are told; Machine measures silence.
	Day, Machine clockwork.Clock
	Logger       *slog.Logger
}

// Tracker keeps incidents true while this replica leads.
type Tracker struct {
	cfg  Config
	wake chan struct{}
}

// New returns a tracker that does nothing until [Tracker.Run].
func New(cfg Config) *Tracker { return &Tracker{cfg: cfg, wake: make(chan struct{}, 1)} }

// Notify asks for a look soon. It never blocks: one notice is kept, further ones are
// dropped, because whoever looks sees all that is stored.
func (t *Tracker) Notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Run tracks until ctx ends, and then returns nil, or until another leader was elected, and
// then returns [ledger.ErrDeposed]. What fails is logged and tried at the next turn.
func (t *Tracker) Run(ctx context.Context, fence registry.Compare) error {
	tick := t.cfg.Machine.NewTicker(turn)
	defer tick.Stop()
	watch := &watch{since: map[string]time.Time{}}
	complained := false
	for {
		err := t.look(ctx, fence, watch)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ledger.ErrDeposed):
			return err
		case err == nil:
			complained = false
		case !complained:
			complained = true
			t.cfg.Logger.WarnContext(ctx, "incidents can't be told yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		case <-t.wake:
		}
	}
}

// watch is what one term of a tracker remembers.
type watch struct {
	// after is the revision up to which everything was looked at; nothing of it is told
	// again. It may be ahead of the stored cursor where there was nothing to tell.
	after int64
	// cursor is the revision that wrote the stored cursor, and the incidents with it: an
	// older view is not looked at, since it lacks what was told.
	cursor int64
	loaded bool
	// since is when each silent data center was first seen to be.
	since map[string]time.Time
}

// look looks once, and stores what came of it.
func (t *Tracker) look(ctx context.Context, fence registry.Compare, w *watch) error {
	view := t.cfg.View()
	if view.Revision() == 0 {
		return nil
	}
	if !w.loaded {
		cursor := &storev1.IncidentCursor{}
		rev, err := ledger.Load(ctx, t.cfg.Control, ledger.IncidentCursorKey, cursor)
		if err != nil {
			return err
		}
		w.after, w.cursor, w.loaded = cursor.GetRevision(), rev, true
		if rev == 0 {
			// The first leader ever: what was before it is not told, but once.
			return t.store(ctx, fence, w, view, Changes{})
		}
	}
	if view.Revision() < w.cursor {
		return nil // The next turn's view will do.
	}
	o := &observation{
		view: view, after: w.after, day: t.cfg.Day.Now(), machine: t.cfg.Machine.Now(),
		documents: t.cfg.Documents, owners: t.cfg.Owners,
	}
	if err := o.look(); err != nil {
		return err
	}
	o.facts.Lost = w.lost(o.facts.Silent, o.machine)
	kept, err := Kept(view)
	if err != nil {
		return err
	}
	changes := Step(kept, o.facts)
	if changes.Empty() {
		w.after = view.Revision()
		return nil
	}
	return t.store(ctx, fence, w, view, changes)
}

// lost returns the data centers that have been silent for long.
func (w *watch) lost(silent []string, now time.Time) []string {
	var out []string
	still := map[string]time.Time{}
	for _, dc := range silent {
		first, ok := w.since[dc]
		if !ok {
			first = now
		}
		still[dc] = first
		if now.Sub(first) >= lostAfter {
			out = append(out, dc)
		}
	}
	w.since = still
	return out
}

// store writes what came of a look, with the cursor, in one transaction. Where an operator
// changed one of the incidents meanwhile nothing is written, and the next look decides.
func (t *Tracker) store(ctx context.Context, fence registry.Compare, w *watch, view View, changes Changes) error {
	txn := registry.Txn{If: []registry.Compare{{Key: ledger.IncidentCursorKey, ModRevision: w.cursor}}}
	put := func(key string, m proto.Message) error {
		op, err := ledger.Put(key, m)
		txn.Then = append(txn.Then, op)
		return err
	}
	if err := put(ledger.IncidentCursorKey, &storev1.IncidentCursor{Revision: view.Revision()}); err != nil {
		return err
	}
	for _, rec := range changes.Put {
		key, _ := Key(rec.GetIncident().GetName())
		compare := registry.Compare{Key: key}
		if kv, ok := view.Get(key); ok {
			compare.ModRevision = kv.ModRevision
		}
		txn.If = append(txn.If, compare)
		if err := put(key, rec); err != nil {
			return err
		}
	}
	for _, name := range changes.Remove {
		key, _ := Key(name)
		txn.Then = append(txn.Then, registry.Delete(key))
	}
	rev, err := ledger.Commit(ctx, t.cfg.Control, fence, txn)
	if _, ok := errors.AsType[*registry.ConflictError](err); ok && !errors.Is(err, ledger.ErrDeposed) {
		w.loaded = false
		return nil
	}
	if err != nil {
		w.loaded = false // Whether it was written is not known.
		return fmt.Errorf("incident: %w", err)
	}
	// What others wrote between the view and this is news, so the cursor stays at the view.
	w.cursor, w.after = rev, view.Revision()
	for _, rec := range changes.Put {
		in := rec.GetIncident()
		t.cfg.Logger.InfoContext(ctx, "incident", "name", in.GetName(), "state", in.GetState().String(), "title", in.GetTitle())
	}
	return nil
}
