package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/simfleet"
	"github.com/breakwater-cdn/breakwater/sdk/edge/connect"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// simulation is all built-in data centers with data planes that may have bugs. The agents in
// them are real, and connected as real ones are.
type simulation struct {
	bugs  *simfleet.Bugs
	signs *signs
}

// simulate starts the data centers and waits until all report.
func (w *world) simulate() *simulation {
	w.t.Helper()
	all, err := fleetdata.Load()
	if err != nil {
		w.t.Fatal(err)
	}
	pem, err := os.ReadFile(w.file("trust.pem"))
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := wire.ParsePublicKeys(pem)
	if err != nil {
		w.t.Fatal(err)
	}
	authority, err := pki.OpenAuthority(filepath.Dir(w.ca), time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &simulation{bugs: simfleet.NewBugs(), signs: &signs{}}
	fleet, err := simfleet.Start(w.t.Context(), simfleet.Config{
		DataCenters: all, Dir: w.file("simulated"), Trust: wire.NewTrust(keys...), Bugs: s.bugs,
		ApplyTimeout: 5 * time.Second, Logger: slog.New(listener{signs: s.signs}),
		DialEtcd: func(context.Context, string, string) (simfleet.Etcd, func(), error) {
			client, err := connect.OpenEtcd(connect.EtcdConfig{
				Endpoints: w.edgeEtcd.endpoints(), TLS: connect.Files{CA: w.ca}, Username: "edge", PasswordFile: w.file("edge.password"),
			})
			return client, func() { _ = client.Close() }, err
		},
		DialReport: func(_ context.Context, dc, server string) (grpc.ClientConnInterface, func(), error) {
			cert, err := authority.IssueClient(authn.EdgeURI(dc, server))
			if err != nil {
				return nil, nil, err
			}
			if err := pki.WriteCertificate(w.dir, server, cert); err != nil {
				return nil, nil, err
			}
			conn, err := connect.OpenReports(connect.ReportsConfig{
				Addresses: []string{w.replicas[0].report, w.replicas[1].report},
				TLS:       connect.Files{CA: w.ca, Cert: w.file(server + ".pem"), Key: w.file(server + ".key")},
			})
			return conn, func() { _ = conn.Close() }, err
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(fleet.Close)
	eventually(w.t, "every server reports", func(ctx context.Context) error {
		return w.settled(ctx, w.replicas[0], nil)
	})
	return s
}

// settled says why not every data center is healthy and acknowledged to serve what it must
// in the routine channel, none of it abandoned, as a replica tells.
func (w *world) settled(ctx context.Context, r *replica, abandoned map[int64]bool) error {
	got, err := r.as(w.operator).get(ctx, "/v1/dataCenters?pageSize=1000")
	if err != nil {
		return err
	}
	list := got.Objects("dataCenters")
	for _, dc := range list {
		serves, told := dc.Int("releases.routine"), dc.Int("targets.routine")
		if n := dc.Int("servers"); n != 2 || dc.Int("healthyServers") != n {
			return fmt.Errorf("%s: %v", dc.Text("code"), dc)
		}
		if serves != told || abandoned[serves] {
			return fmt.Errorf("%s serves %d, and must %d", dc.Text("code"), serves, told)
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("no data centers")
	}
	return nil
}

// signs gathers the signs of harm that simulated servers log.
type signs struct {
	mu    sync.Mutex
	first chan time.Time
	hurt  map[string]bool
}

// expect begins anew, and returns where the time of the first sign is told.
func (s *signs) expect() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.hurt = make(chan time.Time, 1), map[string]bool{}
	return s.first
}

// exposed is how many data centers were hurt since.
func (s *signs) exposed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hurt)
}

func (s *signs) note(at time.Time, dataCenter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hurt == nil {
		return
	}
	s.hurt[dataCenter] = true
	select {
	case s.first <- at:
	default:
	}
}

// listener is a slog.Handler.
type listener struct {
	signs *signs
	attrs []slog.Attr
}

func (listener) Enabled(context.Context, slog.Level) bool { return true }

func (l listener) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case "simulated server went down", "edge: a release crashed this server", "edge: a release is refused":
		dataCenter := ""
		look := func(a slog.Attr) bool {
			if a.Key == "data_center" {
				dataCenter = a.Value.String()
			}
			return true
		}
		for _, a := range l.attrs {
			look(a)
		}
		r.Attrs(look)
		l.signs.note(r.Time, dataCenter)
	}
	return nil
}

func (l listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	l.attrs = append(slices.Clone(l.attrs), attrs...)
	return l
}

func (l listener) WithGroup(string) slog.Handler { return l }
