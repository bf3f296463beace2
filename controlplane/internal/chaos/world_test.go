package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dataCenters are those of the test; the first waves of the channels differ.
var dataCenters = []string{"AMS", "NRT", "SJC"}

// world is a whole installation.
type world struct {
	t        *testing.T
	dir, ca  string
	net      *network
	etcd     *cluster
	edgeEtcd *cluster // the same, unless data centers have their own
	replicas []*replica
	edges    []*edgeServer
	dns      *resolver
	operator string
}

type options struct {
	// separateEdge gives data centers a cluster of their own.
	separateEdge bool
	// simulated has the built-in data centers, whose servers the test simulates in place of
	// real ones; see [world.simulate].
	simulated bool
}

// newWorld starts an installation and waits until it is ready.
func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := prepare(t, o)
	edge := w.etcd
	if o.separateEdge {
		edge = startCluster(t, w.net, w.dir, w.ca, "edge-etcd", 1)
		edge.secure()
	}
	w.edgeEtcd = edge
	for i := range 2 {
		w.addReplica(fmt.Sprintf("replica-%d", i+1), edge)
	}
	// The first replica makes the keys that all share.
	w.replicas[0].start()
	w.replicas[0].awaitReady()
	w.replicas[1].start()
	if !o.simulated {
		for _, dc := range dataCenters {
			w.addEdge(dc, edge).start()
		}
	}
	w.replicas[1].awaitReady()
	b, err := os.ReadFile(filepath.Join(w.dir, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.operator = strings.TrimSpace(string(b))
	if !o.simulated {
		w.awaitFleet()
	}
	return w
}

// prepare makes certificates and keys, and starts the registry's etcd and a resolver.
func prepare(t *testing.T, o options) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), net: newNetwork(t)}
	ca := filepath.Join(w.dir, "ca")
	w.ca = filepath.Join(ca, "ca.pem")
	must(t, w.dir, "breakwaterd", "server-cert", "--ca-dir", ca, "--host", "127.0.0.1,localhost", "--name", "listener", "--out", w.dir)
	must(t, w.dir, "breakwaterd", "public-key", "--signing-key-file", filepath.Join(w.dir, "manifest.key"), "--out", filepath.Join(w.dir, "trust.pem"))
	if !o.simulated {
		w.realServers()
	}
	w.dns = startResolver(t)
	w.etcd = startCluster(t, w.net, w.dir, w.ca, "etcd", 3)
	w.etcd.secure()
	return w
}

// realServers makes certificates of one server in each data center, and the list of them.
func (w *world) realServers() {
	w.t.Helper()
	var fleet []map[string]any
	for _, dc := range dataCenters {
		must(w.t, w.dir, "breakwaterd", "edge-cert", "--ca-dir", filepath.Dir(w.ca), "--dc", dc, "--server", strings.ToLower(dc)+"-1", "--out", w.dir)
		fleet = append(fleet, map[string]any{"code": dc, "city": dc, "country": "NL", "latitude": 1, "longitude": 1})
	}
	text, err := json.Marshal(fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.file("fleet.json"), text, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// awaitFleet waits until every data center reports to the leader.
func (w *world) awaitFleet() {
	w.t.Helper()
	eventually(w.t, "every server reports", func(ctx context.Context) error {
		for _, dc := range dataCenters {
			servers, err := w.replicas[0].as(w.operator).get(ctx, "/v1/dataCenters/"+dc+"/servers")
			if err != nil {
				return err
			}
			list := servers.Objects("servers")
			if len(list) != 1 || list[0].Text("state") != "HEALTHY" {
				return fmt.Errorf("%s: %v", dc, servers)
			}
		}
		return nil
	})
}

// leader is the replica that leads, and the other one.
func (w *world) leader() (leads, other *replica) {
	w.t.Helper()
	eventually(w.t, "a replica leads", func(ctx context.Context) error {
		var err error
		leads, err = w.leads(ctx)
		return err
	})
	if leads == w.replicas[0] {
		return leads, w.replicas[1]
	}
	return leads, w.replicas[0]
}

// leads is the replica whose key is there.
func (w *world) leads(ctx context.Context) (*replica, error) {
	resp, err := w.edgeEtcd.root.Get(ctx, leaderKey)
	if err != nil {
		return nil, err
	}
	if len(resp.Kvs) == 0 {
		return nil, errors.New("nobody leads")
	}
	for _, r := range w.replicas {
		if r.holds(resp.Kvs[0].GetValue()) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("the leader is not known: %s", resp.Kvs[0].GetValue())
}

// took says how long something took.
func took(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
}
