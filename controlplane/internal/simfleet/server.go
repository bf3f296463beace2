package simfleet

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
)

// applyGrace is how long a simulated data plane gets after its time is over.
const applyGrace = 500 * time.Millisecond

// server is one simulated server and its supervisor.
type server struct {
	fleet      *Fleet
	dataCenter string
	name       string
	etcd       Etcd
	report     grpc.ClientConnInterface

	// power serialises switching on and off.
	power   sync.Mutex
	off     context.CancelCauseFunc // nil while it is off
	stopped chan struct{}

	mu       sync.Mutex
	agent    *edge.Agent
	plane    *plane
	restarts int
	before   memory
}

// switchOn starts the supervisor, unless it runs or the fleet is closed.
func (s *server) switchOn(ctx context.Context) {
	s.power.Lock()
	defer s.power.Unlock()
	if s.off != nil || ctx.Err() != nil {
		return
	}
	ctx, s.off = context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	s.stopped = stopped
	boot := rand.Text() // a release is not to blame for what was cut short by a power cut
	go func() {
		defer close(stopped)
		s.supervise(ctx, boot)
	}()
}

// switchOff stops the supervisor and waits for it. The cause is that of the agent's end.
func (s *server) switchOff(cause error) {
	s.power.Lock()
	defer s.power.Unlock()
	if s.off == nil {
		return
	}
	s.off(cause)
	<-s.stopped
	s.off = nil
}

// supervise runs agents until ctx ends.
func (s *server) supervise(ctx context.Context, boot string) {
	for {
		err := s.run(ctx, boot)
		if ctx.Err() != nil {
			return
		}
		s.fleet.cfg.Logger.Warn("simulated server went down", "data_center", s.dataCenter, "server", s.name, "error", err)
		timer := s.fleet.cfg.Clock.NewTimer(s.fleet.cfg.RestartDelay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.Chan():
		}
		s.mu.Lock()
		s.restarts++
		s.mu.Unlock()
	}
}

// run is one life of the server.
func (s *server) run(ctx context.Context, boot string) error {
	cfg := s.fleet.cfg
	ctx, down := context.WithCancelCause(ctx)
	defer down(nil)
	s.mu.Lock()
	p := &plane{
		bugs: cfg.Bugs, decoder: s.fleet.decoder, clock: cfg.Clock,
		down: ctx, crash: func() { down(edge.ErrCrash) }, before: s.before,
	}
	s.mu.Unlock()
	agent, err := edge.New(edge.Config{
		DataCenter: s.dataCenter, Server: s.name, Etcd: s.etcd, Report: s.report, Trust: cfg.Trust,
		StorePath: filepath.Join(cfg.Dir, s.dataCenter, s.name+".db"), Applier: p,
		Boot: boot, Version: cfg.Version, NoSync: true, StagingQuota: cfg.StagingQuota,
		ApplyTimeout: cfg.ApplyTimeout, ApplyGrace: applyGrace, HealthInterval: cfg.HealthInterval,
		// Nothing is far away here, so nobody need be patient.
		BackoffMax: time.Second,
		Clock:      cfg.Clock, Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.agent, s.plane = agent, p
	s.mu.Unlock()
	err = agent.Run(ctx)
	cause := context.Cause(ctx)
	down(edge.ErrCrash) // lets go what hangs
	before := p.leave()
	s.mu.Lock()
	s.agent, s.plane, s.before = nil, nil, before
	s.mu.Unlock()
	return errors.Join(err, cause)
}
