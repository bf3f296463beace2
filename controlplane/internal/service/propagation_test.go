package service

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/propagation"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

const (
	propagationName     = "accounts/acme/sites/shop.test/propagation"
	propagationPatience = 20 * time.Second
)

// propagationWorld is a site in one store and an engine's state in another.
type propagationWorld struct {
	t                           *testing.T
	service                     *Propagation
	registry, control           *memory.Store
	registryCache, controlCache *watchcache.Cache
	clock                       *clockwork.FakeClock
	bad                         wire.Sum
	picked                      []string
	// stored are the versions that were stored, newest first.
	stored []*storev1.VersionRevision
}

func newPropagationWorld(t *testing.T, ring int) *propagationWorld {
	t.Helper()
	w := &propagationWorld{t: t, clock: clockwork.NewFakeClock(), bad: wire.SumOf([]byte("bad"))}
	start := func(prefix string) (*memory.Store, *watchcache.Cache) {
		store := memory.New(memory.Config{})
		cache := watchcache.New(store, watchcache.Config{Prefix: prefix, RingEvents: ring})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = cache.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done; store.Close() })
		return store, cache
	}
	w.registry, w.registryCache = start(resource.StatePrefix)
	w.control, w.controlCache = start(ledger.ControlPrefix)
	w.service = NewPropagation(PropagationConfig{
		Registry: w.registryCache, Control: w.controlCache, Index: propagation.NewIndex(nil), Clock: w.clock, Retrier: w,
		Sums: func(_ watchcache.View, rec *storev1.SiteRecord) (map[wire.DocumentID]wire.Sum, error) {
			if rec.GetConfig().GetSettings().GetDevelopmentMode() {
				return map[wire.DocumentID]wire.Sum{{Kind: wire.KindSite, ID: "shop.test"}: w.bad}, nil
			}
			return nil, nil
		},
	})
	w.store(1, false)
	return w
}

// Retry implements [PropagationRetrier].
func (w *propagationWorld) Retry(ctx context.Context, pick func(context.Context) ([]string, error)) error {
	ids, err := pick(ctx)
	w.picked = append(w.picked, ids...)
	return err
}

func (w *propagationWorld) put(store *memory.Store, key string, m proto.Message) int64 {
	w.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	rev, err := store.Commit(w.t.Context(), registry.Txn{Then: []registry.Op{registry.Put(key, b)}})
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

// store stores a version of the site, which compiles to the bad document where bad is set.
func (w *propagationWorld) store(version int64, bad bool) int64 {
	w.t.Helper()
	revision := w.put(w.registry, resource.ForAccount("acme").Site("shop.test"), &storev1.SiteRecord{
		RecentVersions: w.stored,
		Site: &breakwaterv1.Site{
			Name: "accounts/acme/sites/shop.test", Domain: "shop.test", Version: version, State: breakwaterv1.Site_ACTIVE,
		},
		Config: &breakwaterv1.SiteConfig{Settings: &breakwaterv1.Settings{DevelopmentMode: bad}},
	})
	w.stored = append([]*storev1.VersionRevision{{Version: version, Revision: revision}}, w.stored...)
	return revision
}

// engine makes the engine's state: a release in each of a site's channels that covers all,
// the newest one that is live, and what the one data center serves.
func (w *propagationWorld) engine(release, live, serves int64, firstWave bool) {
	w.t.Helper()
	revision, err := w.registry.Revision(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	wave := &storev1.ReleaseProgress_Wave{}
	if firstWave {
		wave.PassTime = timestamppb.Now()
	}
	var txn registry.Txn
	add := func(key string, m proto.Message) {
		op, err := ledger.Put(key, m)
		if err != nil {
			w.t.Fatal(err)
		}
		txn.Then = append(txn.Then, op)
	}
	for _, c := range []wire.Channel{wire.Urgent, wire.Routine} {
		add(ledger.HeadKey(c), &storev1.HeadRecord{Release: release, Cursor: revision})
		add(ledger.RolloutKey(c), &storev1.RolloutRecord{Live: live, LastKnownGood: 1, Releases: []*storev1.ReleaseProgress{
			{Number: release, FromRevision: 0, CoveredRevision: revision, Waves: []*storev1.ReleaseProgress_Wave{wave, {}}},
		}})
	}
	add(ledger.FleetKey("SJC"), &storev1.FleetRecord{DataCenter: "SJC", Servers: []*storev1.FleetRecord_Server{
		{Server: "a", Connected: true, Releases: map[string]int64{"urgent": serves, "routine": serves}},
	}})
	if _, err := w.control.Commit(w.t.Context(), txn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *propagationWorld) quarantine(q *storev1.QuarantineRecord) {
	w.t.Helper()
	q.Kind, q.Id, q.Channel, q.BadSha256, q.Reason = wire.KindSite, "shop.test", "routine", w.bad[:], "refused"
	w.put(w.control, ledger.QuarantineKey("site-shop.test"), q)
}

func (w *propagationWorld) get(version int64) (*breakwaterv1.Propagation, error) {
	return w.service.GetPropagation(w.t.Context(), &breakwaterv1.GetPropagationRequest{Name: propagationName, Version: version})
}

// propagationStream is the server's end of a stream.
type propagationStream struct {
	grpc.ServerStreamingServer[breakwaterv1.Propagation]
	ctx  context.Context //nolint:containedctx // a stream has one
	sent chan *breakwaterv1.Propagation
}

func (s *propagationStream) Context() context.Context { return s.ctx }

func (s *propagationStream) Send(p *breakwaterv1.Propagation) error {
	select {
	case s.sent <- p:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// propagationWait is a running WaitPropagation.
type propagationWait struct {
	t     *testing.T
	sent  chan *breakwaterv1.Propagation
	ended chan error
	stop  context.CancelFunc
}

func (w *propagationWorld) wait(version int64, scope breakwaterv1.WaitPropagationRequest_Scope) *propagationWait {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), propagationPatience)
	p := &propagationWait{t: w.t, sent: make(chan *breakwaterv1.Propagation), ended: make(chan error, 1), stop: cancel}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.ended <- w.service.WaitPropagation( //nolint:contextcheck // a stream brings its context
			&breakwaterv1.WaitPropagationRequest{Name: propagationName, Version: version, Scope: scope},
			&propagationStream{ctx: ctx, sent: p.sent})
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	return p
}

// says waits for the next message.
func (p *propagationWait) says(want breakwaterv1.Propagation_State, applied int32) {
	p.t.Helper()
	select {
	case got := <-p.sent:
		if got.GetState() != want || got.GetAppliedDataCenters() != applied || got.GetObserveTime() == nil {
			p.t.Fatalf("got %v, want %v applied by %d", got, want, applied)
		}
	case err := <-p.ended:
		p.t.Fatalf("the stream ended with %v, want %v", err, want)
	}
}

// ends waits for the end, with nothing more to be said.
func (p *propagationWait) ends() error {
	p.t.Helper()
	select {
	case got := <-p.sent:
		p.t.Fatalf("got %v, want the end", got)
		return nil
	case err := <-p.ended:
		return err
	}
}

func TestGetPropagation(t *testing.T) {
	w := newPropagationWorld(t, 0)
	for _, step := range []struct {
		release, live, serves int64
		want                  breakwaterv1.Propagation_State
		applied               int32
	}{
		{2, 1, 1, breakwaterv1.Propagation_PENDING, 0},
		{2, 1, 2, breakwaterv1.Propagation_ROLLING_OUT, 1},
		{2, 2, 2, breakwaterv1.Propagation_LIVE, 1},
	} {
		w.engine(step.release, step.live, step.serves, false)
		p, err := w.get(0)
		if err != nil {
			t.Fatal(err)
		}
		if p.GetState() != step.want || p.GetAppliedDataCenters() != step.applied || p.GetTotalDataCenters() != 1 {
			t.Errorf("got %v, want %v", p, step.want)
		}
		if p.GetName() != propagationName || p.GetVersion() != 1 || !p.GetObserveTime().AsTime().Equal(w.clock.Now()) {
			t.Errorf("got %v", p)
		}
	}
	// What was acknowledged is seen at once.
	w.store(2, false)
	if p, err := w.get(0); err != nil || p.GetVersion() != 2 || p.GetState() != breakwaterv1.Propagation_PENDING {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := w.get(3); rpcerr.Status(err).Code() != codes.NotFound {
		t.Errorf("a version to come: %v", err)
	}
	_, err := w.service.GetPropagation(t.Context(), &breakwaterv1.GetPropagationRequest{Name: "accounts/acme/sites/other.test/propagation"})
	if rpcerr.Status(err).Code() != codes.NotFound {
		t.Errorf("a site that is none: %v", err)
	}
}

func TestServingVersion(t *testing.T) {
	w := newPropagationWorld(t, 0)
	revision := w.store(4, false)
	w.engine(2, 2, 2, true)
	if _, err := w.get(0); err != nil { // the cache is current
		t.Fatal(err)
	}
	rec := &storev1.SiteRecord{Site: &breakwaterv1.Site{Domain: "shop.test", Version: 4, State: breakwaterv1.Site_ACTIVE}}
	if got := w.service.ServingVersion(rec, revision); got != 4 {
		t.Errorf("serving = %d, want 4", got)
	}
	if got := w.service.ServingVersion(rec, revision+1); got != 0 {
		t.Errorf("serving = %d for what was not looked at, want 0", got)
	}
}

func TestWaitPropagation(t *testing.T) {
	w := newPropagationWorld(t, 0)
	w.engine(2, 1, 1, false)
	p := w.wait(0, breakwaterv1.WaitPropagationRequest_ALL)
	p.says(breakwaterv1.Propagation_PENDING, 0)
	// Nothing that matters changes: nothing is said.
	w.put(w.registry, resource.ForAccount("acme").Site("shop.test.example"), &storev1.SiteRecord{})
	w.put(w.control, ledger.CommandKey("1"), &storev1.Command{})
	w.engine(2, 1, 2, true)
	p.says(breakwaterv1.Propagation_ROLLING_OUT, 1)
	// A newer version does not change what is waited for.
	w.store(2, false)
	w.engine(2, 2, 2, true)
	p.says(breakwaterv1.Propagation_LIVE, 1)
	if err := p.ends(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestWaitForCanary(t *testing.T) {
	w := newPropagationWorld(t, 0)
	w.engine(2, 1, 2, false)
	canary, all := w.wait(1, breakwaterv1.WaitPropagationRequest_CANARY), w.wait(1, breakwaterv1.WaitPropagationRequest_SCOPE_UNSPECIFIED)
	canary.says(breakwaterv1.Propagation_ROLLING_OUT, 1)
	all.says(breakwaterv1.Propagation_ROLLING_OUT, 1)
	w.engine(2, 1, 2, true)
	if err := canary.ends(); err != nil {
		t.Errorf("ended with %v", err)
	}
	all.stop()
	if err := all.ends(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want the caller's own end", err)
	}
	// Asked again, the answer is there at once.
	again := w.wait(1, breakwaterv1.WaitPropagationRequest_CANARY)
	again.says(breakwaterv1.Propagation_ROLLING_OUT, 1)
	if err := again.ends(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestWaitEndsWhereItCannotBeReached(t *testing.T) {
	w := newPropagationWorld(t, 0)
	w.store(2, true)
	w.engine(2, 1, 2, false)
	newest, older := w.wait(2, breakwaterv1.WaitPropagationRequest_ALL), w.wait(1, breakwaterv1.WaitPropagationRequest_ALL)
	newest.says(breakwaterv1.Propagation_ROLLING_OUT, 1)
	older.says(breakwaterv1.Propagation_ROLLING_OUT, 1)
	w.quarantine(&storev1.QuarantineRecord{Release: 2})
	newest.says(breakwaterv1.Propagation_QUARANTINED, 0)
	older.says(breakwaterv1.Propagation_SUPERSEDED, 0)
	if err := errors.Join(newest.ends(), older.ends()); err != nil {
		t.Errorf("ended with %v", err)
	}
	future := w.wait(3, breakwaterv1.WaitPropagationRequest_ALL)
	if err := future.ends(); rpcerr.Status(err).Code() != codes.NotFound {
		t.Errorf("a version to come: %v", err)
	}
}

func TestWaitEndsWithTheSite(t *testing.T) {
	w := newPropagationWorld(t, 0)
	p := w.wait(0, breakwaterv1.WaitPropagationRequest_ALL)
	p.says(breakwaterv1.Propagation_PENDING, 0)
	_, err := w.registry.Commit(t.Context(), registry.Txn{Then: []registry.Op{
		registry.Delete(resource.ForAccount("acme").Site("shop.test")),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.ends(); rpcerr.Status(err).Code() != codes.NotFound {
		t.Errorf("ended with %v", err)
	}
}

// A waiter that can't keep up reads everything again.
func TestWaitSurvivesLag(t *testing.T) {
	w := newPropagationWorld(t, 2)
	w.engine(2, 1, 1, false)
	p := w.wait(0, breakwaterv1.WaitPropagationRequest_ALL)
	got := <-p.sent // the waiter goes on only when the test takes the next message
	if got.GetState() != breakwaterv1.Propagation_PENDING {
		t.Fatalf("got %v", got)
	}
	w.engine(2, 1, 2, true)
	for i := range 20 {
		w.engine(2, 1, 2, true)
		w.put(w.control, ledger.CommandKey(string(rune('a'+i))), &storev1.Command{})
	}
	w.engine(2, 2, 2, true)
	for state := got.GetState(); state != breakwaterv1.Propagation_LIVE; {
		select {
		case next := <-p.sent:
			state = next.GetState()
		case err := <-p.ended:
			t.Fatalf("ended with %v before it was LIVE", err)
		}
	}
	if err := p.ends(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestRetryPropagation(t *testing.T) {
	w := newPropagationWorld(t, 0)
	retry := func() (*breakwaterv1.Propagation, error) {
		return w.service.RetryPropagation(t.Context(), &breakwaterv1.RetryPropagationRequest{Name: propagationName})
	}
	w.engine(2, 2, 2, true)
	if _, err := retry(); rpcerr.Status(err).Code() != codes.FailedPrecondition {
		t.Errorf("nothing is quarantined: %v", err)
	}
	w.store(2, true)
	w.quarantine(&storev1.QuarantineRecord{Release: 2, RetryTime: timestamppb.New(w.clock.Now().Add(90 * time.Second))})
	_, err := retry()
	var limited *rpcerr.Error
	if !errors.As(err, &limited) || limited.Reason != rpcerr.ReasonRateLimited || limited.RetryAfter != 90*time.Second {
		t.Errorf("before its time: %v", err)
	}
	w.clock.Advance(90 * time.Second)
	if p, err := retry(); err != nil || p.GetState() != breakwaterv1.Propagation_QUARANTINED {
		t.Errorf("got %v, %v", p, err)
	}
	if len(w.picked) != 1 || w.picked[0] != "site-shop.test" {
		t.Errorf("picked %v", w.picked)
	}
	w.quarantine(&storev1.QuarantineRecord{Release: 2, Trying: true})
	if _, err := retry(); rpcerr.Status(err).Code() != codes.FailedPrecondition {
		t.Errorf("being tried: %v", err)
	}
	// A quarantine of an older version ends by itself.
	w.store(3, false)
	w.quarantine(&storev1.QuarantineRecord{Release: 2})
	if _, err := retry(); rpcerr.Status(err).Code() != codes.FailedPrecondition {
		t.Errorf("an older version's: %v", err)
	}
}
