package service

import (
	"context"
	"errors"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authz"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/entitle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/payments"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// SubscriptionsConfig is what the service of subscriptions needs.
type SubscriptionsConfig struct {
	BillingBase
	Apps *AppOffer
}

// Subscriptions implements SubscriptionService.
type Subscriptions struct {
	breakwaterv1.UnimplementedSubscriptionServiceServer
	cfg SubscriptionsConfig
}

// NewSubscriptions makes the service of subscriptions.
func NewSubscriptions(cfg SubscriptionsConfig) *Subscriptions { return &Subscriptions{cfg: cfg} }

var _ breakwaterv1.SubscriptionServiceServer = (*Subscriptions)(nil)

// subscriptionOf is a site's subscription as the API shows it.
func (s *Subscriptions) subscriptionOf(name resource.Name, rec *storev1.BillingRecord, site *storev1.SiteRecord) *breakwaterv1.Subscription {
	out := s.cfg.Engine.Subscription(rec, name.Site, payments.SiteState(site, s.cfg.Plans.Cheapest()))
	out.Etag = resource.Etag(out)
	out.Name = resource.SubscriptionName(name.Account, name.Site)
	out.Version = site.GetSite().GetVersion()
	return out
}

// GetSubscription implements SubscriptionService.
func (s *Subscriptions) GetSubscription(ctx context.Context, req *breakwaterv1.GetSubscriptionRequest) (*breakwaterv1.Subscription, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	return s.read(ctx, name)
}

func (s *Subscriptions) read(ctx context.Context, name resource.Name) (*breakwaterv1.Subscription, error) {
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return nil, err
	}
	site, _, err := siteFrom(view, name)
	if err != nil {
		return nil, err
	}
	rec, err := payments.RecordFrom(view, name.Account)
	if err != nil {
		return nil, err
	}
	out := s.subscriptionOf(name, rec, site)
	if action := out.GetPendingAction(); action != nil {
		action.ClientSecret = s.actionSecret(ctx, name, rec)
	}
	return out, nil
}

// actionSecret is what confirms a payment, for who may make one. The page does without it, so it is
// left out while the payment provider does not answer.
func (s *Subscriptions) actionSecret(ctx context.Context, name resource.Name, rec *storev1.BillingRecord) string {
	if authz.Require(call.From(ctx).Principal, "subscription.change", name) != nil {
		return ""
	}
	secret, err := s.cfg.Engine.ActionSecret(ctx, rec)
	if err != nil {
		return ""
	}
	return secret
}

// subscriptionChange is a decision about one site's subscription.
type subscriptionChange struct {
	name, etag string
	// deleted says that the site may be deleted.
	deleted bool
	decide  func(tx billing.Tx, site string) error
}

// change runs a decision. Where the payment provider is needed the answer waits for it, a
// little.
func (s *Subscriptions) change(ctx context.Context, c subscriptionChange) (*breakwaterv1.Subscription, error) {
	name, err := siteName(c.name)
	if err != nil {
		return nil, err
	}
	out, err := s.decide(ctx, name, c)
	if errors.Is(err, billing.ErrPaymentMethodRequired) && s.cfg.ask(ctx, name.Account, hasCard) {
		out, err = s.decide(ctx, name, c)
	}
	if err != nil || call.From(ctx).ValidateOnly || !undecided(out) {
		return out, err
	}
	// This also holds for the kept answer of an earlier call: it is of the moment when the
	// payment began, and who repeats a call wants to know what came of it.
	s.cfg.await(ctx, name.Account, func(rec *storev1.BillingRecord) bool {
		return rec.GetMove().GetSite() != name.Site || rec.GetMove().GetActionUrl() != ""
	})
	now, err := s.read(ctx, name)
	if err != nil {
		return out, nil //nolint:nilerr // The change is stored: that it can't be read now is no failure of it.
	}
	return now, nil
}

// hasCard says whether the account has something that can be charged.
func hasCard(rec *storev1.BillingRecord) bool { return rec.GetSeen().GetPaymentMethod() != nil }

// undecided says that a payment is under way.
func undecided(s *breakwaterv1.Subscription) bool {
	return s.GetState() == breakwaterv1.Subscription_UPGRADING
}

// decide stores a decision.
func (s *Subscriptions) decide(ctx context.Context, name resource.Name, c subscriptionChange) (*breakwaterv1.Subscription, error) {
	full := resource.SubscriptionName(name.Account, name.Site)
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (*breakwaterv1.Subscription, error) {
		open := s.cfg.siteOpenWritable
		if c.deleted {
			open = s.cfg.siteOpen
		}
		e, err := open(tx, name)
		if err != nil {
			return nil, err
		}
		var out *breakwaterv1.Subscription
		err = s.cfg.Payments.Within(tx, name.Account, func(b billing.Tx) error {
			if err := siteMeets(tx, c.etag, s.subscriptionOf(name, b.Record(), e.rec).GetEtag(), full); err != nil {
				return err
			}
			if err := c.decide(b, name.Site); err != nil {
				return err
			}
			site := &storev1.SiteRecord{} // The decision may have made a new version of it.
			if err := tx.Get(name.Tenant().Site(name.Site), site); err != nil {
				return err
			}
			out = s.subscriptionOf(name, b.Record(), site)
			return nil
		})
		return out, billingRefusal(err, s.cfg.Plans, full)
	})
}

// ChangeSubscription implements SubscriptionService.
func (s *Subscriptions) ChangeSubscription(ctx context.Context, req *breakwaterv1.ChangeSubscriptionRequest) (*breakwaterv1.Subscription, error) {
	return s.change(ctx, subscriptionChange{name: req.GetName(), etag: req.GetEtag(), decide: func(tx billing.Tx, site string) error {
		return s.cfg.Engine.Change(tx, site, req.GetPlan(), req.GetQuote())
	}})
}

// CancelSubscription implements SubscriptionService. A deleted site's subscription may be
// cancelled, though it is already.
func (s *Subscriptions) CancelSubscription(ctx context.Context, req *breakwaterv1.CancelSubscriptionRequest) (*breakwaterv1.Subscription, error) {
	return s.change(ctx, subscriptionChange{name: req.GetName(), etag: req.GetEtag(), deleted: true, decide: s.cfg.Engine.Cancel})
}

// RevokeSubscription implements SubscriptionService.
func (s *Subscriptions) RevokeSubscription(ctx context.Context, req *breakwaterv1.RevokeSubscriptionRequest) (*breakwaterv1.Subscription, error) {
	return s.change(ctx, subscriptionChange{name: req.GetName(), etag: req.GetEtag(), decide: s.cfg.Engine.Revoke})
}

// PreviewSubscription implements SubscriptionService. What turns off is found by the very
// code that will turn it off.
func (s *Subscriptions) PreviewSubscription(ctx context.Context, req *breakwaterv1.PreviewSubscriptionRequest) (*breakwaterv1.PreviewSubscriptionResponse, error) {
	name, err := siteName(req.GetName())
	if err != nil {
		return nil, err
	}
	site, _, err := s.cfg.siteRead(ctx, name)
	if err != nil {
		return nil, err
	}
	full := resource.SubscriptionName(name.Account, name.Site)
	if site.GetSite().GetState() == breakwaterv1.Site_DELETED {
		return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, full, "%s is deleted; bring it back with :undelete first", name.SiteName())
	}
	quote, err := s.cfg.Engine.Preview(ctx, name.Account, name.Site, req.GetPlan())
	if err != nil {
		return nil, billingRefusal(err, s.cfg.Plans, full)
	}
	off, err := s.turnsOff(ctx, site, req.GetPlan())
	if err != nil {
		return nil, err
	}
	out := &breakwaterv1.PreviewSubscriptionResponse{
		Quote: quote.Token, ExpireTime: billingTime(quote.Expires),
		DueNow: s.cfg.cents(quote.DueNow), NextInvoice: s.cfg.cents(quote.NextInvoice),
		NextInvoiceTime: billingTime(quote.NextInvoiceTime), EffectiveTime: billingTime(quote.Effective), TurnsOff: off,
	}
	for _, l := range quote.Lines {
		out.Lines = append(out.Lines, &breakwaterv1.PreviewSubscriptionResponse_Line{
			Description: l.Description, Amount: s.cfg.cents(l.Amount),
		})
	}
	return out, nil
}

// turnsOff is what a site has switched on and a plan does not have.
func (s *Subscriptions) turnsOff(ctx context.Context, site *storev1.SiteRecord, plan string) ([]*breakwaterv1.TurnOff, error) {
	apps, err := s.cfg.Apps.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	// What would come back does not matter here, and so neither does when.
	return siteRules(s.cfg.Plans, apps).Fit(entitle.Input{Config: site.GetConfig(), Plan: plan, Hold: true}).TurnsOff, nil
}
