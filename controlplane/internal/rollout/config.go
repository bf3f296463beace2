package rollout

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Observer knows what servers last said. Package fleet does; the times are on the clock of
// [Config], so that silence and post-mortems are measured alike.
type Observer interface {
	// Servers returns every known server.
	Servers() []Server
	// Since is when the observer began to listen.
	Since() time.Time
	// Steady is since when the time of day has gone on as time does; zero for always.
	Steady() time.Time
	// Changed is sent to when a later call may answer otherwise. It holds one notice.
	Changed() <-chan struct{}
}

// Term is the leadership under which everything is written. Package leader implements it.
type Term interface {
	// Fence is the condition of every write.
	Fence() registry.Compare
	// Number grows with every election.
	Number() int64
}

// Config is what a driver works with. All fields are needed but those with a default.
type Config struct {
	// Edge is the store that holds edge/ and control/.
	Edge registry.Store
	// Control holds ledger.ControlPrefix of Edge. Someone else runs it.
	Control *watchcache.Cache
	// Observer is what edges report.
	Observer Observer
	// Trust are the keys whose manifests are believed.
	Trust wire.Trust
	// DataCenters are the codes of the fleet; data centers that report and are missing here
	// are added.
	DataCenters []string
	// Defaults is the policy of each channel where operators set none; see
	// [DefaultPolicies].
	Defaults map[wire.Channel]*storev1.ChannelPolicy
	// OnIncident, if any, is told of incidents once the step that they belong to is stored.
	// It must not block.
	OnIncident func(Incident)
	// Clock is what bakes, soaks and post-mortems are measured with; by default the real
	// one.
	Clock clockwork.Clock
	// Logger gets what operators should know; by default it is discarded.
	Logger *slog.Logger
}

func (c Config) complete() (Config, error) {
	switch {
	case c.Edge == nil, c.Control == nil, c.Observer == nil:
		return c, errors.New("rollout: the store, the cache or the observer is missing")
	case len(c.Trust) == 0:
		return c, errors.New("rollout: no key is trusted")
	}
	for _, ch := range wire.Channels() {
		if c.Defaults[ch] == nil {
			return c, errors.New("rollout: no default policy for channel " + string(ch))
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
