package service

import (
	"testing"

	"google.golang.org/grpc/codes"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func TestPlansFilter(t *testing.T) {
	w := newSiteWorld(t)
	s := NewPlans(PlansConfig{Plans: w.plans, Apps: w.offer})
	for filter, want := range map[string]int{"": 4, `displayName="Pro"`: 1, "entitlements.slaPercent > 99": 2, `name="plans/none"`: 0} {
		list, err := s.ListPlans(t.Context(), &breakwaterv1.ListPlansRequest{Filter: filter})
		if err != nil || len(list.GetPlans()) != want {
			t.Errorf("%s: %v, %v", filter, list.GetPlans(), err)
		}
	}
	_, err := s.ListPlans(t.Context(), &breakwaterv1.ListPlansRequest{Filter: "nothing=1"})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "filter")
}
