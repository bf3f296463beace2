package prune

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Term is the leadership under which everything is removed. Package leader implements it.
type Term interface {
	// Fence is the condition of every write.
	Fence() registry.Compare
	// Number grows with every election.
	Number() int64
}

// Config is what a pruner works with. All fields are needed but those with a default.
type Config struct {
	// Edge is the store that holds edge/, base/ and control/.
	Edge registry.Store
	// Control holds ledger.ControlPrefix of Edge. Someone else runs it.
	Control *watchcache.Cache
	// Trust are the keys whose manifests and bases are believed.
	Trust wire.Trust
	// Every is the time between two looks at what may go; by default 30 s.
	Every time.Duration
	// SweepEvery is the shortest time between two sweeps over all documents, which are made
	// when something went since the last one; by default 10 minutes. A sweep that takes long
	// is followed by a longer pause.
	SweepEvery time.Duration
	// IdleSweep is after how long a sweep is made in any case, for documents that no release
	// ever named; by default an hour.
	IdleSweep time.Duration
	// Pace is the pause between two transactions, so that neither the engine nor those who
	// watch edge/ are kept busy by pruning; by default 100 ms.
	Pace time.Duration
	// Clock drives pauses; by default the real one.
	Clock clockwork.Clock
	// Logger gets what operators should know; by default it is discarded.
	Logger *slog.Logger
}

func (c Config) complete() (Config, error) {
	switch {
	case c.Edge == nil, c.Control == nil:
		return c, errors.New("prune: the store or the cache is missing")
	case len(c.Trust) == 0:
		return c, errors.New("prune: no key is trusted")
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.Every, 30 * time.Second}, {&c.SweepEvery, 10 * time.Minute}, {&c.IdleSweep, time.Hour}, {&c.Pace, 100 * time.Millisecond},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
