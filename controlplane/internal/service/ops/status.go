package ops

import (
	"context"
	"fmt"

	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/types/known/timestamppb"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
)

// Status is the public StatusService. It answers from the newest state at hand, stale or
// not: it must answer most when the rest does not.
type Status struct {
	breakwaterv1.UnimplementedStatusServiceServer
	cached    func() View
	locations []Location
	clock     clockwork.Clock
}

// NewStatus returns the service.
func NewStatus(cached func() View, locations []Location, clock clockwork.Clock) *Status {
	return &Status{cached: cached, locations: locations, clock: clock}
}

// GetStatus says how the network does now.
func (s *Status) GetStatus(context.Context, *breakwaterv1.GetStatusRequest) (*breakwaterv1.NetworkStatus, error) {
	v := s.cached()
	out := &breakwaterv1.NetworkStatus{ObserveTime: timestamppb.New(s.clock.Now())}
	serving := 0
	degraded := 0
	for _, loc := range s.locations {
		dc, err := dataCenter(v, loc)
		if err != nil {
			return nil, err
		}
		up := dc.GetState() != opsv1.DataCenter_LOST
		if up {
			serving++
		}
		if dc.GetState() == opsv1.DataCenter_DEGRADED {
			degraded++
		}
		out.DataCenters = append(out.DataCenters, &breakwaterv1.NetworkStatus_DataCenter{
			DataCenter: loc.Code, City: loc.City, Serving: up,
		})
	}
	held, _ := v.List(ledger.QuarantinesPrefix, "", 0)
	total := len(s.locations)
	switch {
	case serving == 0:
		out.State = breakwaterv1.NetworkStatus_MAJOR_OUTAGE
	case serving < total:
		out.State = breakwaterv1.NetworkStatus_PARTIAL_OUTAGE
	case degraded > 0 || len(held) > 0:
		out.State = breakwaterv1.NetworkStatus_DEGRADED
	default:
		out.State = breakwaterv1.NetworkStatus_OPERATIONAL
	}
	out.Summary = fmt.Sprintf("%d of %d data centers serve", serving, total)
	if len(held) > 0 {
		out.Summary += fmt.Sprintf("; %d documents are held at their last good version", len(held))
	}
	return out, nil
}
