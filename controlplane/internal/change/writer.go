package change

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// View is a consistent state of everything below [resource.StatePrefix].
type View interface {
	Get(key string) (registry.KV, bool)
	List(prefix, after string, limit int) (kvs []registry.KV, more bool)
	Revision() int64
}

// Source gives views: the newest that is at hand, and one that is linearizable.
type Source interface {
	Cached() View
	Read(ctx context.Context) (View, error)
}

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
}

// New returns a Writer over the store, reading through source.
func New(store registry.Store, source Source, cfg Config) *Writer {
	if cfg.CachedPrefix == "" {
		cfg.CachedPrefix = resource.StatePrefix
	}
	return &Writer{store: store, source: source, cfg: cfg, kept: newKeeper(store, cfg)}
}

// attempts bounds how often one change is tried under contention.
const attempts = 12

// Do runs fn until what it decided is stored, and returns its answer; see the package
// documentation. The tenant is whose audit chain the change belongs to; the zero Tenant is
// for changes of the platform, which are audited by the log of operators.
func Do[R proto.Message](ctx context.Context, w *Writer, tenant resource.Tenant, fn func(tx *Tx) (R, error)) (R, error) {
	var zero R
	info := call.From(ctx)
	if info.IdempotencyKey != "" && !info.ValidateOnly {
		answer := zero.ProtoReflect().New().Interface().(R)
		done, release, err := w.kept.begin(ctx, info, answer)
		if err != nil {
			return zero, err
		}
		if done {
			return answer, nil
		}
		defer release()
	}

	view := w.source.Cached()
	linearizable := false
	fresh := map[string]registry.KV{}
	for try := 0; ; try++ {
		tx := &Tx{
			ctx: ctx, writer: w, view: view, now: w.cfg.Clock.Now().UTC(),
			read: map[string]int64{}, ops: map[string]registry.Op{}, fresh: fresh,
		}
		answer, err := fn(tx)
		if err == nil {
			if info.ValidateOnly {
				return answer, nil
			}
			err = w.commit(ctx, tx, tenant, info, answer)
			if err == nil {
				return answer, nil
			}
		}
		if ctx.Err() != nil {
			return zero, ctx.Err()
		}
		var conflict *registry.ConflictError
		switch {
		case errors.As(err, &conflict):
			if try+1 >= attempts {
				return zero, rpcerr.Failed(codes.Aborted, rpcerr.ReasonConcurrentChange, "too many changes at once: try again").WithMetadata("attempts", "12")
			}
			if kept, replay := w.kept.conflict(ctx, info, conflict, zero.ProtoReflect().New().Interface()); replay != nil {
				return zero, replay
			} else if kept != nil {
				return kept.(R), nil
			}
			for key := range tx.read {
				if kv, ok := conflict.Current[key]; ok {
					fresh[key] = kv
				} else {
					fresh[key] = registry.KV{Key: key}
				}
			}
			if !linearizable {
				continue
			}
		case linearizable:
			return zero, err
		}
		// A cached view may have been too old for what fn saw: look again, for certain.
		clear(fresh)
		if view, err = w.source.Read(ctx); err != nil {
			return zero, err
		}
		linearizable = true
	}
}

func (w *Writer) commit(ctx context.Context, tx *Tx, tenant resource.Tenant, info call.Info, answer proto.Message) error {
	if len(tx.ops) == 0 {
		return nil
	}
	if tenant.Account() != "" {
		if err := tx.pendingAudits(tenant); err != nil {
			return err
		}
	}
	if info.IdempotencyKey != "" {
		if err := w.kept.put(ctx, tx, info, answer); err != nil {
			return err
		}
	}
	txn := registry.Txn{
		If:   make([]registry.Compare, 0, len(tx.read)),
		Then: make([]registry.Op, 0, len(tx.order)),
	}
	for key, rev := range tx.read {
		txn.If = append(txn.If, registry.Compare{Key: key, ModRevision: rev})
	}
	for _, key := range tx.order {
		txn.Then = append(txn.Then, tx.ops[key])
	}
	_, err := w.store.Commit(ctx, txn)
	return err
}

func fillEvent(e *breakwaterv1.AuditEvent, info call.Info, now time.Time) {
	e.CreateTime = timestamppb.New(now)
	if e.Method == "" {
		e.Method = info.Method()
	}
	e.Principal = "system"
	if info.Principal.Kind != authn.Anonymous {
		e.Principal = info.Principal.ID
		e.OnBehalfOf = info.Principal.OnBehalfOf
	}
	if info.Peer.IsValid() {
		e.SourceAddress = info.Peer.String()
	}
	e.HttpRequestId = info.RequestID
}
