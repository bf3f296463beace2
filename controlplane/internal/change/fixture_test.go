package change_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// view is a copy of a state.
type view struct {
	kvs      []registry.KV
	revision int64
}

func (v view) Get(key string) (registry.KV, bool) {
	for _, kv := range v.kvs {
		if kv.Key == key {
			return kv, true
		}
	}
	return registry.KV{}, false
}

func (v view) List(prefix, after string, limit int) ([]registry.KV, bool) {
	var out []registry.KV
	for _, kv := range v.kvs {
		if !strings.HasPrefix(kv.Key, prefix) || kv.Key <= after {
			continue
		}
		if limit > 0 && len(out) == limit {
			return out, true
		}
		out = append(out, kv)
	}
	return out, false
}

func (v view) Revision() int64 { return v.revision }

// source reads straight from the store; Cached stays at what it was when it was held.
type source struct {
	store registry.Store

	mu    sync.Mutex
	held  *view
	reads atomic.Int64
}

func (s *source) snapshot(ctx context.Context) (view, error) {
	page, err := s.store.List(ctx, registry.ListRequest{Prefix: resource.StatePrefix, Limit: 10_000})
	return view{kvs: page.KVs, revision: page.Revision}, err
}

// hold makes Cached stale from now on.
func (s *source) hold(t *testing.T) {
	t.Helper()
	v, err := s.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = &v
}

func (s *source) Cached() change.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		return *s.held
	}
	v, err := s.snapshot(context.Background())
	if err != nil {
		return view{}
	}
	return v
}

func (s *source) Read(ctx context.Context) (change.View, error) {
	s.reads.Add(1)
	v, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// rot is a sealer that shows in tests whether it was used.
type rot struct{}

func (rot) Seal(p, a []byte) ([]byte, error) {
	return append([]byte("sealed:"+string(a)+":"), flip(p)...), nil
}

func (rot) Open(c, a []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(c), "sealed:"+string(a)+":")
	if !ok {
		return nil, fmt.Errorf("not sealed for %s", a)
	}
	return flip([]byte(rest)), nil
}

func flip(p []byte) []byte {
	out := make([]byte, len(p))
	for i, c := range p {
		out[i] = c ^ 0x55
	}
	return out
}

type fixture struct {
	store  *memory.Store
	source *source
	clock  *clockwork.FakeClock
	writer *change.Writer
	ids    atomic.Int64
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: clockwork.NewFakeClock()}
	f.store = memory.New(memory.Config{Clock: f.clock})
	t.Cleanup(f.store.Close)
	f.source = &source{store: f.store}
	f.writer = f.replica()
	return f
}

// replica is another server on the same store.
func (f *fixture) replica() *change.Writer {
	return change.New(f.store, f.source, change.Config{
		Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Sealer: rot{},
		NewID: func(time.Time) string { return fmt.Sprintf("id%09d", f.ids.Add(1)) },
	})
}

var acme = resource.ForAccount("acme")

// counter is the key that most tests change; its record counts in the display name.
func counter() string { return acme.Member("counter") }

func read(t *testing.T, f *fixture, key string, m proto.Message) (registry.KV, bool) {
	t.Helper()
	kv, err := f.store.Get(t.Context(), key)
	if err != nil {
		return registry.KV{}, false
	}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		t.Fatal(err)
	}
	return kv, true
}

func (f *fixture) value(t *testing.T) string {
	t.Helper()
	var rec storev1.MemberRecord
	read(t, f, counter(), &rec)
	return rec.GetMember().GetEmail()
}

// set makes a change that writes a value.
func set(value string) func(tx *change.Tx) (*breakwaterv1.Member, error) {
	return func(tx *change.Tx) (*breakwaterv1.Member, error) {
		var rec storev1.MemberRecord
		if _, err := tx.Exists(counter()); err != nil {
			return nil, err
		}
		rec.Member = &breakwaterv1.Member{Email: value}
		return rec.GetMember(), tx.Put(counter(), &rec)
	}
}

func as(ctx context.Context, change func(*call.Info)) context.Context {
	info := call.Info{FullMethod: "/breakwater.v1.MemberService/UpdateMember"}
	if change != nil {
		change(&info)
	}
	return call.With(ctx, info)
}

func keyed(ctx context.Context, key string, digest byte) context.Context {
	return as(ctx, func(i *call.Info) { i.IdempotencyKey, i.RequestDigest = key, [32]byte{digest} })
}

func caller(ctx context.Context) context.Context {
	return as(ctx, func(i *call.Info) { i.Principal = authn.Principal{Kind: authn.Operator, ID: "operator"} })
}

func (f *fixture) putAccount(t *testing.T, a *breakwaterv1.Account) {
	t.Helper()
	b, err := proto.Marshal(&storev1.AccountRecord{Account: a})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Put(acme.Record(), b)}}); err != nil {
		t.Fatal(err)
	}
}
