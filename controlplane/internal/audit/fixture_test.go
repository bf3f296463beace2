package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/audit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// view is a copy of the state at a revision.
type view struct {
	kvs      []registry.KV
	revision int64
}

func (v view) List(prefix, after string, limit int) ([]registry.KV, bool) {
	var out []registry.KV
	for _, kv := range v.kvs {
		if strings.HasPrefix(kv.Key, prefix) && kv.Key > after {
			if limit > 0 && len(out) == limit {
				return out, true
			}
			out = append(out, kv)
		}
	}
	return out, false
}

func (v view) Revision() int64 { return v.revision }

const fenceKey = "control/leader"

type world struct {
	store *memory.Store
	clock *clockwork.FakeClock
	fence registry.Compare
	ids   int
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Fatal(args ...any)
	Helper()
}

func setUp(t testing.TB) *world {
	t.Helper()
	w := &world{clock: clockwork.NewFakeClock()}
	w.store = memory.New(memory.Config{Clock: w.clock})
	t.Cleanup(w.store.Close)
	w.lead(t)
	return w
}

// lead makes the tests' sealers leaders, and earlier ones not.
func (w *world) lead(t failer) {
	t.Helper()
	w.fence = registry.Compare{Key: fenceKey, ModRevision: w.commit(t, registry.Put(fenceKey, []byte("x")))}
}

func (w *world) commit(t failer, ops ...registry.Op) int64 {
	t.Helper()
	rev, err := w.store.Commit(context.Background(), registry.Txn{Then: ops})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func (w *world) view(t failer) view {
	t.Helper()
	v := view{}
	req := registry.ListRequest{Prefix: resource.StatePrefix, Limit: 10_000}
	for {
		page, err := w.store.List(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		v.kvs, v.revision = append(v.kvs, page.KVs...), page.Revision
		if !page.More {
			return v
		}
		req.After = page.KVs[len(page.KVs)-1].Key
	}
}

// happen commits one change with events of an account.
func (w *world) happen(t failer, account string, summaries ...string) {
	t.Helper()
	tenant := resource.ForAccount(account)
	var ops []registry.Op
	for _, s := range summaries {
		w.ids++
		// IDs do not follow the order of commits, as when clocks of replicas differ.
		id := fmt.Sprintf("%03d-%06d", (w.ids*37)%1000, w.ids)
		b, err := proto.Marshal(&breakwaterv1.AuditEvent{
			Name: resource.AccountName(account) + "/auditEvents/" + id, Summary: s,
			CreateTime: timestamppb.New(w.clock.Now()), ChangedFields: []string{"a", "b"},
		})
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, registry.Put(tenant.AuditNew(id), b))
	}
	w.commit(t, ops...)
}

func (w *world) sealer(t failer, change func(*audit.SealerConfig)) *audit.Sealer {
	cfg := audit.SealerConfig{
		Store: w.store, Clock: w.clock, Logger: slog.New(slog.DiscardHandler),
		View: func() audit.View { return w.view(t) },
	}
	if change != nil {
		change(&cfg)
	}
	return audit.NewSealer(cfg)
}

func (w *world) open(t failer, account string) *audit.Log {
	t.Helper()
	l, err := audit.Open(context.Background(), w.store, w.view(t), resource.ForAccount(account))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// summaries are those of a whole log, oldest first, read in both directions.
func (w *world) summaries(t failer, account string) []string {
	t.Helper()
	l := w.open(t, account)
	var up, down []string
	if err := l.Ascend(context.Background(), func(e *breakwaterv1.AuditEvent) error {
		up = append(up, e.GetSummary())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	place := l.Last() + 1
	if err := l.Descend(context.Background(), 0, func(at int64, e *breakwaterv1.AuditEvent) bool {
		if place--; at != place || e.GetSequence() != 0 && e.GetSequence() != at {
			t.Fatal(fmt.Sprintf("place %d, event %v, expected %d", at, e, place))
		}
		down = append(down, e.GetSummary())
		return true
	}); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(down)
	if !slices.Equal(up, down) {
		t.Fatal(fmt.Sprintf("up %q, down %q", up, down))
	}
	return up
}

func (w *world) verify(t failer, account string) *breakwaterv1.VerifyAuditEventsResponse {
	t.Helper()
	v, err := w.open(t, account).Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func numbers(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

const day = 24 * time.Hour
