package stripe

import (
	"context"
	"errors"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

// sessionKey is the metadata of a customer that names the setup session whose card was made
// the default last.
const sessionKey = "breakwater_setup_session"

// sessionsLooked bounds how many of a customer's newest sessions are looked at; sessions
// that were left without a card count too.
const sessionsLooked = 20

// adoptCard makes the card of the newest completed setup session the one that is charged,
// once: a session in setup mode attaches its card and leaves the default alone
// (https://docs.stripe.com/payments/save-and-reuse?platform=checkout). The session's ID stays
// in the customer's metadata, so that a card which the customer chooses in the portal later
// on stays chosen, and so that this may run any number of times, from several replicas.
func (p *Provider) adoptCard(ctx context.Context, c *stripego.Customer) (*stripego.Customer, error) {
	session, err := p.completedSession(ctx, c.ID)
	if err != nil || session == nil || session.ID == c.Metadata[sessionKey] {
		return c, err
	}
	card := session.SetupIntent.PaymentMethod
	if card.Customer == nil || card.Customer.ID != c.ID {
		return c, nil // It was detached since.
	}
	changed, err := p.setDefaultCard(ctx, "bw-card-"+session.ID, c.ID, card.ID, session.ID)
	if errors.Is(err, billing.ErrSpent) {
		changed, err = p.setDefaultCard(ctx, "bw-card-again-"+session.ID, c.ID, card.ID, session.ID)
	}
	var declined *billing.PaymentError
	switch {
	case err == nil:
		return changed, nil
	case errors.Is(err, billing.ErrRefused), errors.Is(err, billing.ErrNotFound), errors.As(err, &declined):
		// The card is of no use. The customer is as it was, and that is the answer.
		return c, nil
	default:
		return nil, err
	}
}

func (p *Provider) setDefaultCard(ctx context.Context, key, customer, card, session string) (changed *stripego.Customer, err error) {
	err = p.change(ctx, key, "adopt card", func(params stripego.Params) (err error) {
		changed, err = p.customers.Update(customer, &stripego.CustomerParams{
			Params:          params,
			InvoiceSettings: &stripego.CustomerInvoiceSettingsParams{DefaultPaymentMethod: new(card)},
			Metadata:        map[string]string{sessionKey: session},
			Expand:          expand(defaultCard, taxIDs),
		})
		return err
	})
	return changed, err
}

// completedSession returns the newest session in which a customer entered a card; nil where
// there is none. Stripe lists the newest first.
func (p *Provider) completedSession(ctx context.Context, customer string) (*stripego.CheckoutSession, error) {
	var newest *stripego.CheckoutSession
	err := p.list(ctx, "list checkout sessions", sessionsLooked, func(list stripego.ListParams) error {
		found := p.checkouts.List(&stripego.CheckoutSessionListParams{
			ListParams: list, Customer: new(customer), Expand: expand("data.setup_intent.payment_method"),
		})
		for found.Next() {
			s := found.CheckoutSession()
			if newest == nil && s.Mode == stripego.CheckoutSessionModeSetup && s.Status == stripego.CheckoutSessionStatusComplete &&
				s.SetupIntent != nil && s.SetupIntent.PaymentMethod != nil {
				newest = s
			}
		}
		return found.Err()
	})
	return newest, err
}
