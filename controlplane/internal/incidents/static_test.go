package incidents_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/simfleet"
	"github.com/breakwater-cdn/breakwater/sdk/edge/edgetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Without a control plane and a store for three days, on the clock of the agents, no server
// changes what it serves and none stops.
func TestStaticStability(t *testing.T) {
	all, err := fleetdata.Load()
	if err != nil {
		t.Fatal(err)
	}
	clock := clockwork.NewFakeClock()
	store := edgetest.StartEtcd(t)
	publisher := edgetest.NewPublisher(t, store.Client())
	reports := edgetest.StartReports(t, time.Second)
	fleet, err := simfleet.Start(t.Context(), simfleet.Config{
		DataCenters: all[:3], Dir: t.TempDir(), Trust: publisher.Trust(), Clock: clock,
		ApplyTimeout: time.Minute,
		DialEtcd:     func(context.Context, string, string) (simfleet.Etcd, func(), error) { return store.Client(), nil, nil },
		DialReport: func(context.Context, string, string) (grpc.ClientConnInterface, func(), error) {
			return reports.Conn(), nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fleet.Close)

	body, err := proto.Marshal(&edgev1.SiteDocument{Domain: "shop.test", BrowserTtlSeconds: 72})
	if err != nil {
		t.Fatal(err)
	}
	id := wire.DocumentID{Kind: wire.KindSite, ID: "shop.test"}
	n := publisher.Release(wire.Routine, edgetest.Documents{id: body})
	for _, dc := range all[:3] {
		publisher.Target(dc.Code, wire.Routine, n, time.Second)
	}
	// pass lets virtual time pass in steps, and looks after each.
	pass := func(step time.Duration, look func() bool) {
		for !look() {
			clock.Advance(step)
			runtime.Gosched()
		}
	}
	served := func() bool {
		for _, s := range fleet.Servers() {
			if doc, ok := fleet.Serving(s.DataCenter, s.Name, id); !ok || doc.Sum != wire.SumOf(body) {
				return false
			}
		}
		return true
	}
	// At the pace of the real clock: the agents' time-outs are of work that is really done.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	give := time.Now().Add(30 * time.Second)
	pass(5*time.Millisecond, func() bool {
		<-tick.C
		if time.Now().After(give) {
			t.Fatal("the release was not served everywhere")
		}
		return served()
	})

	store.Stop()
	if err := reports.Conn().Close(); err != nil {
		t.Fatal(err)
	}
	began := clock.Now()
	pass(time.Minute, func() bool {
		for _, s := range fleet.Servers() {
			if !s.Up || s.Restarts != 0 {
				t.Fatalf("%s after %v: %+v", s.Name, clock.Since(began), s)
			}
		}
		if !served() {
			t.Fatalf("what is served changed after %v", clock.Since(began))
		}
		return clock.Since(began) >= 72*time.Hour
	})
}
