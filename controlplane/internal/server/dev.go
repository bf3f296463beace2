package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry/etcd"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/simfleet"
)

// development is the simulated fleet of a development server, and the controls to hurt it.
type development struct {
	fleet *simfleet.Fleet
	bugs  *simfleet.Bugs
	// dataCenters are all there are.
	dataCenters []fleetdata.DataCenter
}

// applyTimeout is how long a simulated data plane may take to apply a release.
const applyTimeout = 5 * time.Second

// startDevelopment starts the simulated fleet and makes the DevService.
func (s *Server) startDevelopment(ctx context.Context, svc *services) (*development, error) {
	d := &development{bugs: simfleet.NewBugs(), dataCenters: svc.dataCenters}
	var err error
	d.fleet, err = simfleet.Start(ctx, simfleet.Config{
		DataCenters: svc.dataCenters,
		Dir:         s.cfg.path("edges"),
		DialEtcd:    s.dialEdgeEtcd,
		DialReport:  s.dialReport,
		Trust:       svc.trust,
		Bugs:        d.bugs,
		Version:     Version(),
		// A busy machine is not to look like a data plane that hangs.
		ApplyTimeout: applyTimeout,
		Clock:        s.rooms.machine,
		Logger:       s.rooms.log,
	})
	if err != nil {
		return nil, fmt.Errorf("simulated fleet: %w", err)
	}
	svc.dev = ops.NewDev(ops.DevConfig{
		Simulator: d, Clock: s.rooms.dev, RunDue: s.runDue, Writer: s.rooms.controlWriter, Logger: s.rooms.log,
		Cards: s.cards(),
		Logins: service.NewDevLogins(service.DevLoginsConfig{
			Store: s.rooms.registry, Source: s.rooms.source, Clock: s.rooms.day, Random: rand.Reader,
		}),
	})
	return d, nil
}

// cards are the test cards, where payments are kept here.
func (s *Server) cards() ops.Cards {
	if s.paying.ledger == nil {
		return nil
	}
	return testCards{s}
}

// runDue does all work that is due by the time of day.
func (s *Server) runDue(ctx context.Context) error {
	if err := s.housekeeping.runDue(ctx); err != nil {
		return err
	}
	s.engine.driver.Notify()
	return nil
}

// Close stops the simulated fleet.
func (d *development) Close() error {
	d.fleet.Close()
	return nil
}

// dialEdgeEtcd connects one simulated server to etcd, over a connection of its own, as a
// real one would.
func (s *Server) dialEdgeEtcd(ctx context.Context, _, _ string) (simfleet.Etcd, func(), error) {
	client, err := etcd.Dial(ctx, etcd.ClientConfig{Endpoints: s.rooms.edgeEndpoints, Logger: s.rooms.log})
	if err != nil {
		return nil, nil, err
	}
	return client, func() { _ = client.Close() }, nil
}

// dialReport connects one simulated server to the report listener, with a certificate that
// names it.
func (s *Server) dialReport(_ context.Context, dataCenter, server string) (grpc.ClientConnInterface, func(), error) {
	tls, err := s.rooms.keys.edgeClientTLS(dataCenter, server)
	if err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient(s.report.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(tls)))
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = conn.Close() }, nil
}

// effects says which effect of the simulation an effect of the API is.
var effects = map[opsv1.Bug_Effect]simfleet.Effect{
	opsv1.Bug_REJECT:      simfleet.Reject,
	opsv1.Bug_CRASH:       simfleet.Crash,
	opsv1.Bug_HANG:        simfleet.Hang,
	opsv1.Bug_UNHEALTHY:   simfleet.Unhealthy,
	opsv1.Bug_CRASH_LATER: simfleet.CrashLater,
}

// AddBug implements ops.Simulator.
func (d *development) AddBug(bug *opsv1.Bug) error {
	err := d.bugs.Set(simfleet.Bug{
		ID: bug.GetBugId(), Match: bug.GetMatch(), Effect: effects[bug.GetEffect()], After: bug.GetAfter().AsDuration(),
	})
	if errors.Is(err, simfleet.ErrTooManyBugs) {
		return rpcerr.Failed(codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded, "there are at most %d bugs", simfleet.MaxBugs)
	}
	return err
}

// Bugs implements ops.Simulator.
func (d *development) Bugs() []*opsv1.Bug {
	var out []*opsv1.Bug
	for _, b := range d.bugs.List() {
		effect := opsv1.Bug_Effect(opsv1.Bug_Effect_value[b.Effect.String()])
		out = append(out, &opsv1.Bug{BugId: b.ID, Match: b.Match, Effect: effect, After: durationpb.New(b.After)})
	}
	return out
}

// RemoveBug implements ops.Simulator.
func (d *development) RemoveBug(id string) bool { return d.bugs.Delete(id) }

// HasDataCenter implements ops.Simulator.
func (d *development) HasDataCenter(dataCenter string) bool {
	return slices.ContainsFunc(d.dataCenters, func(dc fleetdata.DataCenter) bool {
		return strings.EqualFold(dc.Code, dataCenter)
	})
}

// Kill implements ops.Simulator.
func (d *development) Kill(dataCenter string) bool {
	return d.fleet.Kill(strings.ToUpper(dataCenter)) == nil
}

// Revive implements ops.Simulator.
func (d *development) Revive(dataCenter string) bool {
	return d.fleet.Revive(strings.ToUpper(dataCenter)) == nil
}
