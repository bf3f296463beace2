package stripe

import (
	"context"

	stripego "github.com/stripe/stripe-go/v76"
)

// portalKey is the metadata of the portal's configuration that Sync made.
const portalKey = "breakwater_portal"

// findPortal returns the configuration that Sync made; nil before.
func (p *Provider) findPortal(ctx context.Context) (*stripego.BillingPortalConfiguration, error) {
	var first *stripego.BillingPortalConfiguration
	err := p.list(ctx, "list portal configurations", maxList, func(list stripego.ListParams) error {
		found := p.portalConfigs.List(&stripego.BillingPortalConfigurationListParams{
			ListParams: list, Active: new(true),
		})
		for found.Next() {
			one := found.BillingPortalConfiguration()
			// Of several the same one is taken by everybody.
			if one.Metadata[portalKey] != "" && (first == nil || one.Created < first.Created ||
				one.Created == first.Created && one.ID < first.ID) {
				first = one
			}
		}
		return found.Err()
	})
	return first, err
}

// syncPortal makes the portal show invoices and manage cards, and nothing else. Plans are
// changed through our own API, which asks what turns off and quotes a price; names and
// addresses too, from where they are sent to Stripe.
func (s *syncRun) syncPortal(ctx context.Context) error {
	found, err := s.findPortal(ctx)
	if err != nil {
		return err
	}
	if found == nil {
		return s.apply(Change{"+", "portal", "configuration", ""}, func() error {
			return s.converge(ctx, "create portal configuration", func(params stripego.Params) error {
				_, err := s.portalConfigs.New(s.portalParams(params))
				return err
			})
		})
	}
	if s.isPortal(found) {
		return nil
	}
	return s.apply(Change{"~", "portal", "configuration", ""}, func() error {
		return s.converge(ctx, "update portal configuration", func(params stripego.Params) error {
			want := s.portalParams(params)
			want.Features.SubscriptionUpdate = &stripego.BillingPortalConfigurationFeaturesSubscriptionUpdateParams{
				Enabled: new(false),
			}
			_, err := s.portalConfigs.Update(found.ID, want)
			return err
		})
	})
}

func (s *syncRun) portalParams(params stripego.Params) *stripego.BillingPortalConfigurationParams {
	off, on := new(false), new(true)
	profile := &stripego.BillingPortalConfigurationBusinessProfileParams{Headline: new("")}
	if s.privacyURL != "" {
		profile.PrivacyPolicyURL = new(s.privacyURL)
	}
	if s.termsURL != "" {
		profile.TermsOfServiceURL = new(s.termsURL)
	}
	return &stripego.BillingPortalConfigurationParams{
		Params:          params,
		BusinessProfile: profile,
		Features: &stripego.BillingPortalConfigurationFeaturesParams{
			CustomerUpdate:      &stripego.BillingPortalConfigurationFeaturesCustomerUpdateParams{Enabled: off},
			InvoiceHistory:      &stripego.BillingPortalConfigurationFeaturesInvoiceHistoryParams{Enabled: on},
			PaymentMethodUpdate: &stripego.BillingPortalConfigurationFeaturesPaymentMethodUpdateParams{Enabled: on},
			SubscriptionCancel:  &stripego.BillingPortalConfigurationFeaturesSubscriptionCancelParams{Enabled: off},
			SubscriptionPause:   &stripego.BillingPortalConfigurationFeaturesSubscriptionPauseParams{Enabled: off},
			// Subscription updates are off in a new configuration that does not give them; in
			// one they could only be given with products.
		},
		Metadata: map[string]string{portalKey: "1"},
	}
}

func (s *syncRun) isPortal(c *stripego.BillingPortalConfiguration) bool {
	f := c.Features
	switch {
	case f == nil, c.BusinessProfile == nil:
		return false
	case s.privacyURL != "" && c.BusinessProfile.PrivacyPolicyURL != s.privacyURL,
		s.termsURL != "" && c.BusinessProfile.TermsOfServiceURL != s.termsURL:
		return false
	}
	on := f.InvoiceHistory != nil && f.InvoiceHistory.Enabled && f.PaymentMethodUpdate != nil && f.PaymentMethodUpdate.Enabled
	off := (f.CustomerUpdate == nil || !f.CustomerUpdate.Enabled) &&
		(f.SubscriptionCancel == nil || !f.SubscriptionCancel.Enabled) &&
		(f.SubscriptionPause == nil || !f.SubscriptionPause.Enabled) &&
		(f.SubscriptionUpdate == nil || !f.SubscriptionUpdate.Enabled)
	return on && off
}
