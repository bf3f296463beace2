package edge

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"

	"github.com/breakwater-cdn/breakwater/sdk/edge/internal/feed"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Etcd is what an agent needs of an etcd client; *clientv3.Client has it. Several agents
// may share one.
type Etcd = feed.Etcd

// Config says what an agent serves and how.
type Config struct {
	// DataCenter is the data center's code, and Server the server's name in it. Required.
	DataCenter string
	Server     string
	// Etcd is where releases are read. Required. It belongs to the caller, and needs to be
	// able to read edge/ and base/ only.
	Etcd Etcd
	// Report is the connection to the control plane that reports go to; nil means that
	// none are sent. It belongs to the caller.
	Report grpc.ClientConnInterface
	// Trust is the set of keys that may sign releases. Required.
	Trust wire.Trust
	// StorePath is the file of the agent's own store; files beside it begin with the same
	// name. Required.
	StorePath string
	// Applier is the data plane. Required.
	Applier Applier

	// Boot tells starts of the machine apart, as /proc/sys/kernel/random/boot_id does: an
	// apply that was cut short by a start of the machine is tried once more.
	Boot string
	// Version is the agent's version, for reports.
	Version string
	// NoSync leaves it to the operating system when the store reaches the disk: after a
	// power cut, what is lost is fetched again.
	NoSync bool
	// StagingQuota bounds what is kept in memory of content that no target names yet, in
	// bytes. Default 16 MiB.
	StagingQuota int64

	// ApplyTimeout is how long an Apply may take; then its context ends and the release is
	// rejected. Default 30 s.
	ApplyTimeout time.Duration
	// ApplyGrace is how long after that Apply may take to return, before Run gives up with
	// [ErrStuck]. Default 5 s.
	ApplyGrace time.Duration
	// HealthInterval is the time between health checks, 100 ms or more. Default 1 s. There
	// is one more after every Apply, and one when a bake is over.
	HealthInterval time.Duration
	// HealthTimeout bounds a health check. Default 2 s.
	HealthTimeout time.Duration
	// ReportInterval is the time between reports when nothing changes, until the control
	// plane tells another one. Default 5 s.
	ReportInterval time.Duration
	// HeartbeatInterval is the time between reads of the targets, which find a watch that
	// went silent. Default 10 s.
	HeartbeatInterval time.Duration
	// CrashWindow is how long a process has to serve well until crashes before it no longer
	// count; see the package documentation. Default 1 min.
	CrashWindow time.Duration
	// AskTimeout is how long a server that crashes in a row tries to tell and to hear, before
	// it serves again what may have crashed it. Default 2 s.
	AskTimeout time.Duration
	// ScrubInterval is the time between checks of everything on the disk; negative means
	// none. Default 10 min.
	ScrubInterval time.Duration
	// RequestTimeout bounds every read of etcd. Default 5 s.
	RequestTimeout time.Duration
	// BackoffMin and BackoffMax bound the random time before another attempt of anything.
	// Default 100 ms and 10 s.
	BackoffMin time.Duration
	BackoffMax time.Duration

	// Clock is the time; nil means the real one.
	Clock clockwork.Clock
	// Rand returns numbers in [0,1) for jitter, and may be called by several goroutines;
	// nil means the runtime's.
	Rand func() float64
	// NewIncarnation returns a name that no start had before; nil means a random one.
	NewIncarnation func() string
	// Logger gets what happens; nil discards it.
	Logger *slog.Logger

	// fault is [store.Options.Fault].
	fault func() error
}

const minHealthInterval = 100 * time.Millisecond

func (c Config) complete() (Config, error) {
	var missing []error
	for name, absent := range map[string]bool{
		"DataCenter": c.DataCenter == "",
		"Server":     c.Server == "",
		"Etcd":       c.Etcd == nil,
		"Trust":      len(c.Trust) == 0,
		"StorePath":  c.StorePath == "",
		"Applier":    c.Applier == nil,
	} {
		if absent {
			missing = append(missing, fmt.Errorf("edge: config: %s is required", name))
		}
	}
	if c.HealthInterval != 0 && c.HealthInterval < minHealthInterval {
		missing = append(missing, fmt.Errorf("edge: config: HealthInterval is below %v", minHealthInterval))
	}
	if c.StagingQuota < 0 {
		missing = append(missing, errors.New("edge: config: StagingQuota is negative"))
	}
	if len(missing) > 0 {
		return c, errors.Join(missing...)
	}
	if c.StagingQuota == 0 {
		c.StagingQuota = 16 << 20
	}
	for at, standard := range map[*time.Duration]time.Duration{
		&c.ApplyTimeout:      30 * time.Second,
		&c.ApplyGrace:        5 * time.Second,
		&c.HealthInterval:    time.Second,
		&c.HealthTimeout:     2 * time.Second,
		&c.ReportInterval:    5 * time.Second,
		&c.HeartbeatInterval: 10 * time.Second,
		&c.CrashWindow:       time.Minute,
		&c.AskTimeout:        2 * time.Second,
		&c.ScrubInterval:     10 * time.Minute,
		&c.RequestTimeout:    5 * time.Second,
		&c.BackoffMin:        100 * time.Millisecond,
		&c.BackoffMax:        10 * time.Second,
	} {
		if *at == 0 {
			*at = standard
		}
		if *at < 0 && at != &c.ScrubInterval {
			return c, errors.New("edge: config: a duration is negative")
		}
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Rand == nil {
		c.Rand = mathrand.Float64
	}
	if c.NewIncarnation == nil {
		c.NewIncarnation = rand.Text
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("data_center", c.DataCenter, "server", c.Server)
	return c, nil
}

// pause is how long to wait before the nth attempt in a row: twice as long every time, and
// a random part of that, so that many agents do not come back at once.
func (c Config) pause(attempt int) time.Duration {
	d := c.BackoffMin << min(attempt, 16)
	if d > c.BackoffMax || d <= 0 {
		d = c.BackoffMax
	}
	return d/2 + time.Duration(c.Rand()*float64(d)/2)
}
