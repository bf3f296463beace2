package stripetest

import "time"

// The statuses of a subscription (https://docs.stripe.com/billing/subscriptions/overview).
const (
	statusIncomplete        = "incomplete"
	statusIncompleteExpired = "incomplete_expired"
	statusActive            = "active"
	statusPastDue           = "past_due"
	statusUnpaid            = "unpaid"
	statusCanceled          = "canceled"
)

// incompleteLife is how long the first invoice may stay unpaid, and a pending update.
const incompleteLife = 23 * time.Hour

// subscription bills its items in advance, at its anchor's day of each month.
type subscription struct {
	stamped
	customer, status, latest, defaultMethod, description string
	items                                                []*item
	months                                               int // Periods since the anchor.
	start, end                                           time.Time
	cancelAtEnd                                          bool
	canceled, ended                                      time.Time
	metadata                                             map[string]string
	pending                                              *pendingUpdate
	// waiting are prorations for the next invoice, of create_prorations.
	waiting []*line
}

// item is a price and how many of it.
type item struct {
	stamped
	price    string
	quantity int64
	metadata map[string]string
}

// pendingUpdate is a change that waits for its payment
// (https://docs.stripe.com/billing/subscriptions/pending-updates).
type pendingUpdate struct {
	expires time.Time
	items   []*item
	invoice string
}

// over says that nothing comes of it any more.
func (s *subscription) over() bool {
	return s.status == statusCanceled || s.status == statusIncompleteExpired
}

func itemByID(items []*item, id string) *item {
	for _, i := range items {
		if i.id == id {
			return i
		}
	}
	return nil
}

func (s *Server) subscriptionView(sub *subscription) object {
	v := object{
		"id": sub.id, "object": "subscription", "created": sub.created.Unix(), "customer": sub.customer, "status": sub.status,
		"billing_cycle_anchor": sub.created.Unix(), "start_date": sub.created.Unix(), "current_period_start": sub.start.Unix(),
		"current_period_end": sub.end.Unix(), "cancel_at_period_end": sub.cancelAtEnd, "cancel_at": nil,
		"canceled_at": unix(sub.canceled), "ended_at": unix(sub.ended), "collection_method": "charge_automatically",
		"currency": "usd", "default_payment_method": orNull(sub.defaultMethod), "default_source": nil, "days_until_due": nil,
		"description": orNull(sub.description), "items": inner("/v1/subscription_items?subscription="+sub.id, s.itemViews(sub, sub.items)),
		"latest_invoice": orNull(sub.latest), "livemode": false, "metadata": sub.metadata, "pending_update": nil, "schedule": nil,
		"pending_setup_intent": nil, "trial_start": nil, "trial_end": nil, "discount": nil, "pause_collection": nil,
		"automatic_tax":    object{"enabled": false},
		"payment_settings": object{"payment_method_types": nil, "payment_method_options": nil, "save_default_payment_method": "off"},
		"cancellation_details": object{
			"comment": nil, "feedback": nil, "reason": nil,
		},
	}
	if sub.cancelAtEnd {
		v["cancel_at"] = sub.end.Unix()
	}
	if p := sub.pending; p != nil {
		v["pending_update"] = object{
			"expires_at": p.expires.Unix(), "subscription_items": s.itemViews(sub, p.items), "billing_cycle_anchor": nil,
			"trial_end": nil, "trial_from_plan": nil,
		}
	}
	return v
}

func (s *Server) itemViews(sub *subscription, items []*item) []object {
	data := make([]object, 0, len(items))
	for _, i := range items {
		data = append(data, object{
			"id": i.id, "object": "subscription_item", "created": i.created.Unix(), "metadata": i.metadata,
			"price": s.prices[i.price].view(), "quantity": i.quantity, "subscription": sub.id, "tax_rates": []object{},
			"billing_thresholds": nil,
		})
	}
	return data
}

func (s *Server) findSubscription(id string) (*subscription, error) {
	sub := s.subscriptions[id]
	if sub == nil {
		return nil, missing("subscription", id, "id")
	}
	return sub, nil
}

// subscriptionsOf returns a customer's, newest first.
func (s *Server) subscriptionsOf(id string) []*subscription {
	var found []*subscription
	for _, sub := range s.subscriptions {
		if sub.customer == id {
			found = append(found, sub)
		}
	}
	newestFirst(found)
	return found
}

func (s *Server) updated(sub *subscription) {
	s.emit("customer.subscription.updated", s.subscriptionView(sub))
}

func getSubscription(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	sub, err := c.findSubscription(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return c.subscriptionView(sub), nil
}

// listSubscriptions leaves those that were canceled out, unless their status is asked for.
func listSubscriptions(c *call) (object, error) {
	page, customer, price := c.page(), c.text("customer"), c.text("price")
	status := c.oneOf("status", "", "active", "all", "canceled", "ended", "incomplete", "incomplete_expired", "past_due",
		"paused", "trialing", "unpaid")
	var found []*subscription
	for _, sub := range c.subscriptions {
		var fits bool
		switch status {
		case "":
			fits = sub.status != statusCanceled
		case "all":
			fits = true
		case "ended":
			fits = sub.over()
		default:
			fits = sub.status == status
		}
		for _, i := range sub.items {
			if i.price == price {
				price = ""
			}
		}
		if fits && price == "" && (customer == "" || sub.customer == customer) {
			found = append(found, sub)
		}
	}
	return list(c, page, found, c.subscriptionView)
}

// cancelSubscription ends one at once (https://docs.stripe.com/api/subscriptions/cancel). It
// bills nothing; an open invoice stays open, but is not collected any more.
func cancelSubscription(c *call) (object, error) {
	for _, key := range []string{"invoice_now", "prorate"} {
		if on, _ := c.flag(key); on {
			c.fail(key, "", "stripetest knows false only")
		}
	}
	if details := c.object("cancellation_details"); details != nil {
		details.text("comment")
		details.text("feedback")
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	sub, err := c.findSubscription(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if sub.over() {
		return nil, missing("subscription", sub.id, "id")
	}
	c.endSubscription(sub)
	return c.subscriptionView(sub), nil
}

// endSubscription ends a subscription now. One that was never paid for expires.
func (s *Server) endSubscription(sub *subscription) {
	first := sub.status == statusIncomplete
	sub.status, sub.canceled, sub.ended = statusCanceled, s.at, s.at
	if first {
		sub.status = statusIncompleteExpired
	}
	if sub.pending != nil {
		s.void(s.invoices[sub.pending.invoice])
	}
	for _, i := range s.invoicesOf(sub.id) {
		i.nextAttempt, i.finalizeAt, i.auto = time.Time{}, time.Time{}, false
		if first && i.status == invoiceOpen {
			s.void(i)
		}
	}
	s.emit("customer.subscription.deleted", s.subscriptionView(sub))
}
