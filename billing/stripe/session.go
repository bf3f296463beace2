package stripe

import (
	"context"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

// CheckoutSession makes a page where the customer enters a card. Nothing is charged; the
// first look at the customer after the card was entered makes it the one that is charged.
func (p *Provider) CheckoutSession(ctx context.Context, key, customer, successURL, cancelURL string) (*billing.Session, error) {
	if err := checkID("customer", customer); err != nil {
		return nil, err
	}
	if cancelURL == "" {
		cancelURL = successURL
	}
	var made *stripego.CheckoutSession
	err := p.change(ctx, key, "create checkout session", func(params stripego.Params) (err error) {
		made, err = p.checkouts.New(&stripego.CheckoutSessionParams{
			Params:             params,
			Mode:               new(string(stripego.CheckoutSessionModeSetup)),
			PaymentMethodTypes: stripego.StringSlice([]string{"card"}),
			Customer:           new(customer),
			SuccessURL:         new(successURL),
			CancelURL:          new(cancelURL),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &billing.Session{URL: made.URL, Expires: seconds(made.ExpiresAt)}, nil
}

// PortalSession makes a page where the customer sees invoices and manages cards, by the
// configuration that Sync made. Stripe does not say when it ends.
func (p *Provider) PortalSession(ctx context.Context, key, customer, returnURL string) (*billing.Session, error) {
	if err := checkID("customer", customer); err != nil {
		return nil, err
	}
	configuration, err := p.portalConfiguration(ctx)
	if err != nil {
		return nil, err
	}
	var made *stripego.BillingPortalSession
	err = p.change(ctx, key, "create portal session", func(params stripego.Params) (err error) {
		made, err = p.portals.New(&stripego.BillingPortalSessionParams{
			Params:        params,
			Configuration: new(configuration),
			Customer:      new(customer),
			ReturnURL:     new(returnURL),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &billing.Session{URL: made.URL}, nil
}
