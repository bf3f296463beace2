package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/gateway"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
)

// Server is a running control plane.
type Server struct {
	cfg   *Config
	rooms *rooms
	ready *lifecycle.Ready
	// stack closes what was opened. caches run below everything else; loops, the listeners
	// and the engine, are what ends first.
	stack         lifecycle.Stack
	caches, loops *lifecycle.Group
	// draining ends first of all, and with it all streams.
	draining context.Context //nolint:containedctx // it is the time in which streams may run
	drain    context.CancelFunc

	http, grpc, report, admin net.Listener
	engine                    *engine
	housekeeping              *housekeeping
	paying                    *paying
	// development is set in a development server only.
	development *development
}

// Start starts a control plane and returns when it takes requests. The context bounds the
// start only; Close ends the server. On failure nothing keeps running.
func Start(ctx context.Context, cfg *Config) (_ *Server, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	s.draining, s.drain = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	return s, s.start(ctx)
}

func (s *Server) start(ctx context.Context) error {
	observe, err := openTelemetry(ctx, s.cfg)
	if err != nil {
		return err
	}
	s.stack.Push("telemetry", observe.Close)
	if s.rooms, err = openRooms(ctx, s.cfg, observe.log); err != nil {
		return err
	}
	s.stack.PushClose("stores", s.rooms.Close)
	if err := s.listen(ctx); err != nil {
		return err
	}

	// The loops outlive the start; Close ends them before what they stand on.
	running := context.WithoutCancel(ctx)
	s.caches = lifecycle.NewGroup(running)
	s.stack.PushClose("caches", s.caches.Close)
	s.caches.Go("registry cache", s.rooms.state.Run)
	s.caches.Go("control cache", s.rooms.control.Run)
	if err := s.rooms.awaitCaches(ctx); err != nil {
		return err
	}
	if err := seed(ctx, s.rooms.writer); err != nil {
		return fmt.Errorf("platform records: %w", err)
	}
	services, err := newServices(ctx, s.rooms)
	if err != nil {
		return err
	}
	s.paying = services.paying
	if s.engine, err = newEngine(ctx, s.rooms, services); err != nil {
		return err
	}
	if s.housekeeping, err = newHousekeeping(ctx, s.rooms, services); err != nil {
		return err
	}
	if s.cfg.Dev {
		// Handlers of the development server reach the fleet and the engine through these.
		fleet, err := s.startDevelopment(running, services)
		if err != nil {
			return err
		}
		s.development = fleet
		s.stack.PushClose("simulated fleet", fleet.Close)
	}
	api, err := newAPI(ctx, s.rooms, services, observe)
	if err != nil {
		return err
	}
	reports, err := newReportServer(ctx, s.rooms, services)
	if err != nil {
		return err
	}
	observe.metrics.Registry().MustRegister(s.engine.publisher, s.engine.pruner)
	s.paying.metrics.Register(observe.metrics.Registry())
	s.ready = s.readiness(services)
	web, err := newWeb(s.draining, s.rooms, api, s.ready, observe, s.paying.webhook)
	if err != nil {
		return err
	}
	s.stack.PushClose("in-process connection", web.close)
	s.loops = lifecycle.NewGroup(running)
	s.stack.PushClose("listeners and engine", s.loops.Close)
	grace, clk := shutdownGrace, s.rooms.machine
	s.loops.Go("report listener", func(ctx context.Context) error {
		return lifecycle.ServeGRPC(ctx, reports, s.report, grace, clk)
	})
	s.loops.Go("in-process listener", func(ctx context.Context) error {
		return lifecycle.ServeGRPC(ctx, api.server, api.inProcess, grace, clk)
	})
	s.loops.Go("grpc listener", func(ctx context.Context) error {
		return lifecycle.ServeGRPC(ctx, api.server, s.grpc, grace, clk)
	})
	s.loops.Go("http listener", func(ctx context.Context) error {
		return lifecycle.ServeHTTP(ctx, gateway.NewServer(running, web.handler, s.rooms.log), s.http, grace, clk)
	})
	if s.admin != nil {
		s.loops.Go("admin listener", func(ctx context.Context) error {
			return lifecycle.ServeHTTP(ctx, plainHTTP2(gateway.NewServer(running, web.admin, s.rooms.log)), s.admin, grace, clk)
		})
	}
	s.loops.Go("engine", s.engine.run)
	s.loops.Go("housekeeping", s.housekeeping.run)
	s.loops.Go("status file", s.rooms.statusFile(services).Run)
	return nil
}

func (s *Server) listen(ctx context.Context) error {
	var lc net.ListenConfig
	for _, l := range []struct {
		setting, addr string
		to            *net.Listener
	}{
		{"http", s.cfg.HTTP, &s.http},
		{"grpc", s.cfg.GRPC, &s.grpc},
		{"report", s.cfg.Report, &s.report},
		{"admin", s.cfg.Admin, &s.admin},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := lc.Listen(ctx, "tcp", l.addr)
		if err != nil {
			return fmt.Errorf("%s: %w", l.setting, err)
		}
		*l.to = ln
		s.stack.PushClose(l.setting+" listener", func() error {
			if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	var err error
	s.http, err = s.cfg.secureHTTP(s.http)
	return err
}

// HTTPAddr is where the REST API listens.
func (s *Server) HTTPAddr() string { return s.http.Addr().String() }

// GRPCAddr is where the gRPC API listens.
func (s *Server) GRPCAddr() string { return s.grpc.Addr().String() }

// Done is closed when the server stops, also by itself because a part of it failed.
func (s *Server) Done() <-chan struct{} { return s.loops.Done() }

// Close stops the server: it is not ready any more, open calls may finish for a while, the
// leadership is given up, and everything that was opened is closed, last first. It is safe
// to call more than once.
func (s *Server) Close(ctx context.Context) error {
	if s.ready != nil {
		s.ready.Stopping()
	}
	s.drain()
	return s.stack.Close(ctx)
}

// Run starts a server, says on out where it listens and what to try, and stops it when ctx
// ends. It fails when the start does, when a part of the server fails, or when the stop
// does.
func Run(ctx context.Context, cfg *Config, out io.Writer) error {
	s, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	if err := s.greet(out); err != nil {
		return errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*shutdownGrace)
	defer cancel()
	return s.Close(stop)
}
