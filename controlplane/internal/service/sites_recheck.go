package service

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

func timestampOf(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

// CheckActivation implements SiteService. The check itself is the activation worker's, which
// sees that one is due now.
func (s *Sites) CheckActivation(ctx context.Context, req *breakwaterv1.CheckActivationRequest) (*breakwaterv1.Site, error) {
	return s.change(ctx, req.GetName(), "", func(e *siteEdit) error {
		site := e.rec.GetSite()
		switch site.GetState() {
		case breakwaterv1.Site_PENDING, breakwaterv1.Site_ACTIVE, breakwaterv1.Site_MOVED:
		default:
			return rpcerr.Precondition(rpcerr.ReasonInvalidState, e.name.SiteName(),
				"%s is %s: there is nothing to check", e.name.SiteName(), site.GetState()).
				WithMetadata("state", site.GetState().String())
		}
		pause := time.Duration(e.entitlements().GetActivationRecheckSeconds()) * time.Second
		if last := e.rec.GetRecheckTime(); last != nil && !e.tx.Call().Principal.Unlimited() {
			if wait := last.AsTime().Add(pause).Sub(e.tx.Now()); wait > 0 {
				return rpcerr.RateLimited("activationRecheck", wait,
					"the plan %s allows one check every %s: try again in %s", e.plan(), pause, wait.Round(time.Second))
			}
		}
		e.rec.RecheckTime = timestampOf(e.tx.Now())
		if site.GetActivationCheck() == nil {
			site.ActivationCheck = &breakwaterv1.Site_ActivationCheck{}
		}
		site.ActivationCheck.NextCheckTime = timestampOf(e.tx.Now())
		return e.commitTouch(siteAudit{summary: "check of the proof asked for"})
	})
}
