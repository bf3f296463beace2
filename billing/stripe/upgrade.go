package stripe

import (
	"context"
	"time"

	stripego "github.com/stripe/stripe-go/v76"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// Upgrade changes quantities, charges the rest of the period, and lets the change hold once
// that is paid. A pending update takes items' prices and quantities, proration and payment
// behavior, the proration date, and nothing else that is needed here
// (https://docs.stripe.com/billing/subscriptions/pending-updates-reference): metadata,
// cancel_at_period_end and items' deleted are refused.
//
// An upgrade that is at Stripe already, paid or pending, is not sent again.
func (p *Provider) Upgrade(ctx context.Context, key string, u billing.UpgradeRequest) (*billing.Subscription, error) {
	now, list, err := p.toDo(ctx, u.Subscription, u.Quantities, false)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return asSubscription(now), nil
	}
	return p.update(ctx, key, "upgrade", u.Subscription, &stripego.SubscriptionParams{
		Items:             itemParams(list),
		ProrationBehavior: new("always_invoice"),
		ProrationDate:     new(u.ProrationTime.Unix()),
		PaymentBehavior:   new("pending_if_incomplete"),
	})
}

// Preview says what an upgrade would charge at once. Only its own prorations count, those
// that begin at the proration time, as Stripe's reference advises: what else an upcoming
// invoice may show is billed at the renewal. Discounts and tax are not in it.
func (p *Provider) Preview(ctx context.Context, u billing.UpgradeRequest) (*billing.Invoice, error) {
	now, list, err := p.toDo(ctx, u.Subscription, u.Quantities, false)
	if err != nil {
		return nil, err
	}
	out := &billing.Invoice{
		Subscription: now.ID,
		Reason:       billing.ReasonUpdate,
		State:        breakwaterv1.Invoice_DRAFT,
		Created:      u.ProrationTime.UTC().Truncate(time.Second),
	}
	if now.Customer != nil {
		out.Customer = now.Customer.ID
	}
	if len(list) == 0 {
		return out, nil
	}
	var upcoming *stripego.Invoice
	err = p.read(ctx, "preview", func(params stripego.Params) (err error) {
		upcoming, err = p.invoices.Upcoming(&stripego.InvoiceUpcomingParams{
			Params:                        params,
			Subscription:                  new(u.Subscription),
			SubscriptionItems:             itemParams(list),
			SubscriptionProrationBehavior: new("always_invoice"),
			SubscriptionProrationDate:     new(u.ProrationTime.Unix()),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	if upcoming.Lines == nil {
		return out, nil
	}
	for _, line := range asLines(upcoming.Lines.Data) {
		if line.Proration && line.PeriodStart.Unix() == u.ProrationTime.Unix() {
			out.Lines = append(out.Lines, line)
			out.Subtotal += line.Amount
		}
	}
	out.Total, out.AmountDue, out.AmountRemaining = out.Subtotal, out.Subtotal, out.Subtotal
	return out, nil
}
