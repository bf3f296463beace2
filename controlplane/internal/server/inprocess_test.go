package server

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// planTeller keeps what it was asked and answers with a plan of its own.
type planTeller struct {
	breakwaterv1.UnimplementedPlanServiceServer
	asked *breakwaterv1.GetPlanRequest
	plan  *breakwaterv1.Plan
	fail  error
	md    metadata.MD
	from  string
}

func (p *planTeller) GetPlan(ctx context.Context, req *breakwaterv1.GetPlanRequest) (*breakwaterv1.Plan, error) {
	p.asked = req
	p.md, _ = metadata.FromIncomingContext(ctx)
	if caller, ok := peer.FromContext(ctx); ok {
		p.from = caller.Addr.Network()
	}
	if sent, _ := metadata.FromOutgoingContext(ctx); len(sent) > 0 {
		return nil, status.Error(codes.Internal, "metadata would be sent on")
	}
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-a", "1"))
	_ = grpc.SetHeader(ctx, metadata.Pairs("x-b", "2"))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-t", "3"))
	return p.plan, p.fail
}

func TestInProcessCall(t *testing.T) {
	teller := &planTeller{plan: &breakwaterv1.Plan{DisplayName: "Pro"}}
	methods := map[string]unaryMethod{}
	breakwaterv1.RegisterPlanServiceServer(registrar{grpc.NewServer(), methods}, teller)
	intercepted := ""
	listener := bufconn.Listen(1)
	defer func() { _ = listener.Close() }()
	client := breakwaterv1.NewPlanServiceClient(&inProcess{
		methods: methods, from: listener.Addr(),
		intercept: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			intercepted = info.FullMethod
			return h(ctx, req)
		},
	})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "Authorization", "Bearer x")
	request := &breakwaterv1.GetPlanRequest{Name: "plans/pro"}

	var header, trailer metadata.MD
	plan, err := client.GetPlan(ctx, request, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || plan.GetDisplayName() != "Pro" {
		t.Fatalf("%v, %v", plan, err)
	}
	if intercepted != "/breakwater.v1.PlanService/GetPlan" {
		t.Errorf("intercepted %q", intercepted)
	}
	if teller.from != "bufconn" || len(teller.md.Get("authorization")) != 1 {
		t.Errorf("peer %q, metadata %v", teller.from, teller.md)
	}
	if len(header.Get("x-a")) != 1 || len(header.Get("x-b")) != 1 || len(trailer.Get("x-t")) != 1 {
		t.Errorf("header %v, trailer %v", header, trailer)
	}
	if teller.asked == request || plan == teller.plan {
		t.Error("caller and handler share a message")
	}

	teller.fail = status.Error(codes.NotFound, "no such plan")
	header = nil
	if _, err := client.GetPlan(ctx, request, grpc.Header(&header)); status.Code(err) != codes.NotFound || len(header) == 0 {
		t.Errorf("error %v, header %v", err, header)
	}
}
