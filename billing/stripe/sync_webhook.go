package stripe

import (
	"context"
	"slices"

	stripego "github.com/stripe/stripe-go/v76"
)

const endpointDisabled = "disabled"

// syncWebhook has Stripe send the events that matter to our address, in our API's version,
// from one endpoint. The version of an endpoint can't be changed: one of another version is
// disabled once there is one of ours, which signs with a secret of its own.
func (s *syncRun) syncWebhook(ctx context.Context) error {
	if s.webhookURL == "" {
		return nil
	}
	var current *stripego.WebhookEndpoint
	var others []*stripego.WebhookEndpoint
	err := s.list(ctx, "list webhook endpoints", maxList, func(list stripego.ListParams) error {
		found := s.webhooks.List(&stripego.WebhookEndpointListParams{ListParams: list})
		for found.Next() {
			switch one := found.WebhookEndpoint(); {
			case one.URL != s.webhookURL:
			case current == nil && one.APIVersion == APIVersion:
				current = one
			case one.Status != endpointDisabled:
				others = append(others, one)
			}
		}
		return found.Err()
	})
	if err != nil {
		return err
	}
	if err := s.setWebhook(ctx, current); err != nil {
		return err
	}
	for _, other := range others {
		detail := "version " + other.APIVersion
		switch other.APIVersion {
		case "":
			detail = "version of the account"
		case APIVersion:
			detail = "twice"
		}
		err := s.apply(Change{"-", "webhook", s.webhookURL, detail}, func() error {
			return s.converge(ctx, "disable webhook endpoint", func(params stripego.Params) error {
				_, err := s.webhooks.Update(other.ID, &stripego.WebhookEndpointParams{Params: params, Disabled: new(true)})
				return err
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// setWebhook makes the endpoint where there is none, and has it send what it should.
func (s *syncRun) setWebhook(ctx context.Context, current *stripego.WebhookEndpoint) error {
	events := EventTypes()
	if current == nil {
		return s.apply(Change{"+", "webhook", s.webhookURL, ""}, func() error {
			return s.converge(ctx, "create webhook endpoint", func(params stripego.Params) error {
				made, err := s.webhooks.New(&stripego.WebhookEndpointParams{
					Params: params, URL: new(s.webhookURL), EnabledEvents: stripego.StringSlice(events),
					APIVersion: new(APIVersion),
				})
				if err == nil {
					s.diff.WebhookSecret = Secret(made.Secret)
				}
				return err
			})
		})
	}
	has := slices.Sorted(slices.Values(current.EnabledEvents))
	if slices.Equal(has, events) && current.Status != endpointDisabled {
		return nil
	}
	return s.apply(Change{"~", "webhook", s.webhookURL, "events"}, func() error {
		return s.converge(ctx, "update webhook endpoint", func(params stripego.Params) error {
			_, err := s.webhooks.Update(current.ID, &stripego.WebhookEndpointParams{
				Params: params, EnabledEvents: stripego.StringSlice(events), Disabled: new(false),
			})
			return err
		})
	})
}
