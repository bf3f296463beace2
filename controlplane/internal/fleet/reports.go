package fleet

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
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
	fleet     *Fleet
	admission *admission

	mu sync.Mutex
	// term is the leadership's end; nil while this replica does not lead.
	term <-chan struct{}
	// receivers are the goroutines of the term's streams.
	receivers sync.WaitGroup
}

// NewReports returns the service with the default limits. It refuses streams until
// [Reports.Lead].
func NewReports(fleet *Fleet) *Reports { return NewLimitedReports(fleet, Limits{}) }

// NewLimitedReports is [NewReports] with limits of its own.
func NewLimitedReports(fleet *Fleet, limits Limits) *Reports {
	return &Reports{fleet: fleet, admission: newAdmission(fleet.clock, limits)}
}

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
	term, end := r.join()
	if term == nil {
		return rpcerr.Unavailable(anotherReplica, "this replica does not lead: report to another")
	}
	begun, err := r.admission.enter()
	if err != nil {
		end()
		return err
	}
	begun = sync.OnceFunc(begun)
	defer begun()
	number := r.fleet.connect(id)
	defer r.fleet.disconnect(id, number)

	// Receiving has no deadline and ends only with the stream, which ends when this
	// returns: so where the term ends first, it is Lead that waits for the goroutine.
	first, received := make(chan struct{}), make(chan error, 1)
	go func() {
		defer end()
		received <- r.receive(stream, id, number, sync.OnceFunc(func() { close(first) }))
	}()
	late := r.fleet.clock.NewTimer(firstWithin)
	defer late.Stop()
	silent := late.Chan()
	for {
		select {
		case err := <-received:
			return err
		case <-first:
			begun()
			first, silent = nil, nil
		case <-silent:
			return rpcerr.Failed(codes.DeadlineExceeded, rpcerr.ReasonDeadlineExceeded, "no report came within %v", firstWithin)
		case <-term:
			return rpcerr.Unavailable(anotherReplica, "this replica no longer leads: report to another")
		}
	}
}

// join makes a stream one of the term's, until end is called; there is no term while this
// replica does not lead.
func (r *Reports) join() (term <-chan struct{}, end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term == nil {
		return nil, nil
	}
	r.receivers.Add(1)
	return r.term, r.receivers.Done
}

// receive takes reports until the stream ends, and calls taken for each.
func (r *Reports) receive(stream reportStream, id ServerID, number uint64, taken func()) error {
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
		taken()
		err = stream.Send(&edgev1.ReportResponse{
			Sequence: report.GetSequence(),
			Interval: durationpb.New(r.fleet.interval),
		})
		if err != nil {
			return err
		}
	}
}
