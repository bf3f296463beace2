package gateway

import (
	"context"
	"errors"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// register adds the generated handlers of all services, of which DevService exists in a
// development server only.
func register(mux *runtime.ServeMux, conn grpc.ClientConnInterface, dev bool) error {
	// The handlers outlive the call; they don't keep the context.
	ctx := context.Background()
	err := errors.Join(
		breakwaterv1.RegisterAccountServiceHandlerClient(ctx, mux, breakwaterv1.NewAccountServiceClient(conn)),
		breakwaterv1.RegisterAppServiceHandlerClient(ctx, mux, breakwaterv1.NewAppServiceClient(conn)),
		breakwaterv1.RegisterAuditServiceHandlerClient(ctx, mux, breakwaterv1.NewAuditServiceClient(conn)),
		breakwaterv1.RegisterBillingServiceHandlerClient(ctx, mux, breakwaterv1.NewBillingServiceClient(conn)),
		breakwaterv1.RegisterDnsServiceHandlerClient(ctx, mux, breakwaterv1.NewDnsServiceClient(conn)),
		breakwaterv1.RegisterIncidentServiceHandlerClient(ctx, mux, breakwaterv1.NewIncidentServiceClient(conn)),
		breakwaterv1.RegisterInvoiceServiceHandlerClient(ctx, mux, breakwaterv1.NewInvoiceServiceClient(conn)),
		breakwaterv1.RegisterMemberServiceHandlerClient(ctx, mux, breakwaterv1.NewMemberServiceClient(conn)),
		breakwaterv1.RegisterPlanServiceHandlerClient(ctx, mux, breakwaterv1.NewPlanServiceClient(conn)),
		breakwaterv1.RegisterPropagationServiceHandlerClient(ctx, mux, breakwaterv1.NewPropagationServiceClient(conn)),
		breakwaterv1.RegisterSettingsServiceHandlerClient(ctx, mux, breakwaterv1.NewSettingsServiceClient(conn)),
		breakwaterv1.RegisterSiteServiceHandlerClient(ctx, mux, breakwaterv1.NewSiteServiceClient(conn)),
		breakwaterv1.RegisterStatusServiceHandlerClient(ctx, mux, breakwaterv1.NewStatusServiceClient(conn)),
		breakwaterv1.RegisterSubscriptionServiceHandlerClient(ctx, mux, breakwaterv1.NewSubscriptionServiceClient(conn)),
		breakwaterv1.RegisterThreatServiceHandlerClient(ctx, mux, breakwaterv1.NewThreatServiceClient(conn)),
		breakwaterv1.RegisterTokenServiceHandlerClient(ctx, mux, breakwaterv1.NewTokenServiceClient(conn)),
		breakwaterv1.RegisterVersionServiceHandlerClient(ctx, mux, breakwaterv1.NewVersionServiceClient(conn)),
		opsv1.RegisterBillingServiceHandlerClient(ctx, mux, opsv1.NewBillingServiceClient(conn)),
		opsv1.RegisterFleetServiceHandlerClient(ctx, mux, opsv1.NewFleetServiceClient(conn)),
		opsv1.RegisterLimitServiceHandlerClient(ctx, mux, opsv1.NewLimitServiceClient(conn)),
		opsv1.RegisterOutboxServiceHandlerClient(ctx, mux, opsv1.NewOutboxServiceClient(conn)),
		opsv1.RegisterReleaseServiceHandlerClient(ctx, mux, opsv1.NewReleaseServiceClient(conn)),
	)
	if dev {
		err = errors.Join(err, opsv1.RegisterDevServiceHandlerClient(ctx, mux, opsv1.NewDevServiceClient(conn)))
	}
	return err
}

// services returns the descriptors of the same services. A test compares the two.
func services(dev bool) []protoreflect.ServiceDescriptor {
	files := []protoreflect.FileDescriptor{
		breakwaterv1.File_breakwater_v1_accounts_proto,
		breakwaterv1.File_breakwater_v1_apps_proto,
		breakwaterv1.File_breakwater_v1_audit_proto,
		breakwaterv1.File_breakwater_v1_billing_proto,
		breakwaterv1.File_breakwater_v1_dns_proto,
		breakwaterv1.File_breakwater_v1_members_proto,
		breakwaterv1.File_breakwater_v1_plans_proto,
		breakwaterv1.File_breakwater_v1_propagation_proto,
		breakwaterv1.File_breakwater_v1_settings_proto,
		breakwaterv1.File_breakwater_v1_sites_proto,
		breakwaterv1.File_breakwater_v1_status_proto,
		breakwaterv1.File_breakwater_v1_subscriptions_proto,
		breakwaterv1.File_breakwater_v1_threats_proto,
		breakwaterv1.File_breakwater_v1_tokens_proto,
		breakwaterv1.File_breakwater_v1_versions_proto,
		opsv1.File_breakwater_ops_v1_billing_proto,
		opsv1.File_breakwater_ops_v1_fleet_proto,
		opsv1.File_breakwater_ops_v1_limits_proto,
		opsv1.File_breakwater_ops_v1_outbox_proto,
		opsv1.File_breakwater_ops_v1_releases_proto,
	}
	if dev {
		files = append(files, opsv1.File_breakwater_ops_v1_dev_proto)
	}
	var all []protoreflect.ServiceDescriptor
	for _, file := range files {
		for i := range file.Services().Len() {
			all = append(all, file.Services().Get(i))
		}
	}
	return all
}
