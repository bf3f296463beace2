package fleet

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Bounds of what one report may hold.
const (
	maxChannels   = 8
	maxRejections = 16
	maxText       = 500
)

// Reports is the EdgeService: it takes reports into a Fleet while this replica leads.
type Reports struct {
	edgev1.UnimplementedEdgeServiceServer
	fleet   *Fleet
	leading atomic.Pointer[context.Context]
}

// NewReports returns the service. It refuses streams until [Reports.Lead].
func NewReports(fleet *Fleet) *Reports { return &Reports{fleet: fleet} }

// Lead takes streams until ctx ends.
func (r *Reports) Lead(ctx context.Context) {
	r.leading.Store(&ctx)
	<-ctx.Done()
	r.leading.Store(nil)
}

// Report implements the stream of one server.
func (r *Reports) Report(stream grpc.BidiStreamingServer[edgev1.ReportRequest, edgev1.ReportResponse]) error {
	term := r.leading.Load()
	if term == nil {
		return rpcerr.Failed(codes.Unavailable, rpcerr.ReasonUnavailable, "this replica does not lead: report to another")
	}
	id, err := identify(stream.Context())
	if err != nil {
		return err
	}
	if !r.fleet.known(id.DataCenter) {
		return rpcerr.PermissionDenied("edge.report", "dataCenters/"+id.DataCenter)
	}
	number := r.fleet.connect(id)
	defer r.fleet.disconnect(id, number)

	// Recv has no deadline of its own: the stream is ended from outside when the term
	// ends, and silence is the expiry's business.
	received := make(chan error, 1)
	go func() { received <- r.receive(stream, id, number) }()
	select {
	case err := <-received:
		return err
	case <-(*term).Done():
		return rpcerr.Failed(codes.Unavailable, rpcerr.ReasonUnavailable, "this replica no longer leads: report to another")
	}
}

func (r *Reports) receive(stream grpc.BidiStreamingServer[edgev1.ReportRequest, edgev1.ReportResponse], id ServerID, number uint64) error {
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
		if err := check(report); err != nil {
			return err
		}
		if !r.fleet.take(id, number, report) {
			return rpcerr.Failed(codes.Aborted, rpcerr.ReasonConcurrentChange, "another stream reports for this server")
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

func check(r *edgev1.ReportRequest) error {
	switch {
	case r.GetIncarnation() == "" || len(r.GetIncarnation()) > 64:
		return rpcerr.InvalidField("incarnation", "len", "has 1 to 64 characters")
	case len(r.GetChannels()) > maxChannels:
		return rpcerr.InvalidField("channels", "max_items", "has at most %d entries", maxChannels)
	case len(r.GetDetail()) > maxText:
		return rpcerr.InvalidField("detail", "max_len", "has at most %d bytes", maxText)
	}
	for _, c := range r.GetChannels() {
		if len(c.GetRejections()) > maxRejections {
			return rpcerr.InvalidField("channels.rejections", "max_items", "has at most %d entries", maxRejections)
		}
	}
	return nil
}

// IdentityScheme begins the URI in an edge server's certificate:
// `breakwater-edge://{dc}/{server}`.
const IdentityScheme = "breakwater-edge"

// identify reads who reports from the verified client certificate.
func identify(ctx context.Context) (ServerID, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ServerID{}, rpcerr.Unauthenticated("a client certificate is required")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return ServerID{}, rpcerr.Unauthenticated("a client certificate is required")
	}
	return identity(info.State.VerifiedChains[0][0])
}

func identity(cert *x509.Certificate) (ServerID, error) {
	for _, u := range cert.URIs {
		server := strings.TrimPrefix(u.Path, "/")
		if u.Scheme == IdentityScheme && u.Host != "" && server != "" && !strings.Contains(server, "/") {
			return ServerID{DataCenter: u.Host, Server: server}, nil
		}
	}
	return ServerID{}, rpcerr.Unauthenticated("the client certificate names no edge server")
}

// DefaultInterval is how often a server reports when nothing changes.
const DefaultInterval = time.Second
