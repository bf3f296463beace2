package ops

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Location is where a data center is.
type Location struct {
	Code, City, Country string
	Latitude, Longitude float64
}

// Fleet is the FleetService.
type Fleet struct {
	opsv1.UnimplementedFleetServiceServer
	control   *Control
	locations []Location // in order of their codes
}

// NewFleet returns the service for the given data centers.
func NewFleet(control *Control, locations []Location) *Fleet {
	return &Fleet{control: control, locations: byCode(locations)}
}

func byCode(locations []Location) []Location {
	sorted := slices.Clone(locations)
	slices.SortFunc(sorted, func(a, b Location) int { return strings.Compare(a.Code, b.Code) })
	return sorted
}

// locate finds a data center in a list that is in order of the codes.
func locate(sorted []Location, code string) (Location, bool) {
	at, found := slices.BinarySearchFunc(sorted, code, func(l Location, c string) int {
		return strings.Compare(l.Code, c)
	})
	if !found {
		return Location{}, false
	}
	return sorted[at], true
}

// ListDataCenters lists the data centers in order of their codes.
func (f *Fleet) ListDataCenters(ctx context.Context, req *opsv1.ListDataCentersRequest) (*opsv1.ListDataCentersResponse, error) {
	q, err := listing.Parse(req, &opsv1.DataCenter{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	v, err := f.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := targetsIn(v)
	if err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *opsv1.DataCenter) bool) error {
		for _, loc := range f.locations {
			if loc.Code <= after {
				continue
			}
			dc, err := dataCenter(v, loc, targets)
			if err != nil {
				return err
			}
			if !yield(loc.Code, dc) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &opsv1.ListDataCentersResponse{DataCenters: items, NextPageToken: next}, nil
}

// GetDataCenter returns one data center.
func (f *Fleet) GetDataCenter(ctx context.Context, req *opsv1.GetDataCenterRequest) (*opsv1.DataCenter, error) {
	loc, err := f.location(req.GetName())
	if err != nil {
		return nil, err
	}
	v, err := f.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := targetsIn(v)
	if err != nil {
		return nil, err
	}
	return dataCenter(v, loc, targets)
}

// DrainDataCenter takes a data center out of rollouts.
func (f *Fleet) DrainDataCenter(ctx context.Context, req *opsv1.DrainDataCenterRequest) (*opsv1.DataCenter, error) {
	return f.set(ctx, req.GetName(), req.GetEtag(), func(c *storev1.DataCenterControl) { c.Drained = true })
}

// PinDataCenter keeps a data center where it is.
func (f *Fleet) PinDataCenter(ctx context.Context, req *opsv1.PinDataCenterRequest) (*opsv1.DataCenter, error) {
	return f.set(ctx, req.GetName(), req.GetEtag(), func(c *storev1.DataCenterControl) { c.Pinned = true })
}

// RestoreDataCenter ends a drain or a pin.
func (f *Fleet) RestoreDataCenter(ctx context.Context, req *opsv1.RestoreDataCenterRequest) (*opsv1.DataCenter, error) {
	return f.set(ctx, req.GetName(), req.GetEtag(), func(c *storev1.DataCenterControl) { c.Drained, c.Pinned = false, false })
}

func (f *Fleet) set(ctx context.Context, name, etag string, wish func(*storev1.DataCenterControl)) (*opsv1.DataCenter, error) {
	loc, err := f.location(name)
	if err != nil {
		return nil, err
	}
	etag = call.From(ctx).Etag(etag)
	return do(ctx, f.control.Writer, f.control.Logger, "dataCenters/"+loc.Code, func(tx *change.Tx) (*opsv1.DataCenter, error) {
		key := ledger.DataCenterKey(loc.Code)
		var ctl storev1.DataCenterControl
		if err := getOptional(tx, key, &ctl); err != nil {
			return nil, err
		}
		if etag != "" && etag != resource.Etag(&ctl) {
			return nil, rpcerr.EtagMismatch(name)
		}
		wish(&ctl)
		if err := tx.Put(key, &ctl); err != nil {
			return nil, err
		}
		v, err := f.control.Read(ctx)
		if err != nil {
			return nil, err
		}
		targets, err := targetsIn(v)
		if err != nil {
			return nil, err
		}
		return describe(v, loc, &ctl, targets)
	})
}

// ListServers lists the servers of a data center, as they last reported.
func (f *Fleet) ListServers(ctx context.Context, req *opsv1.ListServersRequest) (*opsv1.ListServersResponse, error) {
	loc, err := f.location(req.GetParent())
	if err != nil {
		return nil, err
	}
	q, err := listing.Parse(req, &opsv1.Server{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	v, err := f.control.Read(ctx)
	if err != nil {
		return nil, err
	}
	var rec storev1.FleetRecord
	if _, err := load(v, ledger.FleetKey(loc.Code), &rec); err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *opsv1.Server) bool) error {
		for _, s := range rec.GetServers() {
			if s.GetServer() > after && !yield(s.GetServer(), server(loc.Code, s)) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &opsv1.ListServersResponse{Servers: items, NextPageToken: next}, nil
}

func (f *Fleet) location(name string) (Location, error) {
	code, ok := strings.CutPrefix(name, "dataCenters/")
	loc, found := locate(f.locations, strings.ToUpper(code))
	if !ok || !found {
		return Location{}, rpcerr.NotFound(name)
	}
	return loc, nil
}

// targets is where every data center is told to be, by channel and code.
type targets map[wire.Channel]map[string]*storev1.TargetState

func targetsIn(v View) (targets, error) {
	out := targets{}
	for _, c := range wire.Channels() {
		var r storev1.RolloutRecord
		if _, err := load(v, ledger.RolloutKey(c), &r); err != nil {
			return nil, err
		}
		out[c] = r.GetTargets()
	}
	return out, nil
}

// dataCenter describes a data center; told may be nil where nobody asks for it.
func dataCenter(v View, loc Location, told targets) (*opsv1.DataCenter, error) {
	var ctl storev1.DataCenterControl
	if _, err := load(v, ledger.DataCenterKey(loc.Code), &ctl); err != nil {
		return nil, err
	}
	return describe(v, loc, &ctl, told)
}

func describe(v View, loc Location, ctl *storev1.DataCenterControl, told targets) (*opsv1.DataCenter, error) {
	dc := &opsv1.DataCenter{
		Name: "dataCenters/" + loc.Code, Code: loc.Code, City: loc.City, Country: loc.Country,
		Latitude: loc.Latitude, Longitude: loc.Longitude,
		Drained: ctl.GetDrained(), Pinned: ctl.GetPinned(),
		Targets: map[string]int64{}, Releases: map[string]int64{},
		Etag: resource.Etag(ctl),
	}
	for c, byCode := range told {
		if t, ok := byCode[loc.Code]; ok {
			dc.Targets[string(c)] = t.GetRelease()
		}
	}
	var rec storev1.FleetRecord
	if _, err := load(v, ledger.FleetKey(loc.Code), &rec); err != nil {
		return nil, err
	}
	live := 0
	for _, s := range rec.GetServers() {
		dc.Servers++
		if !s.GetConnected() {
			continue
		}
		live++
		if s.GetHealthy() {
			dc.HealthyServers++
		}
		for c, n := range s.GetReleases() {
			if before, ok := dc.GetReleases()[c]; !ok || n < before {
				dc.Releases[c] = n
			}
		}
	}
	switch {
	case live == 0:
		dc.State = opsv1.DataCenter_LOST
	case dc.GetHealthyServers() < dc.GetServers():
		dc.State = opsv1.DataCenter_DEGRADED
	default:
		dc.State = opsv1.DataCenter_HEALTHY
	}
	dc.Eligible = live > 0 && !ctl.GetDrained() && !ctl.GetPinned()
	return dc, nil
}

func server(dc string, s *storev1.FleetRecord_Server) *opsv1.Server {
	out := &opsv1.Server{
		Name:     fmt.Sprintf("dataCenters/%s/servers/%s", dc, s.GetServer()),
		State:    opsv1.Server_HEALTHY,
		Detail:   s.GetDetail(),
		Releases: s.GetReleases(), StateHashes: map[string]string{},
		Restarts: s.GetRestarts(), LastSeenTime: s.GetLastSeenTime(), AgentVersion: s.GetAgentVersion(),
	}
	switch {
	case !s.GetConnected():
		out.State = opsv1.Server_LOST
	case !s.GetHealthy():
		out.State = opsv1.Server_UNHEALTHY
	}
	for c, h := range s.GetStateHashes() {
		out.StateHashes[c] = hex.EncodeToString(h)
	}
	return out
}

// getOptional reads a record that may be absent.
func getOptional(tx *change.Tx, key string, m proto.Message) error {
	if err := tx.Get(key, m); err != nil && !isNotFound(err) {
		return err
	}
	return nil
}
