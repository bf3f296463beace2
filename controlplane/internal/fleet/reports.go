package fleet

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// DefaultInterval is how often a server reports when nothing changes.
const DefaultInterval = time.Second

// IdentityScheme begins the URI in an edge server's certificate; see [authn.EdgeURI].
const IdentityScheme = authn.EdgeScheme

// anotherReplica is when an agent may try the next address.
const anotherReplica = 100 * time.Millisecond

type reportStream = grpc.BidiStreamingServer[edgev1.ReportRequest, edgev1.ReportResponse]

// Reports is the EdgeService: it takes reports into a Fleet while this replica leads. Who
// reports is what the interceptors found in the client certificate.
type Reports struct {
	edgev1.UnimplementedEdgeServiceServer
	fleet *Fleet

	mu sync.Mutex
	// term is the leadership's end; nil while this replica does not lead.
	term <-chan struct{}
	// receivers are the goroutines of the term's streams.
	receivers sync.WaitGroup
}

// NewReports returns the service. It refuses streams until [Reports.Lead].
func NewReports(fleet *Fleet) *Reports { return &Reports{fleet: fleet} }

// Lead takes streams until ctx ends, then ends them, and returns when nothing more is
// received. It is called once a term.
func (r *Reports) Lead(ctx context.Context) {
	r.mu.Lock()
	r.term = ctx.Done()
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.term = nil
	r.mu.Unlock()
	r.receivers.Wait()
}

// Report implements the stream of one server.
func (r *Reports) Report(stream reportStream) error {
	p := call.From(stream.Context()).Principal
	if p.Kind != authn.Edge {
		return rpcerr.Unauthenticated("a client certificate of an edge server is needed")
	}
	id := ServerID{DataCenter: p.DataCenter, Server: p.Server}
	if !r.fleet.known(id.DataCenter) {
		return rpcerr.PermissionDenied("edge.report", "dataCenters/"+id.DataCenter)
	}
	r.mu.Lock()
	term := r.term
	if term != nil {
		r.receivers.Add(1)
	}
	r.mu.Unlock()
	if term == nil {
		return rpcerr.Unavailable(anotherReplica, "this replica does not lead: report to another")
	}
	number := r.fleet.connect(id)
	defer r.fleet.disconnect(id, number)

	// Receiving has no deadline and ends only with the stream, which ends when this
	// returns: so where the term ends first, it is Lead that waits for the goroutine.
	received := make(chan error, 1)
	go func() {
		defer r.receivers.Done()
		received <- r.receive(stream, id, number)
	}()
	select {
	case err := <-received:
		return err
	case <-term:
		return rpcerr.Unavailable(anotherReplica, "this replica no longer leads: report to another")
	}
}

func (r *Reports) receive(stream reportStream, id ServerID, number uint64) error {
	for {
		report, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if report.GetDataCenter() != id.DataCenter || report.GetServer() != id.Server {
			return rpcerr.PermissionDenied("edge.report", "dataCenters/"+report.GetDataCenter()+"/servers/"+report.GetServer())
		}
		if violations := check(report); len(violations) > 0 {
			return rpcerr.Invalid(violations...)
		}
		if !r.fleet.take(id, number, report) {
			return rpcerr.Aborted(rpcerr.ReasonConcurrentChange, "another stream reports for this server")
		}
		err = stream.Send(&edgev1.ReportResponse{
			Sequence: report.GetSequence(),
			Interval: durationpb.New(r.fleet.interval),
		})
		if err != nil {
			return err
		}
	}
}
