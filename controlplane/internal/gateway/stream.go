package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// peekingConn lets a stream answer its header only with its first message. The generated
// code asks for the header before it begins the response, so that a stream which fails at
// once becomes an ordinary error, with its own status.
type peekingConn struct{ grpc.ClientConnInterface }

// Invoke implements grpc.ClientConnInterface. The call's place is free for another before
// the answer is written: a client that reads slowly holds none.
func (c *peekingConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	defer callStateOf(ctx).leave()
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (c *peekingConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	output, err := outputOf(method)
	if err != nil {
		return nil, err
	}
	s, err := c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &peekingStream{ClientStream: s, output: output, state: callStateOf(ctx)}, nil
}

type peekingStream struct {
	grpc.ClientStream
	output protoreflect.MessageType
	state  *callState

	first    proto.Message
	firstErr error
}

// Header implements grpc.ClientStream. It returns the error of a stream that has no first
// message; one that ends without any is no error.
func (s *peekingStream) Header() (metadata.MD, error) {
	first := s.output.New().Interface()
	err := s.ClientStream.RecvMsg(first)
	// The header is there by now, if there will be one.
	header, headerErr := s.ClientStream.Header()
	s.state.header = header
	switch {
	case errors.Is(err, io.EOF):
		s.firstErr = err
	case err != nil:
		return header, err
	default:
		s.first = first
	}
	return header, headerErr
}

// RecvMsg implements grpc.ClientStream.
func (s *peekingStream) RecvMsg(m any) error {
	if s.firstErr != nil {
		return s.firstErr
	}
	if s.first == nil {
		return s.ClientStream.RecvMsg(m)
	}
	into, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("gateway: a stream's message is a %T", m)
	}
	proto.Merge(into, s.first)
	s.first = nil
	return nil
}

func outputOf(method string) (protoreflect.MessageType, error) {
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, fmt.Errorf("gateway: %s: %w", method, err)
	}
	m, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("gateway: %s is no method", method)
	}
	return protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
}
