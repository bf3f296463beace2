package intercept_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
)

// BenchmarkChain is what every unary call pays before and after its handler, but for the
// look-up of its credential.
func BenchmarkChain(b *testing.B) {
	table, err := authz.NewTable(breakwaterv1.File_breakwater_v1_accounts_proto.Services().Get(0))
	if err != nil {
		b.Fatal(err)
	}
	validator, err := protovalidate.New()
	if err != nil {
		b.Fatal(err)
	}
	clock := clockwork.NewRealClock()
	unary := intercept.New(intercept.Config{
		Table: table, Authenticator: known, Validator: validator, Clock: clock,
		Logger:       slog.New(slog.DiscardHandler),
		Limiter:      ratelimit.NewLimiter(ratelimit.Config{Clock: clock, Window: time.Minute, Limit: func(string) int { return 1 << 30 }}),
		Gate:         ratelimit.NewGate(ratelimit.GateConfig{Clock: clock}),
		NewRequestID: func() string { return "made" },
	}).Unary()
	ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", "Bearer acme"))
	info := &grpc.UnaryServerInfo{FullMethod: "/breakwater.v1.AccountService/GetAccount"}
	req, answer := &breakwaterv1.GetAccountRequest{Name: "accounts/acme"}, &breakwaterv1.Account{}
	handler := func(context.Context, any) (any, error) { return answer, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := unary(ctx, req, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}
