package prune

import (
	"context"
	"errors"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/publish"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Pruner removes what nothing needs. Its methods may be called concurrently; Run must not
// run twice at a time.
type Pruner struct {
	cfg Config
	counters
}

// New returns a pruner.
func New(cfg Config) (*Pruner, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Pruner{cfg: cfg, counters: newCounters()}, nil
}

// Run prunes under a term until ctx ends, and then returns nil, or until another leader was
// elected, and then returns [ledger.ErrDeposed]. What fails is logged and tried again.
func (p *Pruner) Run(ctx context.Context, leading Term) error {
	defer p.clear()
	t := &term{cfg: p.cfg, owner: p, fence: leading.Fence(), loose: true}
	for complained := false; t.pause(ctx, p.cfg.Every) == nil; {
		err := t.round(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ledger.ErrDeposed):
			p.cfg.Logger.InfoContext(ctx, "another leader was elected, pruning ends", "error", err)
			return err
		case errors.Is(err, errBusy):
			// The engine comes first; there is another round.
		case err == nil:
			complained = false
		case !complained:
			complained = true
			p.cfg.Logger.WarnContext(ctx, "pruning failed and is tried again", "error", err)
		}
	}
	return nil
}

// term is what a pruner knows during one term. It belongs to one goroutine.
type term struct {
	cfg   Config
	owner *Pruner
	fence registry.Compare
	// tight says that the store fills up.
	tight bool
	// loose says that documents may have become nobody's since the last sweep, which was at
	// swept and took as long as took.
	loose bool
	swept time.Time
	took  time.Duration
}

// round looks once at everything.
func (t *term) round(ctx context.Context) error {
	status, err := t.cfg.Edge.Status(ctx)
	if err != nil {
		return err
	}
	t.owner.setStore(status)
	t.tight = status.QuotaBytes > 0 && float64(status.SizeBytes) >= publish.TightShare*float64(status.QuotaBytes)
	for _, c := range wire.Channels() {
		if err := t.releases(ctx, c); err != nil {
			return err
		}
	}
	if !t.due() {
		return nil
	}
	began := t.cfg.Clock.Now()
	if err := t.sweepAll(ctx); err != nil {
		return err
	}
	t.loose, t.swept = false, t.cfg.Clock.Now()
	t.took = t.swept.Sub(began)
	return nil
}

// sweepShare is how much longer than a sweep the pause after it is.
const sweepShare = 20

// due says whether it is time for a sweep.
func (t *term) due() bool {
	if t.swept.IsZero() {
		return true
	}
	since := t.cfg.Clock.Since(t.swept)
	return since >= sweepShare*t.took && (t.loose && since >= t.cfg.SweepEvery || since >= t.cfg.IdleSweep)
}

// errBusy says that the engine changed what a decision stood on again and again.
var errBusy = errors.New("prune: the engine is busy")

// attempts is how often a transaction is tried before the next round tries it.
const attempts = 10

// retry calls f until what it found holds until its transaction.
func (t *term) retry(ctx context.Context, f func() error) error {
	for range attempts {
		err := f()
		_, conflict := errors.AsType[*registry.ConflictError](err)
		if errors.Is(err, ledger.ErrDeposed) || !conflict && !errors.Is(err, errAsked) {
			return err
		}
		if err := t.pause(ctx, t.cfg.Pace); err != nil {
			return err
		}
	}
	return errBusy
}

// pause waits; its error is that of the context.
func (t *term) pause(ctx context.Context, d time.Duration) error {
	timer := t.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.Chan():
		return nil
	}
}
