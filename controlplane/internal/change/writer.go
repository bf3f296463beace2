package change

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Sealer encrypts answers that hold secrets, bound to associated data.
type Sealer interface {
	Seal(plaintext, associated []byte) ([]byte, error)
	Open(ciphertext, associated []byte) ([]byte, error)
}

// Config is what a Writer needs.
type Config struct {
	Clock  clockwork.Clock
	Logger *slog.Logger
	Sealer Sealer
	// CachedPrefix is the prefix that the source holds; [resource.StatePrefix] when empty.
	// Keys outside it are read from the store.
	CachedPrefix string
	// NewID makes an ID that orders by time, such as a ULID in lower case.
	NewID func(now time.Time) string
}

// Writer commits changes. It is safe for concurrent use.
type Writer struct {
	store  registry.Store
	source Source
	cfg    Config
	kept   *keeper
	lines  *lines
}

// New returns a Writer over the store, reading through source.
func New(store registry.Store, source Source, cfg Config) *Writer {
	if cfg.CachedPrefix == "" {
		cfg.CachedPrefix = resource.StatePrefix
	}
	return &Writer{store: store, source: source, cfg: cfg, kept: newKeeper(store, cfg), lines: newLines()}
}

// attempts bounds how often one change is tried under contention. Within a server a change
// that lost once goes in line, so what it loses to later is other replicas: of n that want
// the same key at once, each wins one round in n.
const attempts = 32

// Do runs fn until what it decided is stored, and returns its answer; see the package
// documentation. The tenant is whose audit chain the change belongs to; the zero Tenant is
// for changes of the platform, which are audited by the log of operators. A caller's change
// for a tenant needs the tenant's account to exist and not to be deleted, unless fn itself
// read the account's record and so decided about it.
func Do[R proto.Message](ctx context.Context, w *Writer, tenant resource.Tenant, fn func(tx *Tx) (R, error)) (R, error) {
	var zero R
	info := call.From(ctx)
	keyed := info.IdempotencyKey != "" && !info.ValidateOnly
	if keyed {
		release, err := w.kept.claim(info)
		if err != nil {
			return zero, err
		}
		defer release()
	}
	d := &doing{w: w, tenant: tenant, info: info, keyed: keyed}
	defer d.leaveLine()
	var answer R
	err := d.run(ctx, func(tx *Tx) (proto.Message, error) {
		var err error
		answer, err = fn(tx)
		return answer, err
	})
	if err == nil {
		return answer, nil
	}
	if keyed && ctx.Err() == nil {
		// The first run of this key, here or on another replica, may be why this one
		// failed: then its answer is the answer.
		first, _ := zero.ProtoReflect().New().Interface().(R)
		if found, failed := w.kept.find(ctx, info, first); found {
			return first, failed
		}
	}
	return zero, err
}

// doing is one Do on its way.
type doing struct {
	w      *Writer
	tenant resource.Tenant
	info   call.Info
	keyed  bool

	view View
	// certain says that the view was linearizable when it was taken.
	certain bool
	// fresh holds values that are newer than the view.
	fresh map[string]registry.KV
	// leave gives up the place in line, where there is one.
	leave func()
}

func (d *doing) leaveLine() {
	if d.leave != nil {
		d.leave()
		d.leave = nil
	}
}

// errUncertain makes a change that found nothing to do look again: what it saw may be old.
var errUncertain = errors.New("change: nothing to do, by a view that may be old")

func (d *doing) run(ctx context.Context, fn func(tx *Tx) (proto.Message, error)) error {
	d.view, d.fresh = d.w.source.Cached(), map[string]registry.KV{}
	if d.info.ValidateOnly {
		// Nothing will be compared, so nothing would find out that the view was old.
		if err := d.lookAgain(ctx); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		tx := d.begin(ctx)
		answer, err := fn(tx)
		if err == nil {
			err = d.checkAccount(tx)
		}
		if err == nil && d.info.ValidateOnly {
			return nil
		}
		if err == nil && len(tx.ops) == 0 && !d.keyed && !d.certain {
			err = errUncertain
		}
		if err == nil {
			if waited, err := d.comeAfter(ctx, tx); err != nil {
				return err
			} else if waited {
				continue
			}
			again, failed := d.commit(ctx, tx, answer)
			if failed == nil || !again {
				return failed
			}
			if try >= attempts {
				return rpcerr.Aborted(rpcerr.ReasonConcurrentChange, "too many changes at once: try again").WithCause(failed)
			}
			if !d.certain {
				continue
			}
		} else if d.certain {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := d.lookAgain(ctx); err != nil {
			return err
		}
	}
}

func (d *doing) begin(ctx context.Context) *Tx {
	return &Tx{
		ctx: ctx, writer: d.w, view: d.view, now: d.w.cfg.Clock.Now().UTC(),
		read: map[string]int64{}, ops: map[string]registry.Op{}, fresh: d.fresh,
	}
}

// lookAgain takes a view that shows every acknowledged write.
func (d *doing) lookAgain(ctx context.Context) error {
	view, err := d.w.source.Read(ctx)
	if err != nil {
		return err
	}
	d.view, d.certain, d.fresh = view, true, map[string]registry.KV{}
	return nil
}

// checkAccount fails for a caller's change below an account that is not there or deleted,
// and makes the change depend on that.
func (d *doing) checkAccount(tx *Tx) error {
	key := d.tenant.Record()
	if _, decided := tx.read[key]; decided || d.tenant.Account() == "" || d.info.Principal.Kind == authn.Anonymous {
		return nil
	}
	name := resource.AccountName(d.tenant.Account())
	var rec storev1.AccountRecord
	if err := tx.Get(key, &rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return rpcerr.NotFound(name)
		}
		return err
	}
	if rec.GetAccount().GetDeleteTime() != nil {
		return rpcerr.Precondition(rpcerr.ReasonInvalidState, name, "%s is deleted; bring it back with :undelete first", name)
	}
	return nil
}

// commit stores what the transaction decided. again says that the change may be tried again
// on what is now known.
func (d *doing) commit(ctx context.Context, tx *Tx, answer proto.Message) (again bool, err error) {
	w := d.w
	if d.tenant.Account() != "" && len(tx.ops) > 0 {
		if err := tx.pendingAudits(d.tenant); err != nil {
			return false, err
		}
	}
	if d.keyed {
		if err := w.kept.put(ctx, tx, d.info, answer); err != nil {
			return false, err
		}
	}
	if len(tx.ops) == 0 {
		return false, nil
	}
	_, err = w.store.Commit(ctx, tx.txn())
	if err == nil {
		return false, nil
	}
	var conflict *registry.ConflictError
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.As(err, &conflict):
		if _, taken := conflict.Current[keptKey(d.info)]; d.keyed && taken {
			// Another run of this key was first: [Do] finds its answer.
			return false, err
		}
		if failed := d.afterConflict(ctx, tx, conflict); failed != nil {
			return false, failed
		}
		return true, err
	case errors.Is(err, registry.ErrNotFound):
		// Only a lease can be missing: it ended early, as after restoring a backup.
		w.kept.forgetLease()
		return true, err
	}
	// Of an unavailable store it may not be known whether it did store the change: trying
	// again could do it twice.
	return false, err
}

// afterConflict keeps what the failed compare returned, waits in line for the key that was
// lost, and reads that one again, because whoever was before in the line changed it.
func (d *doing) afterConflict(ctx context.Context, tx *Tx, conflict *registry.ConflictError) error {
	lost := ""
	for key, rev := range tx.read {
		kv, ok := conflict.Current[key]
		if !ok {
			kv = registry.KV{Key: key}
		}
		d.fresh[key] = kv
		if kv.ModRevision != rev && (lost == "" || key < lost) {
			lost = key
		}
	}
	_, err := d.standInLine(ctx, lost)
	return err
}

// comeAfter waits behind the changes of this server that already lost a compare on a key
// that this one depends on. waited says that it did, so that what it decided is old.
func (d *doing) comeAfter(ctx context.Context, tx *Tx) (waited bool, err error) {
	if d.leave != nil {
		return false, nil
	}
	key, busy := d.w.lines.busy(tx.read)
	if !busy {
		return false, nil
	}
	return d.standInLine(ctx, key)
}

// standInLine waits for the key's line and reads the key again where others were before.
func (d *doing) standInLine(ctx context.Context, key string) (waited bool, err error) {
	d.leaveLine()
	d.leave, waited, err = d.w.lines.join(ctx, key)
	if err != nil || !waited {
		return false, err
	}
	kv, err := d.w.store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		kv, err = registry.KV{Key: key}, nil
	}
	if err != nil {
		return true, err
	}
	d.fresh[key] = kv
	return true, nil
}
