package accesstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Bearer returns a context that sends a credential, if there is one.
func Bearer(ctx context.Context, bearer string) context.Context {
	if bearer == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+bearer)
}

// Invoke makes the call over gRPC. Of a stream it takes the first message; one that is let
// in and stays silent ends with the context, which is no error.
func Invoke(ctx context.Context, conn grpc.ClientConnInterface, c Case) error {
	ctx, cancel := context.WithCancel(Bearer(ctx, c.Bearer))
	defer cancel()
	m := c.Rule.Method
	answer := dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingServer() && !m.IsStreamingClient() {
		return conn.Invoke(ctx, c.Rule.FullMethod, c.Request, answer)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{
		StreamName: string(m.Name()), ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient(),
	}, c.Rule.FullMethod)
	if err != nil {
		return err
	}
	// What a send fails with is told by the receive.
	_ = stream.SendMsg(c.Request)
	_ = stream.CloseSend()
	err = stream.RecvMsg(answer)
	if errors.Is(err, io.EOF) || status.Code(err) == codes.DeadlineExceeded {
		return nil
	}
	return err
}

// Check says what is wrong with what a call over gRPC came to, or returns nil.
func (c Case) Check(err error) error {
	got := Allowed
	switch status.Code(err) {
	case codes.Unauthenticated:
		got = Unauthenticated
	case codes.PermissionDenied:
		got = Denied
	case codes.Internal, codes.Unknown, codes.Unimplemented:
		return fmt.Errorf("%s: %w", c.Name, err)
	default:
	}
	if got != c.Want {
		return fmt.Errorf("%s: %s, want %s (%s)", c.Name, got, c.Want, status.Convert(err).Message())
	}
	return nil
}

// CheckHTTP is Check for a call over REST, by its status and body.
func (c Case) CheckHTTP(statusCode int, body []byte) error {
	got := Allowed
	switch {
	case statusCode == http.StatusUnauthorized:
		got = Unauthenticated
	case statusCode == http.StatusForbidden:
		got = Denied
	case statusCode >= http.StatusInternalServerError || statusCode == http.StatusMethodNotAllowed:
		return fmt.Errorf("%s: status %d: %s", c.Name, statusCode, body)
	}
	if got != c.Want {
		return fmt.Errorf("%s: %s, want %s (status %d: %s)", c.Name, got, c.Want, statusCode, body)
	}
	return nil
}
