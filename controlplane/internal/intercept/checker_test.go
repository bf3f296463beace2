package intercept_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// checker finds that the labels are wrong, whatever they are.
type checker struct{ asked int }

func (c *checker) Check(proto.Message) error {
	c.asked++
	return rpcerr.Invalid(rpcerr.Violation{Field: "account.labels"}, rpcerr.Violation{Field: "account.displayName"})
}

// TestServicesCheckToo expects the violations of a service beside those of the protos, each
// field once, and only where the protos' rules are broken.
func TestServicesCheckToo(t *testing.T) {
	chain, service := newChain(t, nil), &checker{}
	for _, tc := range []struct {
		name, displayName string
		want              []string
	}{
		{"no rule of the protos", "short", nil},
		{"one of both", strings.Repeat("x", 1000), []string{"displayName", "labels"}},
		{"too large to ask", strings.Repeat("x", 1<<20), []string{"displayName"}},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer op"))
		_, err := chain.Unary()(ctx, &breakwaterv1.UpdateAccountRequest{Account: &breakwaterv1.Account{Name: "accounts/acme", DisplayName: tc.displayName}},
			&grpc.UnaryServerInfo{Server: service, FullMethod: "/breakwater.v1.AccountService/UpdateAccount"},
			func(context.Context, any) (any, error) { return nil, nil })
		var got []string
		for _, d := range status.Convert(err).Details() {
			if bad, ok := d.(*errdetails.BadRequest); ok {
				for _, v := range bad.GetFieldViolations() {
					got = append(got, v.GetField())
				}
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v names %v, want %v", tc.name, err, got, tc.want)
		}
	}
	if service.asked != 1 {
		t.Errorf("asked %d times", service.asked)
	}
}
