package edge

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// minReportInterval keeps a control plane from asking for a flood.
const minReportInterval = 100 * time.Millisecond

// maxReportAttempt bounds how long the pause between attempts to report becomes: gates wait
// for reports, and after a leader is gone nobody takes them for some seconds, so agents
// should not by then look for the next one only now and then.
const maxReportAttempt = 4

// report keeps one stream of reports open.
func (a *Agent) report(ctx context.Context) {
	client := edgev1.NewEdgeServiceClient(a.cfg.Report)
	for attempt := 0; ctx.Err() == nil; attempt++ {
		taken, err := a.reportStream(ctx, client)
		if ctx.Err() != nil {
			return
		}
		if taken {
			attempt = 0
		}
		a.cfg.Logger.Info("edge: reports are interrupted", "error", err)
		timer := a.cfg.Clock.NewTimer(a.cfg.pause(min(attempt, maxReportAttempt)))
		select {
		case <-ctx.Done():
		case <-timer.Chan():
		}
		timer.Stop()
	}
}

// reportStream reports until the stream ends. It says whether any report was taken.
func (a *Agent) reportStream(ctx context.Context, client edgev1.EdgeServiceClient) (taken bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := client.Report(ctx)
	if err != nil {
		cancel()
		return false, err
	}
	answers, ended := make(chan time.Duration), make(chan error, 1)
	var receiving sync.WaitGroup
	receiving.Go(func() { receive(ctx, stream, answers, ended) })
	defer receiving.Wait()
	defer cancel()
	interval := a.cfg.ReportInterval
	for {
		if err := stream.Send(a.snapshot()); err != nil {
			cancel()
			return taken, <-ended // says more than the failed sending
		}
		due := a.cfg.Clock.NewTimer(interval)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				due.Stop()
				return taken, ctx.Err()
			case err := <-ended:
				due.Stop()
				return taken, err
			case wanted := <-answers:
				if taken = true; a.told.CompareAndSwap(false, true) {
					a.feed.Load().Signal()
				}
				if wanted > 0 {
					interval = max(wanted, minReportInterval)
				}
			case <-a.state.changed:
				waiting = false
			case <-due.Chan():
				waiting = false
			}
		}
		due.Stop()
	}
}

// receive hands on the intervals that the control plane answers.
func receive(ctx context.Context, stream grpc.BidiStreamingClient[edgev1.ReportRequest, edgev1.ReportResponse],
	answers chan<- time.Duration, ended chan<- error,
) {
	for {
		resp, err := stream.Recv()
		if err != nil {
			ended <- err
			return
		}
		select {
		case answers <- resp.GetInterval().AsDuration():
		case <-ctx.Done():
			ended <- ctx.Err()
			return
		}
	}
}

// snapshot is all that the server says of itself now.
func (a *Agent) snapshot() *edgev1.ReportRequest {
	newest := map[wire.Channel]int64{}
	for _, c := range wire.Channels() {
		newest[c] = a.store.Newest(c)
	}
	s := a.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports++
	out := &edgev1.ReportRequest{
		DataCenter: a.cfg.DataCenter, Server: a.cfg.Server, AgentVersion: a.cfg.Version,
		Incarnation: s.incarnation, RestartedInOrder: s.inOrder, Sequence: s.reports,
		Healthy: s.well(), Detail: s.describe(),
		Channels: make([]*edgev1.ChannelReport, 0, len(s.channels)),
	}
	for _, name := range wire.Channels() {
		c := s.channels[name]
		r := &edgev1.ChannelReport{
			Channel: string(name), TargetSequence: c.acted, Applying: c.applying, NewestRelease: newest[name],
			HealthyFor: durationpb.New(s.healthyFor(c)),
		}
		r.Rejections = append(r.Rejections, c.rejections...)
		if s.serving {
			hash := c.stateHash()
			r.Release, r.StateHash, r.Documents = c.serving.Release, hash[:], c.serving.Documents
		}
		out.Channels = append(out.Channels, r)
	}
	return out
}
