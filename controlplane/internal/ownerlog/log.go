package ownerlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// turn is how often the log looks.
const turn = 500 * time.Millisecond

// View is a consistent state of the registry, or of what is below control/.
type View interface {
	Revision() int64
	Get(key string) (registry.KV, bool)
	Ascend(prefix string, visit func(registry.KV) bool)
}

// Config is what a Log works with. All fields are needed.
type Config struct {
	// Writer changes the registry; Registry is the newest state of it that is at hand.
	Writer   *change.Writer
	Registry func() View
	// Control is the newest state of control/ that is at hand, ReadControl a linearizable one.
	Control     func() View
	ReadControl func(ctx context.Context) (View, error)
	// Owners returns the accounts whose site a domain is, by the newest state at hand.
	Owners func(domain string) []string
	Clock  clockwork.Clock
	Logger *slog.Logger
}

// Log writes the events.
type Log struct{ cfg Config }

// New returns a Log that does nothing until [Log.Run].
func New(cfg Config) *Log { return &Log{cfg: cfg} }

// Run looks until ctx ends, and then returns nil. What fails is logged once and tried again.
func (l *Log) Run(ctx context.Context) error {
	tick := l.cfg.Clock.NewTicker(turn)
	defer tick.Stop()
	complained := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		}
		err := l.Look(ctx)
		if err != nil && ctx.Err() == nil && !complained {
			l.cfg.Logger.WarnContext(ctx, "owners can't be told of quarantines yet", "error", err)
		}
		complained = err != nil
	}
}

// Look tells everything that is not told yet.
func (l *Log) Look(ctx context.Context) error {
	control, state := l.cfg.Control(), l.cfg.Registry()
	if control.Revision() == 0 || state.Revision() == 0 {
		return nil
	}
	var due []string
	control.Ascend(ledger.QuarantinesPrefix, func(kv registry.KV) bool {
		id := strings.TrimPrefix(kv.Key, ledger.QuarantinesPrefix)
		note, err := noteIn(state, id)
		if err != nil || note == nil && l.owner(kv.Value) != "" || note != nil && note.GetRevision() != kv.ModRevision {
			due = append(due, id)
		}
		return true
	})
	state.Ascend(resource.QuarantineNotesPrefix, func(kv registry.KV) bool {
		id := strings.TrimPrefix(kv.Key, resource.QuarantineNotesPrefix)
		if _, ok := control.Get(ledger.QuarantineKey(id)); !ok {
			due = append(due, id)
		}
		return true
	})
	var errs []error
	for _, id := range due {
		errs = append(errs, l.tell(ctx, id))
	}
	return errors.Join(errs...)
}

func noteIn(v View, id string) (*storev1.QuarantineNote, error) {
	kv, ok := v.Get(resource.QuarantineNote(id))
	if !ok {
		return nil, nil //nolint:nilnil // no note, and no error
	}
	note := &storev1.QuarantineNote{}
	if err := proto.Unmarshal(kv.Value, note); err != nil {
		return nil, fmt.Errorf("ownerlog: note %s: %w", id, err)
	}
	return note, nil
}

// owner is whose document a quarantine is of; empty for the platform's, and where nobody's.
func (l *Log) owner(record []byte) string {
	q := &storev1.QuarantineRecord{}
	if proto.Unmarshal(record, q) != nil {
		return ""
	}
	return l.ownerOf(q)
}

func (l *Log) ownerOf(q *storev1.QuarantineRecord) string {
	c, ok := wire.ChannelOf(q.GetKind())
	if !ok || c == wire.Platform {
		return ""
	}
	owners := l.cfg.Owners(q.GetId())
	if len(owners) != 1 {
		return ""
	}
	return owners[0]
}

// tell writes what is to be told of one quarantine. A document that changed hands is told of
// to its new owner, from the beginning, and no more to the old one.
func (l *Log) tell(ctx context.Context, id string) error {
	account := ""
	if kv, ok := l.cfg.Control().Get(ledger.QuarantineKey(id)); ok {
		account = l.owner(kv.Value)
	}
	if note, err := noteIn(l.cfg.Registry(), id); err != nil {
		return err
	} else if account == "" {
		account = note.GetAccount()
	}
	if account == "" {
		return nil
	}
	tenant := resource.ForAccount(account)
	_, err := change.Do(ctx, l.cfg.Writer, tenant, func(tx *change.Tx) (*storev1.QuarantineNote, error) {
		key := resource.QuarantineNote(id)
		note := &storev1.QuarantineNote{}
		if err := tx.Get(key, note); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return nil, err
		}
		told := note.GetQuarantine()
		if note.GetAccount() != account {
			told = nil
		}
		// After the note: see the package's documentation.
		control, err := l.cfg.ReadControl(ctx)
		if err != nil {
			return nil, err
		}
		var now *storev1.QuarantineRecord
		kv, ok := control.Get(ledger.QuarantineKey(id))
		if ok {
			now = &storev1.QuarantineRecord{}
			if err := proto.Unmarshal(kv.Value, now); err != nil {
				return nil, fmt.Errorf("ownerlog: record %s: %w", kv.Key, err)
			}
		}
		exists, err := tx.Exists(tenant.Record())
		switch {
		case err != nil:
			return nil, err
		case exists:
			for _, e := range between(account, told, now) {
				e.Resource = resource.SiteName(account, domainOf(told, now))
				tx.Audit(e)
			}
		}
		if now == nil || !exists {
			if note.GetRevision() != 0 {
				tx.Delete(key)
			}
			return note, nil
		}
		note = &storev1.QuarantineNote{Account: account, Quarantine: now, Revision: kv.ModRevision}
		return note, tx.Put(key, note)
	})
	return err
}

func domainOf(records ...*storev1.QuarantineRecord) string {
	at := slices.IndexFunc(records, func(q *storev1.QuarantineRecord) bool { return q != nil })
	return records[max(at, 0)].GetId()
}
