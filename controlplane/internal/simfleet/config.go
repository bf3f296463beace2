package simfleet

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Etcd is what an agent needs of an etcd client; *clientv3.Client has it.
type Etcd = edge.Etcd

// Config says what fleet to simulate.
type Config struct {
	// DataCenters are where servers are. Required.
	DataCenters []fleetdata.DataCenter
	// Servers is how many a data center has; zero means 2.
	Servers int
	// Dir is where the agents' stores are, a directory a data center. Required.
	Dir string
	// DialEtcd returns a client for a server's agent, and a function that gives it back,
	// which may be nil where the client is shared. It is called once a server. Required.
	DialEtcd func(ctx context.Context, dataCenter, server string) (Etcd, func(), error)
	// DialReport returns the connection for a server's reports likewise. Required.
	DialReport func(ctx context.Context, dataCenter, server string) (grpc.ClientConnInterface, func(), error)
	// Trust is the set of keys that may sign releases. Required.
	Trust wire.Trust
	// Bugs are the data planes' bugs; nil means none.
	Bugs *Bugs
	// Version is what the agents report as theirs.
	Version string

	// RestartDelay is how long a supervisor waits before it starts a server again; zero
	// means 1 s.
	RestartDelay time.Duration
	// ApplyTimeout is the agents' watchdog; zero means 2 s.
	ApplyTimeout time.Duration
	// HealthInterval is the time between health checks; zero means 250 ms.
	HealthInterval time.Duration
	// StagingQuota bounds what each agent holds before a target; zero means 4 MiB.
	StagingQuota int64

	// Clock is the time for everything here; nil means the real one.
	Clock clockwork.Clock
	// Logger gets what happens; nil discards it.
	Logger *slog.Logger
}

func (c Config) complete() (Config, error) {
	switch {
	case len(c.DataCenters) == 0:
		return c, errors.New("simfleet: config: no data centers")
	case c.Dir == "":
		return c, errors.New("simfleet: config: no directory")
	case c.DialEtcd == nil || c.DialReport == nil:
		return c, errors.New("simfleet: config: a dial function is missing")
	case len(c.Trust) == 0:
		return c, errors.New("simfleet: config: no trusted key")
	}
	if c.Servers <= 0 {
		c.Servers = 2
	}
	if c.Bugs == nil {
		c.Bugs = NewBugs()
	}
	if c.RestartDelay <= 0 {
		c.RestartDelay = time.Second
	}
	if c.ApplyTimeout <= 0 {
		c.ApplyTimeout = 2 * time.Second
	}
	if c.HealthInterval <= 0 {
		c.HealthInterval = 250 * time.Millisecond
	}
	if c.StagingQuota <= 0 {
		c.StagingQuota = 4 << 20
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
