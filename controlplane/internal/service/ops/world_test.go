package ops_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var places = []ops.Location{
	{Code: "SJC", City: "San Jose", Country: "US"},
	{Code: "LHR", City: "London", Country: "GB"},
	{Code: "NRT", City: "Tokyo", Country: "JP"},
}

// world is the operators' services over a registry and a control store in memory.
type world struct {
	t             *testing.T
	control       *memory.Store
	registry      *memory.Store
	controlCache  *watchcache.Cache
	registryCache *watchcache.Cache
	clock         *clockwork.FakeClock
	log           *logBuffer
	signer        ed25519.PrivateKey
	ctl           *ops.Control
	fleet         *ops.Fleet
	releases      *ops.Releases
	limits        *ops.Limits
	status        *ops.Status
}

// logBuffer keeps lines for several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// audits returns the lines of the operators' log as `principal method resource`.
func (w *world) audits() []string {
	w.t.Helper()
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	var out []string
	for line := range strings.Lines(w.log.b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			w.t.Fatal(err)
		}
		if m["audit"] == true {
			out = append(out, fmt.Sprintf("%s %s %s", m["principal"], m["method"], m["resource"]))
		}
	}
	w.log.b.Reset()
	return out
}

func (w *world) audited(want ...string) {
	w.t.Helper()
	if got := w.audits(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Errorf("operators' log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clockwork.NewFakeClock(), log: &logBuffer{}}
	w.control, w.controlCache = startStore(t, ledger.ControlPrefix)
	w.registry, w.registryCache = startStore(t, resource.StatePrefix)
	var ids atomic.Int64
	newID := func(time.Time) string { return fmt.Sprintf("id%04d", ids.Add(1)) }
	logger := slog.New(slog.NewJSONHandler(w.log, nil))
	writer := func(store *memory.Store, cache *watchcache.Cache, prefix string) *change.Writer {
		return change.New(store, change.FromCache(cache), change.Config{
			Clock: w.clock, Logger: slog.New(slog.DiscardHandler), CachedPrefix: prefix, NewID: newID,
		})
	}
	w.ctl = &ops.Control{
		Read:  func(ctx context.Context) (ops.View, error) { return w.controlCache.Read(ctx) },
		Store: w.control, Writer: writer(w.control, w.controlCache, ledger.ControlPrefix), Logger: logger,
		NewID: newID, CommandWait: 20 * time.Second,
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.signer = private
	w.fleet = ops.NewFleet(w.ctl, places)
	w.releases = ops.NewReleases(w.ctl, policies(), wire.NewTrust(public), places)
	w.limits = ops.NewLimits(writer(w.registry, w.registryCache, ""), change.FromCache(w.registryCache), logger)
	w.status = ops.NewStatus(func() ops.View { return w.controlCache.Cached() }, places, w.clock)
	return w
}

func startStore(t *testing.T, prefix string) (*memory.Store, *watchcache.Cache) {
	t.Helper()
	store := memory.New(memory.Config{})
	cache := watchcache.New(store, watchcache.Config{Prefix: prefix})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = cache.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; store.Close() })
	return store, cache
}

func policies() map[wire.Channel]*storev1.ChannelPolicy {
	out := map[wire.Channel]*storev1.ChannelPolicy{}
	for _, c := range wire.Channels() {
		out[c] = &storev1.ChannelPolicy{
			Waves: []*storev1.ChannelPolicy_Wave{
				{DataCenters: []string{"SJC"}, Bake: durationpb.New(time.Second)},
				{Bake: durationpb.New(2 * time.Second)},
			},
			Soak: durationpb.New(time.Minute),
		}
	}
	return out
}

// as is a context in which an operator calls a method.
func (w *world) as(method string, options ...func(*call.Info)) context.Context {
	info := call.Info{
		FullMethod: "/breakwater.ops.v1.Test/" + method, RequestID: "r1",
		Principal: authn.Principal{Kind: authn.Operator, ID: "operator:ada"},
	}
	for _, o := range options {
		o(&info)
	}
	return call.With(w.t.Context(), info)
}

func validateOnly(i *call.Info) { i.ValidateOnly = true }

func ifMatch(etag string) func(*call.Info) { return func(i *call.Info) { i.IfMatch = etag } }

func keyed(key, request string) func(*call.Info) {
	return func(i *call.Info) { i.IdempotencyKey, i.RequestDigest = key, sha256.Sum256([]byte(request)) }
}

func (w *world) put(store *memory.Store, key string, m proto.Message) {
	w.t.Helper()
	op, err := ledger.Put(key, m)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{op}}); err != nil {
		w.t.Fatal(err)
	}
}

// leader obeys commands until the test ends: it removes each with what obey wants done.
func (w *world) leader(obey func(*storev1.Command) []registry.Op) {
	w.t.Helper()
	after, err := w.control.Revision(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watch := w.control.Watch(ctx, ledger.CommandsPrefix, after)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for batch := range watch.C() {
			for _, e := range batch.Events {
				cmd := &storev1.Command{}
				if e.Deleted || proto.Unmarshal(e.Value, cmd) != nil {
					continue
				}
				txn := registry.Txn{Then: append(obey(cmd), registry.Delete(e.Key))}
				if _, err := w.control.Commit(ctx, txn); err != nil && ctx.Err() == nil {
					w.t.Errorf("leader: %v", err)
				}
			}
		}
	}()
	w.t.Cleanup(func() { cancel(); <-done })
}

// commands counts the commands that wait.
func (w *world) commands() int {
	w.t.Helper()
	page, err := w.control.List(w.t.Context(), registry.ListRequest{Prefix: ledger.CommandsPrefix})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.KVs)
}

// is fails the test unless err has the code and the reason.
func is(t *testing.T, err error, code codes.Code, reason rpcerr.Reason) {
	t.Helper()
	_ = refusal(t, err, code, reason)
}

// refusal is an error that has the code and the reason.
func refusal(t *testing.T, err error, code codes.Code, reason rpcerr.Reason) *rpcerr.Error {
	t.Helper()
	e, ok := errors.AsType[*rpcerr.Error](err)
	if s := rpcerr.Status(err); !ok || s.Code() != code || e.Reason != reason {
		t.Fatalf("got %v (%v), want %v %s", s.Code(), err, code, reason)
	}
	return e
}
