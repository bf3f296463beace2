package stripe

import (
	"context"
	"errors"
	"fmt"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

// latestInvoice is what answers with a subscription are expanded by: its newest invoice, and
// what became of the payment.
const latestInvoice = "latest_invoice.payment_intent"

// maxSubscriptions is how many live subscriptions of a customer are returned.
const maxSubscriptions = 10

// CreateSubscription makes the account's subscription. default_incomplete makes its first
// invoice and does not charge; only cards are taken, since pending updates, which upgrades
// are, don't go with bank debits.
func (p *Provider) CreateSubscription(ctx context.Context, key string, s billing.SubscriptionRequest) (*billing.Subscription, error) {
	prices, err := p.todaysPrices(ctx)
	if err != nil {
		return nil, err
	}
	list, err := changes(nil, s.Quantities, prices, true)
	if err != nil {
		return nil, err
	}
	var made *stripego.Subscription
	err = p.change(ctx, key, "create subscription", func(params stripego.Params) (err error) {
		made, err = p.subscriptions.New(&stripego.SubscriptionParams{
			Params:           params,
			Customer:         new(s.Customer),
			Items:            itemParams(list),
			CollectionMethod: new(string(stripego.SubscriptionCollectionMethodChargeAutomatically)),
			PaymentBehavior:  new("default_incomplete"),
			PaymentSettings: &stripego.SubscriptionPaymentSettingsParams{
				PaymentMethodTypes: stripego.StringSlice([]string{"card"}),
			},
			Metadata: map[string]string{accountKey: s.Account},
			Expand:   expand(latestInvoice),
		})
		return err
	})
	return answered(made, err)
}

func answered(s *stripego.Subscription, err error) (*billing.Subscription, error) {
	if err != nil {
		return nil, err
	}
	return asSubscription(s), nil
}

// Subscription returns a subscription.
func (p *Provider) Subscription(ctx context.Context, subscription string) (*billing.Subscription, error) {
	return answered(p.subscription(ctx, subscription))
}

func (p *Provider) subscription(ctx context.Context, id string) (*stripego.Subscription, error) {
	if err := checkID("subscription", id); err != nil {
		return nil, err
	}
	var found *stripego.Subscription
	err := p.read(ctx, "get subscription", func(params stripego.Params) (err error) {
		found, err = p.subscriptions.Get(id, &stripego.SubscriptionParams{Params: params, Expand: expand(latestInvoice)})
		return err
	})
	return found, err
}

// CustomerSubscriptions returns the customer's subscriptions that are not over.
func (p *Provider) CustomerSubscriptions(ctx context.Context, customer string) ([]*billing.Subscription, error) {
	if err := checkID("customer", customer); err != nil {
		return nil, err
	}
	var live []*billing.Subscription
	err := p.list(ctx, "list subscriptions", maxList, func(list stripego.ListParams) error {
		// Without a status Stripe leaves out those that are canceled, not those that expired.
		found := p.subscriptions.List(&stripego.SubscriptionListParams{
			ListParams: list, Customer: new(customer), Expand: expand("data." + latestInvoice),
		})
		for found.Next() {
			one := asSubscription(found.Subscription())
			if !one.Status.Over() && len(live) < maxSubscriptions {
				live = append(live, one)
			}
		}
		return found.Err()
	})
	if err != nil {
		return nil, err
	}
	return live, nil
}

// SetQuantities changes what the next renewal bills. Nothing is charged or given back.
func (p *Provider) SetQuantities(ctx context.Context, key, subscription string, quantities billing.Quantities) (*billing.Subscription, error) {
	now, list, err := p.toDo(ctx, subscription, quantities, true)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return asSubscription(now), nil
	}
	return p.update(ctx, key, "set quantities", subscription, &stripego.SubscriptionParams{
		Items:             itemParams(list),
		ProrationBehavior: new("none"),
	})
}

// SetCancelAtPeriodEnd lets the subscription end with its period, or takes that back.
func (p *Provider) SetCancelAtPeriodEnd(ctx context.Context, key, subscription string, cancel bool) (*billing.Subscription, error) {
	return p.update(ctx, key, "set cancel at period end", subscription, &stripego.SubscriptionParams{
		CancelAtPeriodEnd: new(cancel),
	})
}

// CancelSubscription ends a subscription at once. One that is over is no error, whoever
// ended it.
func (p *Provider) CancelSubscription(ctx context.Context, key, subscription string) (*billing.Subscription, error) {
	if err := checkID("subscription", subscription); err != nil {
		return nil, err
	}
	var over *stripego.Subscription
	err := p.change(ctx, key, "cancel subscription", func(params stripego.Params) (err error) {
		over, err = p.subscriptions.Cancel(subscription, &stripego.SubscriptionCancelParams{
			Params: params, InvoiceNow: new(false), Prorate: new(false), Expand: expand(latestInvoice),
		})
		return err
	})
	if errors.Is(err, billing.ErrNotFound) || errors.Is(err, billing.ErrRefused) {
		// Stripe says of a subscription that is over that there is none to cancel.
		if now, err := p.Subscription(ctx, subscription); err == nil && now.Status.Over() {
			return now, nil
		}
	}
	return answered(over, err)
}

// update changes a subscription; what is common to all changes is added to params.
func (p *Provider) update(
	ctx context.Context, key, operation, id string, params *stripego.SubscriptionParams,
) (*billing.Subscription, error) {
	if err := checkID("subscription", id); err != nil {
		return nil, err
	}
	var changed *stripego.Subscription
	err := p.change(ctx, key, operation, func(common stripego.Params) (err error) {
		params.Params, params.Expand = common, expand(latestInvoice)
		changed, err = p.subscriptions.Update(id, params)
		return err
	})
	return answered(changed, err)
}

// toDo reads a subscription and finds what must change in its items. After a change whose
// answer was lost there is nothing left to do, also where it is pending.
func (p *Provider) toDo(
	ctx context.Context, id string, want billing.Quantities, mayDelete bool,
) (*stripego.Subscription, []change, error) {
	prices, err := p.todaysPrices(ctx)
	if err != nil {
		return nil, nil, err
	}
	now, err := p.subscription(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if now.Items != nil && now.Items.HasMore {
		return nil, nil, fmt.Errorf("%w: subscription %s has more items than there are plans", billing.ErrRefused, id)
	}
	if now.PendingUpdate != nil && !mayDelete {
		list, err := changes(overlaid(items(now), now.PendingUpdate.SubscriptionItems), want, prices, mayDelete)
		if err == nil && len(list) == 0 {
			return now, nil, nil // It waits for its payment.
		}
	}
	list, err := changes(items(now), want, prices, mayDelete)
	return now, list, err
}
