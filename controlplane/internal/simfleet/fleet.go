package simfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/breakwater-cdn/breakwater/sdk/edge"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// ErrUnknown says that there is no such data center or server.
var ErrUnknown = errors.New("simfleet: no such data center or server")

// Fleet is a running set of simulated data centers.
type Fleet struct {
	cfg     Config
	decoder *decoder
	life    context.Context //nolint:containedctx // the life of the fleet, for servers that are revived
	end     context.CancelFunc
	servers []*server
	release []func()
	close   sync.Once
}

// Start switches all servers on and returns; they load their stores meanwhile. The fleet
// runs until [Fleet.Close]; ctx bounds only the start.
func Start(ctx context.Context, cfg Config) (*Fleet, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, decoder: newDecoder()}
	f.life, f.end = context.WithCancel(context.WithoutCancel(ctx))
	for _, dc := range cfg.DataCenters {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, dc.Code), 0o700); err != nil {
			f.Close()
			return nil, fmt.Errorf("simfleet: %w", err)
		}
		for i := range cfg.Servers {
			s := &server{fleet: f, dataCenter: dc.Code, name: fmt.Sprintf("%s-%d", strings.ToLower(dc.Code), i+1)}
			if err := f.dial(ctx, s); err != nil {
				f.Close()
				return nil, err
			}
			f.servers = append(f.servers, s)
		}
	}
	for _, s := range f.servers {
		s.switchOn(f.life) //nolint:contextcheck // ctx bounds only the start
	}
	return f, nil
}

func (f *Fleet) dial(ctx context.Context, s *server) error {
	var (
		release func()
		err     error
	)
	if s.etcd, release, err = f.cfg.DialEtcd(ctx, s.dataCenter, s.name); err != nil {
		return fmt.Errorf("simfleet: etcd for %s: %w", s.name, err)
	}
	f.give(release)
	if s.report, release, err = f.cfg.DialReport(ctx, s.dataCenter, s.name); err != nil {
		return fmt.Errorf("simfleet: reports of %s: %w", s.name, err)
	}
	f.give(release)
	return nil
}

func (f *Fleet) give(release func()) {
	if release != nil {
		f.release = append(f.release, release)
	}
}

// Close stops all servers in order, waits for them, and gives their connections back. It
// may be called more than once.
func (f *Fleet) Close() {
	f.close.Do(func() {
		f.end()
		f.each(f.servers, func(s *server) { s.switchOff(nil) })
		for _, release := range slices.Backward(f.release) {
			release()
		}
	})
}

func (f *Fleet) each(servers []*server, do func(*server)) {
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() { do(s) })
	}
	wg.Wait()
}

func (f *Fleet) in(dataCenter string) ([]*server, error) {
	var found []*server
	for _, s := range f.servers {
		if s.dataCenter == dataCenter {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, dataCenter)
	}
	return found, nil
}

// Kill takes the power from a data center's servers and waits until they are down. The
// error is [ErrUnknown]; killing what is dead is nothing.
func (f *Fleet) Kill(dataCenter string) error {
	servers, err := f.in(dataCenter)
	if err != nil {
		return err
	}
	f.each(servers, func(s *server) { s.switchOff(edge.ErrCrash) })
	return nil
}

// Revive gives a data center its power back. The error is [ErrUnknown]; reviving what
// lives is nothing.
func (f *Fleet) Revive(dataCenter string) error {
	servers, err := f.in(dataCenter)
	if err != nil {
		return err
	}
	for _, s := range servers {
		s.switchOn(f.life)
	}
	return nil
}

// Server is where a simulated server is.
type Server struct {
	DataCenter string
	Name       string
	// Up says whether its agent runs.
	Up bool
	// Restarts is how often its supervisor started it again.
	Restarts int
	// Status is the agent's; zero while it is down.
	Status edge.Status
}

// Servers returns all servers in order of data centers and names.
func (f *Fleet) Servers() []Server {
	all := make([]Server, len(f.servers))
	for i, s := range f.servers {
		s.mu.Lock()
		all[i] = Server{DataCenter: s.dataCenter, Name: s.name, Up: s.agent != nil, Restarts: s.restarts}
		agent := s.agent
		s.mu.Unlock()
		if agent != nil {
			all[i].Status = agent.Status()
		}
	}
	return all
}

// Serving returns what a server serves under a name; false when it serves none, is down,
// or is not known.
func (f *Fleet) Serving(dataCenter, name string, id wire.DocumentID) (Document, bool) {
	for _, s := range f.servers {
		if s.dataCenter != dataCenter || s.name != name {
			continue
		}
		s.mu.Lock()
		p := s.plane
		s.mu.Unlock()
		if p == nil {
			return Document{}, false
		}
		return p.serving(id)
	}
	return Document{}, false
}
