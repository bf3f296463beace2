package server

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// inProcess is the gateway's connection to the API. Unary calls are function calls through
// the same interceptors, because to encode them for a connection within the process costs
// more than most calls do themselves. Everything else goes over the connection below it.
type inProcess struct {
	grpc.ClientConnInterface
	methods map[string]unaryMethod
	// intercept is what the server's unary calls pass.
	intercept grpc.UnaryServerInterceptor
	// from is the address that calls come from.
	from net.Addr
}

type unaryMethod struct {
	implementation any
	desc           grpc.MethodDesc
}

// registrar registers services at the server, and for function calls.
type registrar struct {
	*grpc.Server
	methods map[string]unaryMethod
}

// RegisterService implements [grpc.ServiceRegistrar].
func (r registrar) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	r.Server.RegisterService(desc, implementation)
	for _, m := range desc.Methods {
		r.methods["/"+desc.ServiceName+"/"+m.MethodName] = unaryMethod{implementation, m}
	}
}

// Invoke implements [grpc.ClientConnInterface]. What the handler gets and what it answers
// is copied, as a connection does: either side may keep its own.
func (c *inProcess) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	m, known := c.methods[method]
	in, isProto := args.(proto.Message)
	if !known || !isProto {
		return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	answered := &answer{method: method}
	ctx = metadata.NewOutgoingContext(ctx, nil) // what was sent is not to be sent on
	ctx = metadata.NewIncomingContext(ctx, sent)
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: c.from})
	ctx = grpc.NewContextWithServerTransportStream(ctx, answered)
	decode := func(into any) error {
		if to, ok := into.(proto.Message); ok {
			proto.Merge(to, in)
		}
		return nil
	}
	out, err := m.desc.Handler(m.implementation, ctx, decode, c.intercept)
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = answered.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = answered.trailer
		}
	}
	if err != nil {
		return err
	}
	from, ok := out.(proto.Message)
	if to, into := reply.(proto.Message); ok && into {
		proto.Merge(to, from)
	}
	return nil
}

// answer takes the metadata that a handler answers with. A call has one goroutine.
type answer struct {
	method          string
	header, trailer metadata.MD
}

// Method implements [grpc.ServerTransportStream].
func (a *answer) Method() string { return a.method }

// SetHeader implements [grpc.ServerTransportStream].
func (a *answer) SetHeader(md metadata.MD) error {
	a.header = metadata.Join(a.header, md)
	return nil
}

// SendHeader implements [grpc.ServerTransportStream].
func (a *answer) SendHeader(md metadata.MD) error { return a.SetHeader(md) }

// SetTrailer implements [grpc.ServerTransportStream].
func (a *answer) SetTrailer(md metadata.MD) error {
	a.trailer = metadata.Join(a.trailer, md)
	return nil
}
