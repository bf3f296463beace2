package ops

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/incident"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Status is the public StatusService. It answers from the newest state at hand, stale or
// not, and says how old that is: it must answer most when the rest does not.
type Status struct {
	breakwaterv1.UnimplementedStatusServiceServer
	cached    func() View
	locations []Location // in order of their codes
	clock     clockwork.Clock
}

// NewStatus returns the service. Views that have an age tell it by a method Age.
func NewStatus(cached func() View, locations []Location, clock clockwork.Clock) *Status {
	return &Status{cached: cached, locations: byCode(locations), clock: clock}
}

// GetStatus says how the network does now.
func (s *Status) GetStatus(context.Context, *breakwaterv1.GetStatusRequest) (*breakwaterv1.NetworkStatus, error) {
	v := s.cached()
	if v.Revision() == 0 {
		return nil, rpcerr.Unavailable(time.Second, "the state of the network is not known yet")
	}
	seen := s.clock.Now()
	if aged, ok := v.(interface{ Age() time.Duration }); ok {
		seen = seen.Add(-aged.Age())
	}
	out := &breakwaterv1.NetworkStatus{ObserveTime: timestamppb.New(seen)}
	serving, impaired := 0, 0
	for _, loc := range s.locations {
		dc, err := dataCenter(v, loc, nil)
		if err != nil {
			return nil, err
		}
		if dc.GetState() != opsv1.DataCenter_LOST {
			serving++
		}
		if dc.GetState() == opsv1.DataCenter_DEGRADED {
			impaired++
		}
		out.DataCenters = append(out.DataCenters, &breakwaterv1.NetworkStatus_DataCenter{
			DataCenter: loc.Code, City: loc.City, Serving: dc.GetState() != opsv1.DataCenter_LOST,
		})
	}
	var err error
	if out.Incidents, err = openIncidents(v); err != nil {
		return nil, err
	}
	held := 0
	v.Ascend(ledger.QuarantinesPrefix, func(registry.KV) bool {
		held++
		return true
	})
	switch {
	case serving == 0:
		out.State = breakwaterv1.NetworkStatus_MAJOR_OUTAGE
	case serving < len(s.locations):
		out.State = breakwaterv1.NetworkStatus_PARTIAL_OUTAGE
	case impaired > 0 || held > 0 || len(out.GetIncidents()) > 0:
		out.State = breakwaterv1.NetworkStatus_DEGRADED
	default:
		out.State = breakwaterv1.NetworkStatus_OPERATIONAL
	}
	out.Summary = fmt.Sprintf("%d of %d data centers serve", serving, len(s.locations))
	switch {
	case held == 1:
		out.Summary += "; 1 document is held at its last good version"
	case held > 1:
		out.Summary += fmt.Sprintf("; %d documents are held at their last good versions", held)
	}
	switch n := len(out.GetIncidents()); {
	case n == 1:
		out.Summary += "; 1 incident is open"
	case n > 1:
		out.Summary += fmt.Sprintf("; %d incidents are open", n)
	}
	return out, nil
}

// shownIncidents is how many open incidents the status shows.
const shownIncidents = 20

func openIncidents(v View) ([]*breakwaterv1.Incident, error) {
	kept, err := incident.Kept(v)
	if err != nil {
		return nil, err
	}
	var out []*breakwaterv1.Incident
	for _, rec := range slices.Backward(kept) {
		if len(out) < shownIncidents && rec.GetIncident().GetState() == breakwaterv1.Incident_OPEN {
			out = append(out, public(rec))
		}
	}
	return out, nil
}
