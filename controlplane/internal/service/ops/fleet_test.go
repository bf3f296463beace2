package ops_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// serve writes what the two servers of a data center last said.
func (w *world) serve(dc string, connected, healthy bool) {
	w.t.Helper()
	w.put(w.control, ledger.FleetKey(dc), &storev1.FleetRecord{DataCenter: dc, Servers: []*storev1.FleetRecord_Server{
		{
			Server: "a", Connected: connected, Healthy: true, Releases: map[string]int64{"routine": 7},
			StateHashes: map[string][]byte{"routine": {0xab}}, Restarts: 2, AgentVersion: "1",
		},
		{Server: "b", Connected: connected, Healthy: healthy, Detail: "why", Releases: map[string]int64{"routine": 6}},
	}})
}

func TestDataCenters(t *testing.T) {
	w := newWorld(t)
	w.serve("SJC", true, true)
	w.serve("LHR", true, false)
	w.put(w.control, ledger.RolloutKey(wire.Routine), &storev1.RolloutRecord{
		Targets: map[string]*storev1.TargetState{"SJC": {Release: 8}},
	})
	list, err := w.fleet.ListDataCenters(w.as("ListDataCenters"), &opsv1.ListDataCentersRequest{PageSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	rest, err := w.fleet.ListDataCenters(w.as("ListDataCenters"), &opsv1.ListDataCentersRequest{PageSize: 2, PageToken: list.GetNextPageToken()})
	if err != nil {
		t.Fatal(err)
	}
	all := append(list.GetDataCenters(), rest.GetDataCenters()...)
	want := []struct {
		code     string
		state    opsv1.DataCenter_State
		eligible bool
		healthy  int32
	}{
		{"LHR", opsv1.DataCenter_DEGRADED, true, 1}, {"NRT", opsv1.DataCenter_LOST, false, 0}, {"SJC", opsv1.DataCenter_HEALTHY, true, 2},
	}
	if len(all) != len(want) {
		t.Fatalf("%d data centers, want %d", len(all), len(want))
	}
	for i, x := range want {
		if got := all[i]; got.GetCode() != x.code || got.GetState() != x.state || got.GetEligible() != x.eligible || got.GetHealthyServers() != x.healthy {
			t.Errorf("got %v, want %+v", got, x)
		}
	}
	sjc, err := w.fleet.GetDataCenter(w.as("GetDataCenter"), &opsv1.GetDataCenterRequest{Name: "dataCenters/sjc"})
	if err != nil {
		t.Fatal(err)
	}
	if sjc.GetTargets()["routine"] != 8 || sjc.GetReleases()["routine"] != 6 || sjc.GetCity() != "San Jose" {
		t.Errorf("got %v: the target is 8, and all servers serve 6 at least", sjc)
	}
	servers, err := w.fleet.ListServers(w.as("ListServers"), &opsv1.ListServersRequest{Parent: "dataCenters/LHR"})
	if err != nil {
		t.Fatal(err)
	}
	a, b := servers.GetServers()[0], servers.GetServers()[1]
	if a.GetName() != "dataCenters/LHR/servers/a" || a.GetState() != opsv1.Server_HEALTHY || a.GetStateHashes()["routine"] != "ab" || a.GetRestarts() != 2 {
		t.Errorf("got %v", a)
	}
	if b.GetState() != opsv1.Server_UNHEALTHY || b.GetDetail() != "why" {
		t.Errorf("got %v", b)
	}
	for _, name := range []string{"dataCenters/XXX", "SJC", ""} {
		_, err = w.fleet.GetDataCenter(w.as("GetDataCenter"), &opsv1.GetDataCenterRequest{Name: name})
		is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	}
}

func TestDrainPinRestore(t *testing.T) {
	w := newWorld(t)
	w.serve("SJC", true, true)
	const name = "dataCenters/SJC"
	got, err := w.fleet.DrainDataCenter(w.as("DrainDataCenter", validateOnly), &opsv1.DrainDataCenterRequest{Name: name})
	if err != nil || !got.GetDrained() || got.GetEligible() {
		t.Errorf("a dry run: %v, %v", got, err)
	}
	w.audited()
	before, err := w.fleet.GetDataCenter(w.as("GetDataCenter"), &opsv1.GetDataCenterRequest{Name: name})
	if err != nil || before.GetDrained() || !before.GetEligible() {
		t.Fatalf("after a dry run: %v, %v", before, err)
	}

	drained, err := w.fleet.DrainDataCenter(w.as("DrainDataCenter"), &opsv1.DrainDataCenterRequest{Name: name, Etag: before.GetEtag()})
	if err != nil || !drained.GetDrained() || drained.GetEligible() {
		t.Errorf("drained: %v, %v", drained, err)
	}
	_, err = w.fleet.PinDataCenter(w.as("PinDataCenter"), &opsv1.PinDataCenterRequest{Name: name, Etag: before.GetEtag()})
	is(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch)
	_, err = w.fleet.PinDataCenter(w.as("PinDataCenter", ifMatch(before.GetEtag())), &opsv1.PinDataCenterRequest{Name: name})
	is(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch)
	pinned, err := w.fleet.PinDataCenter(w.as("PinDataCenter", ifMatch(drained.GetEtag())), &opsv1.PinDataCenterRequest{Name: name})
	if err != nil || !pinned.GetDrained() || !pinned.GetPinned() {
		t.Errorf("pinned: %v, %v", pinned, err)
	}
	_, err = w.fleet.DrainDataCenter(w.as("DrainDataCenter"), &opsv1.DrainDataCenterRequest{Name: "dataCenters/XXX"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)

	// A repeat gets the first answer, although things moved on.
	restore := func(request string) (*opsv1.DataCenter, error) {
		return w.fleet.RestoreDataCenter(w.as("RestoreDataCenter", keyed("k", request)), &opsv1.RestoreDataCenterRequest{Name: name})
	}
	restored, err := restore("one")
	if err != nil || restored.GetDrained() || restored.GetPinned() || !restored.GetEligible() {
		t.Errorf("restored: %v, %v", restored, err)
	}
	if _, err := w.fleet.DrainDataCenter(w.as("DrainDataCenter"), &opsv1.DrainDataCenterRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	if again, err := restore("one"); err != nil || again.GetDrained() {
		t.Errorf("repeated: %v, %v", again, err)
	}
	now, err := w.fleet.GetDataCenter(w.as("GetDataCenter"), &opsv1.GetDataCenterRequest{Name: name})
	if err != nil || !now.GetDrained() {
		t.Errorf("the repeat changed something: %v, %v", now, err)
	}
	_, err = restore("another")
	is(t, err, codes.InvalidArgument, rpcerr.ReasonIdempotencyKeyReused)
	w.audited(
		"operator:ada DrainDataCenter dataCenters/SJC", "operator:ada PinDataCenter dataCenters/SJC",
		"operator:ada RestoreDataCenter dataCenters/SJC", "operator:ada DrainDataCenter dataCenters/SJC",
	)
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	ask := func() *breakwaterv1.NetworkStatus {
		t.Helper()
		if _, err := w.controlCache.Read(t.Context()); err != nil { // the cache is current
			t.Fatal(err)
		}
		s, err := w.status.GetStatus(t.Context(), &breakwaterv1.GetStatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.put(w.control, ledger.LeaderKey, &storev1.Command{})
	if s := ask(); s.GetState() != breakwaterv1.NetworkStatus_MAJOR_OUTAGE || s.GetSummary() != "0 of 3 data centers serve" {
		t.Errorf("got %v", s)
	}
	w.serve("SJC", true, true)
	w.serve("LHR", true, true)
	if s := ask(); s.GetState() != breakwaterv1.NetworkStatus_PARTIAL_OUTAGE || len(s.GetDataCenters()) != 3 || s.GetDataCenters()[1].GetServing() {
		t.Errorf("got %v", s)
	}
	w.serve("NRT", true, false)
	if s := ask(); s.GetState() != breakwaterv1.NetworkStatus_DEGRADED {
		t.Errorf("got %v", s)
	}
	w.serve("NRT", true, true)
	if s := ask(); s.GetState() != breakwaterv1.NetworkStatus_OPERATIONAL || w.clock.Since(s.GetObserveTime().AsTime()) > time.Minute {
		t.Errorf("got %v", s)
	}
	w.put(w.control, ledger.QuarantineKey("site-shop.test"), &storev1.QuarantineRecord{})
	if s := ask(); s.GetState() != breakwaterv1.NetworkStatus_DEGRADED || s.GetSummary() != "3 of 3 data centers serve; 1 document is held at its last good version" {
		t.Errorf("got %v", s)
	}
}
