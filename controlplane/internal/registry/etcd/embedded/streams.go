package embedded

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// interceptStream lets Close end the streams of other clients. etcd would wait for
// watchers to go by themselves, for longer than anyone waits for a shutdown. They are told
// that the server stopped, and come again.
func (s *Server) interceptStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	err := handler(srv, &stream{ServerStream: ss, ctx: ctx})
	if s.stopping.Err() != nil {
		return rpctypes.ErrGRPCStopped
	}
	return err
}

type stream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream's context is part of gRPC's interface
}

func (s *stream) Context() context.Context { return s.ctx }
