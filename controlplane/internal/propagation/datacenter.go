package propagation

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// dataCenter is what all live servers of a data center serve.
type dataCenter struct {
	code     string
	releases map[wire.Channel]int64
	// live says that at least one server is connected.
	live bool
}

// dataCenters decodes the records of data centers that changed and keeps the others.
type dataCenters struct {
	reports  map[string]reportEntry
	controls map[string]controlEntry
}

type reportEntry struct {
	revision int64
	dc       dataCenter
}

type controlEntry struct {
	revision int64
	out      bool
}

// read returns the eligible data centers in order of their codes: those that are live, not
// drained and not pinned.
func (d *dataCenters) read(v View) []dataCenter {
	reports, controls := map[string]reportEntry{}, map[string]controlEntry{}
	v.Ascend(ledger.DataCentersPrefix, func(kv registry.KV) bool {
		e, ok := d.controls[kv.Key]
		if !ok || e.revision != kv.ModRevision {
			var ctl storev1.DataCenterControl
			if proto.Unmarshal(kv.Value, &ctl) == nil {
				e = controlEntry{kv.ModRevision, ctl.GetDrained() || ctl.GetPinned()}
			}
		}
		controls[kv.Key] = e
		return true
	})
	v.Ascend(ledger.FleetPrefix, func(kv registry.KV) bool {
		e, ok := d.reports[kv.Key]
		if !ok || e.revision != kv.ModRevision {
			var r storev1.FleetRecord
			if proto.Unmarshal(kv.Value, &r) == nil {
				e = reportEntry{kv.ModRevision, serves(&r)}
			}
		}
		reports[kv.Key] = e
		return true
	})
	d.reports, d.controls = reports, controls
	var out []dataCenter
	for _, key := range slices.Sorted(maps.Keys(reports)) {
		code := strings.TrimPrefix(key, ledger.FleetPrefix)
		if e := reports[key]; e.dc.live && !controls[ledger.DataCenterKey(code)].out {
			out = append(out, e.dc)
		}
	}
	return out
}

// serves is the oldest release of each channel that a connected server serves.
func serves(r *storev1.FleetRecord) dataCenter {
	dc := dataCenter{code: r.GetDataCenter(), releases: map[wire.Channel]int64{}}
	for _, s := range r.GetServers() {
		if !s.GetConnected() {
			continue
		}
		for _, c := range wire.Channels() {
			n := s.GetReleases()[string(c)]
			if before, ok := dc.releases[c]; !ok || n < before {
				dc.releases[c] = n
			}
		}
		dc.live = true
	}
	return dc
}
