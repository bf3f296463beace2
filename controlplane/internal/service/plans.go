package service

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// PlansConfig is what the service of plans needs.
type PlansConfig struct {
	Plans SitePlans
	Apps  *AppOffer
}

// Plans implements PlanService. It is public.
type Plans struct {
	breakwaterv1.UnimplementedPlanServiceServer
	cfg PlansConfig
}

// NewPlans makes the service of plans.
func NewPlans(cfg PlansConfig) *Plans { return &Plans{cfg: cfg} }

var _ breakwaterv1.PlanServiceServer = (*Plans)(nil)

// ListPlans implements PlanService.
func (s *Plans) ListPlans(ctx context.Context, req *breakwaterv1.ListPlansRequest) (*breakwaterv1.ListPlansResponse, error) {
	q, err := listing.Parse(req, &breakwaterv1.Plan{}, listing.Options{})
	if err != nil {
		return nil, err
	}
	plans, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Plan) bool) error {
		for rank, plan := range s.cfg.Plans.All() {
			key := fmt.Sprintf("%04d", rank)
			if key <= after {
				continue
			}
			shown, err := s.shown(ctx, plan)
			if err != nil {
				return err
			}
			if !yield(key, shown) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListPlansResponse{Plans: plans, NextPageToken: next}, nil
}

// GetPlan implements PlanService.
func (s *Plans) GetPlan(ctx context.Context, req *breakwaterv1.GetPlanRequest) (*breakwaterv1.Plan, error) {
	id, ok := strings.CutPrefix(req.GetName(), "plans/")
	if !ok || id == "" || strings.Contains(id, "/") {
		return nil, rpcerr.InvalidField("name", "resource_name", "%q is not a name of the form plans/{plan}", req.GetName())
	}
	plan, ok := s.cfg.Plans.Get(id)
	if !ok {
		return nil, rpcerr.NotFound(req.GetName())
	}
	return s.shown(ctx, plan)
}

// shown is the plan with the apps that it allows.
func (s *Plans) shown(ctx context.Context, plan *breakwaterv1.Plan) (*breakwaterv1.Plan, error) {
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	out, _ := proto.Clone(plan).(*breakwaterv1.Plan)
	out.Apps = apps.AllowedBy(s.cfg.Plans, strings.TrimPrefix(plan.GetName(), "plans/"))
	return out, nil
}
