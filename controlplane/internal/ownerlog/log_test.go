package ownerlog

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "acme"
	id      = "site-shop.test"
)

// world is a registry, a control store, and logs over them, each with a cache of its own.
type world struct {
	t                 *testing.T
	registry, control *memory.Store
	ids               atomic.Int64
	owner             string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, registry: memory.New(memory.Config{}), control: memory.New(memory.Config{}), owner: account}
	t.Cleanup(func() { w.registry.Close(); w.control.Close() })
	w.put(w.registry, resource.ForAccount(account).Record(), &storev1.AccountRecord{})
	return w
}

// replica is a log as another server has it.
func (w *world) replica() *Log {
	state := watchcache.New(w.registry, watchcache.Config{Prefix: resource.StatePrefix})
	control := watchcache.New(w.control, watchcache.Config{Prefix: ledger.ControlPrefix})
	ctx, cancel := context.WithCancel(context.Background())
	var caches sync.WaitGroup
	caches.Go(func() { _ = state.Run(ctx) })
	caches.Go(func() { _ = control.Run(ctx) })
	w.t.Cleanup(func() { cancel(); caches.Wait() })
	log := slog.New(slog.DiscardHandler)
	return New(Config{
		Writer: change.New(w.registry, change.FromCache(state), change.Config{
			Clock: clockwork.NewFakeClock(), Logger: log,
			NewID: func(time.Time) string { return fmt.Sprintf("%08d", w.ids.Add(1)) },
		}),
		Registry: func() View { return read(w.t, state) }, Control: func() View { return read(w.t, control) },
		ReadControl: func(ctx context.Context) (View, error) { return control.Read(ctx) },
		Owners:      func(string) []string { return []string{w.owner} },
		Clock:       clockwork.NewFakeClock(), Logger: log,
	})
}

func read(t *testing.T, c *watchcache.Cache) View {
	t.Helper()
	v, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (w *world) put(store registry.Store, key string, m proto.Message) {
	w.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.commit(store, registry.Put(key, b))
}

func (w *world) commit(store registry.Store, op registry.Op) {
	w.t.Helper()
	if _, err := store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{op}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) quarantine(change func(*storev1.QuarantineRecord)) {
	w.t.Helper()
	q := &storev1.QuarantineRecord{
		Kind: "site", Id: "shop.test", Channel: "routine", Release: 7, BadSha256: []byte{1}, Reason: "it hurts",
		DataCenter: "SJC", CreateTime: timestamppb.New(time.Unix(100, 0)),
	}
	change(q)
	w.put(w.control, ledger.QuarantineKey(id), q)
}

func look(t *testing.T, logs ...*Log) {
	t.Helper()
	var all sync.WaitGroup
	for _, l := range logs {
		all.Go(func() {
			if err := l.Look(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// want checks what is new in an account's log.
func (w *world) want(of string, methods ...string) []*breakwaterv1.AuditEvent {
	w.t.Helper()
	page, err := w.registry.List(w.t.Context(), registry.ListRequest{Prefix: resource.ForAccount(of).AuditNewOf()})
	if err != nil {
		w.t.Fatal(err)
	}
	var events []*breakwaterv1.AuditEvent
	var got []string
	for _, kv := range page.KVs {
		e := &breakwaterv1.AuditEvent{}
		if err := proto.Unmarshal(kv.Value, e); err != nil {
			w.t.Fatal(err)
		}
		events, got = append(events, e), append(got, e.GetMethod())
		w.commit(w.registry, registry.Delete(kv.Key))
	}
	if !slices.Equal(got, methods) {
		w.t.Fatalf("told %v, want %v", got, methods)
	}
	return events
}

func nothing(*storev1.QuarantineRecord) {}

// TestLifeOfAQuarantine goes through one with three replicas that all look at once.
func TestLifeOfAQuarantine(t *testing.T) {
	w := newWorld(t)
	logs := []*Log{w.replica(), w.replica(), w.replica()}
	look(t, logs...)
	w.want(account)

	w.quarantine(nothing)
	look(t, logs...)
	e := w.want(account, methodQuarantine)[0]
	if e.GetResource() != "accounts/acme/sites/shop.test" || e.GetPrincipal() != "system" ||
		!strings.Contains(e.GetSummary(), "it hurts") || !strings.Contains(e.GetSummary(), "SJC") {
		t.Fatalf("%v", e)
	}
	look(t, logs...)
	w.want(account)

	w.quarantine(func(q *storev1.QuarantineRecord) {
		q.Retries, q.Trying, q.RetryPrincipal = 1, true, "accounts/acme/tokens/t1"
	})
	look(t, logs...)
	if e := w.want(account, methodRetry)[0]; !strings.Contains(e.GetSummary(), "accounts/acme/tokens/t1") {
		t.Fatalf("%v", e)
	}
	w.quarantine(func(q *storev1.QuarantineRecord) { q.Retries = 1 })
	look(t, logs...)
	w.want(account, methodQuarantine)

	// A retry that began and failed between two looks.
	w.quarantine(func(q *storev1.QuarantineRecord) { q.Retries, q.RetryPrincipal = 2, "operators/bert" })
	look(t, logs...)
	if e := w.want(account, methodRetry, methodQuarantine)[0]; strings.Contains(e.GetSummary(), "bert") {
		t.Fatalf("it names an operator: %v", e)
	}

	// The owner's next version hurts as well.
	w.quarantine(func(q *storev1.QuarantineRecord) {
		q.BadSha256, q.CreateTime = []byte{2}, timestamppb.New(time.Unix(200, 0))
	})
	look(t, logs...)
	w.want(account, methodQuarantine)

	w.commit(w.control, registry.Delete(ledger.QuarantineKey(id)))
	look(t, logs...)
	w.want(account, methodClear)
	look(t, append(logs, w.replica())...)
	w.want(account)
	if page, err := w.registry.List(t.Context(), registry.ListRequest{Prefix: resource.QuarantineNotesPrefix}); err != nil || len(page.KVs) != 0 {
		t.Fatalf("notes are left: %v, %v", page.KVs, err)
	}
}

func TestOnlyOwnersAreTold(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	w.quarantine(func(q *storev1.QuarantineRecord) { q.Kind = "app" })
	look(t, l)
	w.want(account)
	w.quarantine(nothing)
	look(t, l)
	w.want(account, methodQuarantine)

	// The site moves to another account, which is told from the beginning.
	w.put(w.registry, resource.ForAccount("other").Record(), &storev1.AccountRecord{})
	w.owner = "other"
	w.quarantine(func(q *storev1.QuarantineRecord) { q.Retries, q.Trying = 1, true })
	look(t, l)
	w.want(account)
	w.want("other", methodQuarantine, methodRetry)

	// It is purged meanwhile: nothing may be left below it.
	w.commit(w.registry, registry.Delete(resource.ForAccount("other").Record()))
	w.commit(w.control, registry.Delete(ledger.QuarantineKey(id)))
	look(t, l)
	w.want("other")
}

func TestRunEnds(t *testing.T) {
	w := newWorld(t)
	l := w.replica()
	clock := clockwork.NewFakeClock()
	l.cfg.Clock = clock
	w.quarantine(nothing)
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for {
		if err := clock.BlockUntilContext(ctx, 1); err != nil {
			t.Fatal(err)
		}
		clock.Advance(turn)
		page, err := w.registry.List(ctx, registry.ListRequest{Prefix: resource.ForAccount(account).AuditNewOf()})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.KVs) == 1 {
			break
		}
	}
	cancel()
	run.Wait()
}
