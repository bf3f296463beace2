package stripetest

import "net/http"

// upcomingInvoice previews an invoice (https://docs.stripe.com/api/invoices/upcoming): that
// of the next renewal; with changed items and always_invoice the one that the change makes
// at once; with create_prorations the renewal with the prorations.
func upcomingInvoice(c *call) (object, error) {
	customerID, subscriptionID := c.text("customer"), c.text("subscription")
	changes := c.readItems("subscription_items")
	behaviour := c.oneOf("subscription_proration_behavior", createProrations, createProrations, alwaysInvoice, noProration)
	at, dated := c.instant("subscription_proration_date")
	cancel, canceled := c.flag("subscription_cancel_at_period_end")
	if err := c.end(); err != nil {
		return nil, err
	}
	sub, err := c.upcomingOf(customerID, subscriptionID)
	if err != nil {
		return nil, err
	}
	if !canceled {
		cancel = sub.cancelAtEnd
	}
	if !dated {
		at = c.at
	}
	if at.Before(sub.start) || at.After(sub.end) {
		return nil, invalid("subscription_proration_date", "Cannot specify proration date outside of current subscription period")
	}
	after, err := c.changeItems(sub, changes)
	if err != nil {
		return nil, err
	}
	var lines []*line
	for _, l := range sub.waiting {
		copied := *l
		lines = append(lines, &copied)
	}
	isChange := changed(sub.items, after)
	if isChange && behaviour != noProration {
		lines = append(c.prorate(sub, after, at), lines...)
	}
	reason, date := "subscription_update", c.at
	if !isChange || behaviour != alwaysInvoice {
		if cancel {
			return nil, noUpcoming(sub.customer)
		}
		reason, date = "upcoming", sub.end
		lines = append(lines, c.cycle(sub, after, sub.end, addMonths(sub.created, sub.months+1))...)
	}
	return c.previewView(sub, reason, lines, date.Unix()), nil
}

func (c *call) upcomingOf(customerID, subscriptionID string) (*subscription, error) {
	if subscriptionID == "" {
		if customerID == "" {
			return nil, invalid("", "You must specify a customer or a subscription.")
		}
		if _, err := c.findCustomer(customerID, "customer"); err != nil {
			return nil, err
		}
		for _, sub := range c.subscriptionsOf(customerID) {
			if !sub.over() && sub.status != statusIncomplete {
				return sub, nil
			}
		}
		return nil, noUpcoming(customerID)
	}
	sub, err := c.findSubscription(subscriptionID)
	if err != nil {
		return nil, err
	}
	if customerID != "" && sub.customer != customerID {
		return nil, missing("subscription", sub.id, "subscription")
	}
	if sub.over() {
		return nil, noUpcoming(sub.customer)
	}
	return sub, nil
}

func noUpcoming(customer string) *apiError {
	return &apiError{
		status: http.StatusNotFound, kind: "invalid_request_error", code: "invoice_upcoming_none",
		words: "No upcoming invoices for customer: " + customer,
	}
}

// previewView is an invoice that does not exist: it has no ID, and no intent.
func (c *call) previewView(sub *subscription, reason string, lines []*line, date int64) object {
	cus := c.customers[sub.customer]
	preview := &invoice{
		stamped: stamped{"", c.at}, customer: sub.customer, subscription: sub.id, reason: reason, status: invoiceDraft,
		lines: lines, starting: cus.balance, start: sub.start, end: sub.end,
	}
	for n, l := range lines {
		if l.id == "" {
			l.id = "il_tmp_" + decimal(int64(n+1))
		}
	}
	v := c.invoiceView(preview)
	delete(v, "id")
	due, ending := applyBalance(preview.total(), cus.balance)
	v["amount_due"], v["amount_remaining"], v["ending_balance"] = due, due, ending
	v["created"], v["next_payment_attempt"] = date, date
	v["lines"] = inner("/v1/invoices/upcoming/lines", c.lineViews(lines))
	return v
}
