package controlplanetest

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// As returns a connection to the gRPC API with a token; empty for none. It is closed when
// the test ends.
func (cp *ControlPlane) As(token string) *grpc.ClientConn {
	cp.t.Helper()
	conn, err := grpc.NewClient(cp.Server.GRPCAddr(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(token)),
	)
	if err != nil {
		cp.t.Fatal(err)
	}
	cp.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// bearer sends a token with every call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }
