package leader_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/leader"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key      = "control/leader"
	patience = 20 * time.Second
	ttl      = 6 * time.Second
)

// candidate runs an elector whose function reports its terms and leads until it must stop.
type candidate struct {
	*leader.Elector
	id     string
	terms  chan leader.Term // each term as it begins
	ended  chan time.Time   // when each ended, on the clock
	end    chan error       // makes the function return
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func start(t *testing.T, store registry.Store, id string, cfg leader.Config) *candidate {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	cfg.RetryMin, cfg.RetryMax = time.Millisecond, 10*time.Millisecond
	c := &candidate{
		Elector: leader.New(store, key, id, cfg),
		id:      id,
		terms:   make(chan leader.Term, 100),
		ended:   make(chan time.Time, 100),
		end:     make(chan error),
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Go(func() {
		err := c.Run(ctx, func(ctx context.Context, term leader.Term) error {
			c.terms <- term
			defer func() { c.ended <- cfg.Clock.Now() }()
			select {
			case err := <-c.end:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(c.stop)
	return c
}

func (c *candidate) stop() {
	c.cancel()
	c.wg.Wait()
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatal("nothing happens")
	}
	var none T
	return none
}

func newStore(t *testing.T, clock clockwork.Clock) *memory.Store {
	t.Helper()
	s := memory.New(memory.Config{Clock: clock})
	t.Cleanup(s.Close)
	return s
}

func write(ctx context.Context, store registry.Store, term leader.Term) error {
	_, err := store.Commit(ctx, registry.Txn{
		If:   []registry.Compare{term.Fence()},
		Then: []registry.Op{registry.Put("data", nil)},
	})
	return err
}

// TestResigningHandsOver stops leaders in turn. The clock stands still, so nobody waits for
// a lease to end.
func TestResigningHandsOver(t *testing.T) {
	clock := clockwork.NewFakeClock()
	store := newStore(t, clock)
	var last int64
	current := start(t, store, "0", leader.Config{TTL: ttl, Clock: clock})
	for _, id := range []string{"1", "2", "3"} {
		term := receive(t, current.terms)
		if term.Number() <= last {
			t.Fatalf("term %d after %d", term.Number(), last)
		}
		last = term.Number()
		if err := write(t.Context(), store, term); err != nil {
			t.Fatal(err)
		}
		holder, err := current.Holder(t.Context())
		if err != nil || holder.ID != current.id || holder.Term != last {
			t.Fatalf("holder %+v, %v", holder, err)
		}
		if got, ok := current.Leading(); !ok || got != term {
			t.Fatalf("leading %+v, %v", got, ok)
		}
		next := start(t, store, id, leader.Config{TTL: ttl, Clock: clock})
		current.stop()
		var conflict *registry.ConflictError
		if err := write(t.Context(), store, term); !errors.As(err, &conflict) {
			t.Fatalf("a write of the old leader: %v", err)
		}
		if _, ok := current.Leading(); ok {
			t.Fatal("still leading")
		}
		current = next
	}
	receive(t, current.terms)
	current.stop()
	if _, err := current.Holder(t.Context()); !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("the last one did not resign: %v", err)
	}
}

// partition is a store as one candidate sees it, which can be cut off.
type partition struct {
	registry.Store
	cut   atomic.Bool
	kept  chan struct{} // each KeepAlive that was answered, where not nil
	calls atomic.Int64
}

func (p *partition) count() error {
	p.calls.Add(1)
	if p.cut.Load() {
		return registry.ErrUnavailable
	}
	return nil
}

func (p *partition) Get(ctx context.Context, key string) (registry.KV, error) {
	if err := p.count(); err != nil {
		return registry.KV{}, err
	}
	return p.Store.Get(ctx, key)
}

func (p *partition) Revision(ctx context.Context) (int64, error) {
	if err := p.count(); err != nil {
		return 0, err
	}
	return p.Store.Revision(ctx)
}

func (p *partition) KeepAlive(ctx context.Context, id registry.LeaseID) error {
	if err := p.count(); err != nil {
		return err
	}
	err := p.Store.KeepAlive(ctx, id)
	if p.kept != nil {
		p.kept <- struct{}{}
	}
	return err
}

func (p *partition) Revoke(ctx context.Context, id registry.LeaseID) error {
	if err := p.count(); err != nil {
		return err
	}
	return p.Store.Revoke(ctx, id)
}

// TestCutOffLeaderStopsFirst cuts the leader off: it must stop before its lease can end and
// another one lead, and what it writes afterwards must fail.
func TestCutOffLeaderStopsFirst(t *testing.T) {
	clock := clockwork.NewFakeClock()
	store := newStore(t, clock)
	p := &partition{Store: store}
	old := start(t, p, "old", leader.Config{TTL: ttl, Clock: clock})
	term := receive(t, old.terms)
	began := clock.Now()
	next := start(t, store, "next", leader.Config{TTL: ttl, Clock: clock})

	p.cut.Store(true)
	clock.Advance(ttl*5/6 - time.Millisecond)
	select {
	case <-old.ended:
		t.Fatal("stopped although the lease could be trusted")
	default:
	}
	clock.Advance(time.Millisecond)
	if stopped := receive(t, old.ended); stopped.Sub(began) >= ttl {
		t.Fatalf("stopped %v after the lease began", stopped.Sub(began))
	}
	select {
	case <-next.terms:
		t.Fatal("two leaders")
	default:
	}
	if err := write(t.Context(), store, term); err != nil {
		t.Fatalf("the term is not over yet: %v", err)
	}
	clock.Advance(ttl / 3)
	if newer := receive(t, next.terms); newer.Number() <= term.Number() {
		t.Fatalf("term %d after %d", newer.Number(), term.Number())
	}
	var conflict *registry.ConflictError
	if err := write(t.Context(), store, term); !errors.As(err, &conflict) {
		t.Fatalf("a write of the old leader: %v", err)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	clock := clockwork.NewFakeClock()
	p := &partition{Store: newStore(t, clock), kept: make(chan struct{})}
	c := start(t, p, "a", leader.Config{TTL: ttl, Clock: clock})
	term := receive(t, c.terms)
	for range 20 { // five times the lease
		// Two timers of the lease's keeper, the lease itself, and the watch's ticker.
		if err := clock.BlockUntilContext(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		clock.Advance(ttl / 4)
		receive(t, p.kept)
	}
	if got, ok := c.Leading(); !ok || got != term {
		t.Fatalf("leading %+v, %v, want %+v", got, ok, term)
	}
	if err := write(t.Context(), p, term); err != nil {
		t.Fatal(err)
	}
}

// TestDeletedKeyEndsTheTerm is an operator's way to unseat a leader.
func TestDeletedKeyEndsTheTerm(t *testing.T) {
	clock := clockwork.NewFakeClock()
	store := newStore(t, clock)
	c := start(t, store, "a", leader.Config{TTL: ttl, Clock: clock})
	term := receive(t, c.terms)
	if _, err := store.Commit(t.Context(), registry.Txn{Then: []registry.Op{registry.Delete(key)}}); err != nil {
		t.Fatal(err)
	}
	receive(t, c.ended)
	newer := advanceUntil(t, clock, c.terms)
	if newer.Number() <= term.Number() {
		t.Fatalf("term %d after %d", newer.Number(), term.Number())
	}
}

// advanceUntil lets pauses pass, which are far shorter than a lease.
func advanceUntil[T any](t *testing.T, clock *clockwork.FakeClock, ch <-chan T) (v T) {
	t.Helper()
	for began := time.Now(); ; clock.Advance(time.Millisecond) {
		select {
		case v = <-ch:
			return v
		default:
		}
		if time.Since(began) > patience {
			t.Fatal("nothing happens")
		}
	}
}

func TestFunctionThatReturnsGivesUp(t *testing.T) {
	store := newStore(t, nil)
	a := start(t, store, "a", leader.Config{TTL: ttl})
	first := receive(t, a.terms)
	b := start(t, store, "b", leader.Config{TTL: ttl})
	a.end <- errors.New("no more")
	select { // whoever is faster: a pauses, but b may only just have come
	case term := <-a.terms:
		if term.Number() <= first.Number() {
			t.Fatalf("term %d after %d", term.Number(), first.Number())
		}
	case <-b.terms:
	}
}

// TestWaitingDoesNotPoll lets a candidate wait for long and counts what it asks for.
func TestWaitingDoesNotPoll(t *testing.T) {
	store := newStore(t, nil)
	a := start(t, store, "a", leader.Config{TTL: ttl})
	receive(t, a.terms)
	clock := clockwork.NewFakeClock()
	p := &partition{Store: store}
	b := start(t, p, "b", leader.Config{TTL: ttl, Clock: clock})
	for p.calls.Load() < 2 {
		clock.Advance(time.Second)
	}
	for range 1000 {
		clock.Advance(time.Minute)
	}
	if n := p.calls.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
	a.stop()
	receive(t, b.terms)
}

// TestLostAnswerOfACampaign has the winning write stored without the candidate knowing.
func TestLostAnswerOfACampaign(t *testing.T) {
	store := newStore(t, nil)
	store.LoseAnswers(1)
	c := start(t, store, "a", leader.Config{TTL: ttl})
	if err := write(t.Context(), store, receive(t, c.terms)); err != nil {
		t.Fatal(err)
	}
}

// TestTermsGrowAcrossARestore puts a store's older state back: numbers that were given out
// since must not come again.
func TestTermsGrowAcrossARestore(t *testing.T) {
	clock := clockwork.NewFakeClock()
	store := newStore(t, clock)
	backup := store.Backup()
	a := start(t, store, "a", leader.Config{TTL: ttl, Clock: clock})
	last := receive(t, a.terms)
	a.stop()
	clock.Advance(time.Hour)
	store.Restore(backup)
	b := start(t, store, "b", leader.Config{TTL: ttl, Clock: clock})
	if term := receive(t, b.terms); term.Number() <= last.Number() {
		t.Fatalf("term %d after %d", term.Number(), last.Number())
	}
}

// TestManyCandidates has leaders give up at once, many times: never two at a time.
func TestManyCandidates(t *testing.T) {
	store := newStore(t, nil)
	var leading atomic.Int64
	var terms sync.Map
	var won atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 5 {
		e := leader.New(store, key, "x", leader.Config{TTL: ttl, RetryMin: time.Microsecond, RetryMax: time.Millisecond})
		wg.Go(func() {
			err := e.Run(ctx, func(ctx context.Context, term leader.Term) error {
				if leading.Add(1) != 1 {
					t.Error("two leaders")
				}
				if _, again := terms.LoadOrStore(term.Number(), true); again {
					t.Errorf("term %d twice", term.Number())
				}
				if err := write(ctx, store, term); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				leading.Add(-1)
				if won.Add(1) == 200 {
					cancel()
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := won.Load(); n < 200 {
		t.Fatalf("%d terms", n)
	}
}
