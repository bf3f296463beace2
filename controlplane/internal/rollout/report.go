package rollout

import (
	"time"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// ServerFromReport is what a server last said, as the machine sees it. Parts that make no
// sense are left out: an edge must not be able to stop the control plane.
func ServerFromReport(r *edgev1.ReportRequest, connected bool, lastSeen time.Time) Server {
	s := Server{
		DataCenter: r.GetDataCenter(), Name: r.GetServer(), Incarnation: r.GetIncarnation(),
		InOrder: r.GetRestartedInOrder(), Connected: connected, LastSeen: lastSeen, Healthy: r.GetHealthy(), Detail: r.GetDetail(),
	}
	for _, c := range r.GetChannels() {
		hash, err := wire.StateHashFromBytes(c.GetStateHash())
		if err != nil {
			continue
		}
		rep := ChannelReport{
			Channel: wire.Channel(c.GetChannel()), Release: c.GetRelease(), TargetSequence: c.GetTargetSequence(),
			StateHash: hash, HealthyFor: c.GetHealthyFor().AsDuration(),
		}
		for _, rej := range c.GetRejections() {
			v := Rejection{
				Release: rej.GetRelease(), TargetSequence: rej.GetTargetSequence(), Cause: rej.GetCause(),
				Reason: rej.GetReason(), After: rej.GetAfter().AsDuration(),
			}
			if id, err := wire.ParseDocumentID(rej.GetDocument()); err == nil {
				if sum, err := wire.SumFromBytes(rej.GetSha256()); err == nil {
					v.Document, v.Sum = id, sum
				}
			}
			rep.Rejections = append(rep.Rejections, v)
		}
		s.Channels = append(s.Channels, rep)
	}
	return s
}
