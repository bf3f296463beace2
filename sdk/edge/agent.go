package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/crumb"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/feed"
	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/store"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Agent follows the control plane for one server.
type Agent struct {
	cfg   Config
	state *state
	ran   atomic.Bool

	feed  atomic.Pointer[feed.Feed]
	store *store.Store
	crumb *crumb.File

	checking sync.Mutex    // one health check at a time
	kick     chan struct{} // makes the health checks look at their timer again
	lost     atomic.Bool   // the data plane lost what it had
	told     atomic.Bool   // the control plane took a report since the start

	mu    sync.Mutex
	ended []ending // abandoned releases that were rejected here

	// reopened says that this process had the store open before: nothing crashed since.
	reopened bool
	// last is what was done about the end of the process before.
	last lastProcess

	worker
}

// ending is the end of a release that was rejected here.
type ending struct {
	channel wire.Channel
	release int64
}

// New returns an agent that does nothing until [Agent.Run]. Its errors are those of the
// configuration.
func New(cfg Config) (*Agent, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Agent{cfg: cfg, state: newState(), kick: make(chan struct{}, 1)}, nil
}

// Run serves until ctx ends, and then returns nil. It returns an error when the store
// cannot be opened at all, or [ErrStuck]. An agent runs once.
func (a *Agent) Run(ctx context.Context) error {
	if !a.ran.CompareAndSwap(false, true) {
		return errors.New("edge: an agent runs once")
	}
	for attempt := 0; ; attempt++ {
		err := a.live(ctx)
		if !errors.Is(err, errReopen) {
			return err
		}
		a.cfg.Logger.Error("edge: the store is damaged, and opened again", "error", err)
		a.reopened = true
		if !a.sleep(ctx, a.cfg.pause(attempt)) {
			return nil
		}
	}
}

// live serves from opening the store to closing it.
func (a *Agent) live(ctx context.Context) error {
	if err := a.open(); err != nil {
		return err
	}
	defer a.close(ctx)
	err := a.recall()
	if err == nil {
		if err := a.takeOver(); err != nil {
			a.cfg.Logger.Error("edge: the end of the last process cannot be noted", "error", err)
			a.setProblem(err)
		}
	}
	if a.store.Damaged() {
		return errors.Join(errReopen, err)
	}
	if err != nil {
		return err
	}
	seen, err := a.store.Seen()
	if err != nil {
		return err
	}
	f := feed.New(feed.Config{
		DataCenter: a.cfg.DataCenter, Etcd: a.cfg.Etcd, Quota: a.cfg.StagingQuota,
		Heartbeat: a.cfg.HeartbeatInterval, Timeout: a.cfg.RequestTimeout,
		Clock: a.cfg.Clock, Pause: a.cfg.pause, Logger: a.cfg.Logger,
		Cluster: seen.Cluster, Revision: seen.Revision,
		Rejected: a.rejectedReleases, Abandoned: a.abandoned,
	})
	a.feed.Store(f)

	a.worker = newWorker()
	a.told.Store(a.cfg.Report == nil)
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(running) })
	wg.Go(func() { a.watchHealth(running) })
	wg.Go(func() { a.scrubAll(running) })
	wg.Go(func() { a.lasts(running) })
	if a.cfg.Report != nil {
		wg.Go(func() { a.report(running) })
	}
	err = a.work(running)
	stop()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// DataPlaneRestarted says that the data plane lost what it had: it gets everything again,
// and the server counts as a new incarnation.
func (a *Agent) DataPlaneRestarted() {
	a.lost.Store(true)
	if f := a.feed.Load(); f != nil {
		f.Signal()
	}
}

func (a *Agent) open() error {
	var err error
	a.store, err = store.Open(a.cfg.StorePath, store.Options{NoSync: a.cfg.NoSync, Logger: a.cfg.Logger, Fault: a.cfg.fault})
	if err != nil {
		return err
	}
	if a.crumb, err = crumb.Open(a.cfg.StorePath + ".crumb"); err != nil {
		return errors.Join(err, a.store.Close())
	}
	return nil
}

// close gives the files back, and notes a stop in order, unless it is to look like none.
func (a *Agent) close(ctx context.Context) {
	if !errors.Is(context.Cause(ctx), ErrCrash) {
		if err := a.store.Stopped(); err != nil {
			a.cfg.Logger.Warn("edge: the stop is not noted", "error", err)
		}
	}
	if err := errors.Join(a.crumb.Close(), a.store.Close()); err != nil {
		a.cfg.Logger.Warn("edge: closing", "error", fmt.Errorf("edge: %w", err))
	}
}

// rejectedReleases are those whose end the feed looks for.
func (a *Agent) rejectedReleases(c wire.Channel) []int64 {
	rejections := a.state.read(c).rejections
	numbers := make([]int64, len(rejections))
	for i, r := range rejections {
		numbers[i] = r.GetRelease()
	}
	return numbers
}

// abandoned takes a note for the worker, where it matters.
func (a *Agent) abandoned(c wire.Channel, n int64) {
	if a.state.channels[c] == nil || a.state.read(c).rejected(n) == nil {
		return
	}
	a.mu.Lock()
	if !slices.Contains(a.ended, ending{c, n}) {
		a.ended = append(a.ended, ending{c, n})
	}
	a.mu.Unlock()
	if f := a.feed.Load(); f != nil {
		f.Signal()
	}
}
