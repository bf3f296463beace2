package ratelimit

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// ErrBusy says that the tenant has too many calls waiting, or that one waited too long.
var ErrBusy = errors.New("ratelimit: too many calls at once")

// GateConfig is what a Gate needs. Zero values mean the defaults.
type GateConfig struct {
	Clock clockwork.Clock
	// Total bounds the calls that run at once; zero means 512.
	Total int
	// PerTenant bounds those of one tenant; zero means 64.
	PerTenant int
	// Queue bounds how many calls of one tenant wait; zero means 128.
	Queue int
	// MaxWait bounds how long a call waits; zero means 2 s.
	MaxWait time.Duration
}

// Gate bounds how many calls run at once.
type Gate struct {
	cfg GateConfig

	mu      sync.Mutex
	busy    int
	tenants map[string]*queue
	// turns holds the tenants that wait and could run, in the order of their turns.
	turns *list.List
}

// queue is a tenant that has calls running or waiting.
type queue struct {
	tenant  string
	busy    int
	waiting *list.List // of chan struct{}, which is closed when the place is given
	turn    *list.Element
}

// NewGate returns a Gate.
func NewGate(cfg GateConfig) *Gate {
	if cfg.Total <= 0 {
		cfg.Total = 512
	}
	if cfg.PerTenant <= 0 {
		cfg.PerTenant = 64
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 128
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = 2 * time.Second
	}
	return &Gate{cfg: cfg, tenants: map[string]*queue{}, turns: list.New()}
}

// Enter waits for a place and returns the function that gives it back, which must be called
// once. It fails with [ErrBusy], or with the context's error.
func (g *Gate) Enter(ctx context.Context, tenant string) (leave func(), err error) {
	g.mu.Lock()
	q, ok := g.tenants[tenant]
	if !ok {
		q = &queue{tenant: tenant, waiting: list.New()}
		g.tenants[tenant] = q
	}
	leave = func() { g.leave(q) }
	if g.busy < g.cfg.Total && q.busy < g.cfg.PerTenant && q.waiting.Len() == 0 {
		g.busy++
		q.busy++
		g.mu.Unlock()
		return leave, nil
	}
	if q.waiting.Len() >= g.cfg.Queue {
		g.mu.Unlock()
		return nil, ErrBusy
	}
	place := make(chan struct{})
	at := q.waiting.PushBack(place)
	g.queueUp(q)
	g.mu.Unlock()

	timer := g.cfg.Clock.NewTimer(g.cfg.MaxWait)
	defer timer.Stop()
	select {
	case <-place:
		return leave, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.Chan():
		err = ErrBusy
	}
	g.giveUp(q, at, place)
	return nil, err
}

// giveUp takes a waiting call out, or gives its place on where it was given meanwhile.
func (g *Gate) giveUp(q *queue, at *list.Element, place chan struct{}) {
	g.mu.Lock()
	select {
	case <-place:
		g.mu.Unlock()
		g.leave(q)
		return
	default:
	}
	defer g.mu.Unlock()
	q.waiting.Remove(at)
	if q.waiting.Len() == 0 && q.turn != nil {
		g.turns.Remove(q.turn)
		q.turn = nil
	}
	g.forget(q)
}

func (g *Gate) leave(q *queue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	q.busy--
	g.queueUp(q)
	g.dispatch()
	g.forget(q)
}

// queueUp gives the tenant a turn, where it waits and could run.
func (g *Gate) queueUp(q *queue) {
	if q.turn == nil && q.waiting.Len() > 0 && q.busy < g.cfg.PerTenant {
		q.turn = g.turns.PushBack(q)
	}
}

// dispatch gives free places to tenants in turn, one each.
func (g *Gate) dispatch() {
	for g.busy < g.cfg.Total {
		front := g.turns.Front()
		if front == nil {
			return
		}
		q, _ := g.turns.Remove(front).(*queue)
		q.turn = nil
		place, _ := q.waiting.Remove(q.waiting.Front()).(chan struct{})
		close(place)
		g.busy++
		q.busy++
		g.queueUp(q)
	}
}

func (g *Gate) forget(q *queue) {
	if q.busy == 0 && q.waiting.Len() == 0 {
		delete(g.tenants, q.tenant)
	}
}

// Load says how many calls run and how many tenants run or wait, for metrics.
func (g *Gate) Load() (running, tenants int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy, len(g.tenants)
}
