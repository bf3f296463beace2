package stripetest

import (
	"regexp"
	"slices"
	"time"
)

// How a change of items is paid for
// (https://docs.stripe.com/api/subscriptions/update#update_subscription-payment_behavior).
const (
	allowIncomplete     = "allow_incomplete"
	defaultIncomplete   = "default_incomplete"
	errorIfIncomplete   = "error_if_incomplete"
	pendingIfIncomplete = "pending_if_incomplete"
)

// How the rest of the period is billed.
const (
	createProrations = "create_prorations"
	alwaysInvoice    = "always_invoice"
	noProration      = "none"
)

// update is what a request says of a subscription.
type update struct {
	changes              []itemChange
	payment, proration   string
	from                 time.Time // Of the proration; zero for now.
	cancel, cancelGiven  bool
	method, description  string
	methodGiven, setText bool
	metadata             func(map[string]string) map[string]string
}

// pendingMay are the parameters that a pending update may have
// (https://docs.stripe.com/billing/subscriptions/pending-updates#supported-attributes).
var pendingMay = regexp.MustCompile(
	`^(expand\[\d+\]|payment_behavior|proration_behavior|proration_date|items\[\d+\]\[(id|price|quantity)\])$`)

func (c *call) readUpdate() update {
	u := update{changes: c.readItems("items")}
	u.payment = c.oneOf("payment_behavior", allowIncomplete, allowIncomplete, defaultIncomplete, errorIfIncomplete, pendingIfIncomplete)
	u.proration = c.oneOf("proration_behavior", createProrations, createProrations, alwaysInvoice, noProration)
	u.from, _ = c.instant("proration_date")
	u.cancel, u.cancelGiven = c.flag("cancel_at_period_end")
	u.method, u.methodGiven = c.str("default_payment_method")
	u.description, u.setText = c.str("description")
	c.oneOf("billing_cycle_anchor", "unchanged", "unchanged")
	c.readPaymentSettings()
	if p := c.params; p.has("metadata") {
		p.merge("metadata", nil)
		u.metadata = func(into map[string]string) map[string]string { return p.merge("metadata", into) }
	}
	if u.payment == pendingIfIncomplete {
		for _, name := range c.leaves() {
			if !pendingMay.MatchString(name) {
				c.fail(name, "", "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass supported params. `"+
					name+"` is not supported.")
			}
		}
	}
	return u
}

// updateSubscription changes one (https://docs.stripe.com/api/subscriptions/update).
func updateSubscription(c *call) (object, error) {
	u := c.readUpdate()
	if err := c.end(); err != nil {
		return nil, err
	}
	sub, err := c.findSubscription(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	after, err := c.checkUpdate(sub, u)
	if err != nil {
		return nil, err
	}
	if changed(sub.items, after) {
		if err := c.changeTo(sub, after, u); err != nil {
			return nil, err
		}
	} else {
		sub.items = after // Metadata may differ.
	}
	c.applyRest(sub, u)
	c.updated(sub)
	return c.subscriptionView(sub), nil
}

// checkUpdate returns the items after an update, or why it is refused.
func (c *call) checkUpdate(sub *subscription, u update) ([]*item, error) {
	if sub.over() {
		return nil, invalid("", "A canceled subscription can only update its cancellation_details and metadata.")
	}
	if sub.status == statusIncomplete && (len(u.changes) > 0 || u.cancelGiven && u.cancel) {
		return nil, invalid("", "This subscription is incomplete: it can't be changed until its first invoice is paid.")
	}
	if u.methodGiven && u.method != "" {
		if m := c.methods[u.method]; m == nil || m.customer != sub.customer {
			return nil, missing("PaymentMethod", u.method, "default_payment_method")
		}
	}
	if !u.from.IsZero() && (u.from.Before(sub.start) || u.from.After(sub.end)) {
		return nil, invalid("proration_date", "Cannot specify proration date outside of current subscription period")
	}
	return c.changeItems(sub, u.changes)
}

func (c *call) applyRest(sub *subscription, u update) {
	if u.cancelGiven && u.cancel != sub.cancelAtEnd {
		sub.cancelAtEnd, sub.canceled = u.cancel, time.Time{}
		if u.cancel {
			sub.canceled = c.at
		}
	}
	if u.methodGiven {
		sub.defaultMethod = u.method
	}
	if u.setText {
		sub.description = u.description
	}
	if u.metadata != nil {
		sub.metadata = u.metadata(sub.metadata)
	}
}

func changed(before, after []*item) bool {
	return !slices.EqualFunc(before, after, func(a, b *item) bool {
		return a.id == b.id && a.price == b.price && a.quantity == b.quantity
	})
}

// changeTo changes the items and bills it as asked.
func (c *call) changeTo(sub *subscription, after []*item, u update) error {
	at := u.from
	if at.IsZero() {
		at = c.at
	}
	c.nameItems(after)
	var lines []*line
	if u.proration != noProration {
		lines = c.prorate(sub, after, at)
	}
	if len(lines) == 0 || u.proration == createProrations {
		c.discardPending(sub)
		sub.items = after
		sub.waiting = append(sub.waiting, lines...)
		return nil
	}
	cus := c.customers[sub.customer]
	if due := sum(lines) + cus.balance; u.payment != defaultIncomplete && due >= minimumCharge && c.methodFor(sub) == nil {
		return noMethod()
	} else if u.payment == errorIfIncomplete && due >= minimumCharge {
		if e, action := c.methodFor(sub).decline(c.at); e != nil || action {
			return incompleteError(e)
		}
	}
	c.discardPending(sub)
	i := c.newInvoice(sub, "subscription_update", append(lines, sub.waiting...))
	sub.waiting = nil
	if u.payment != pendingIfIncomplete {
		sub.items = after
	} else {
		// The update is what paying the invoice does, at once where it succeeds at once.
		sub.pending = &pendingUpdate{expires: c.at.Add(incompleteLife), items: after, invoice: i.id}
		if sub.end.Before(sub.pending.expires) {
			sub.pending.expires = sub.end
		}
		i.pending = true
	}
	c.finalize(i)
	if i.status == invoiceOpen && u.payment != defaultIncomplete {
		c.collect(i)
	}
	return nil
}

// discardPending voids what a pending update waits for: another change replaces it
// (https://docs.stripe.com/billing/subscriptions/pending-updates#canceling-changing).
func (s *Server) discardPending(sub *subscription) {
	if sub.pending != nil {
		s.void(s.invoices[sub.pending.invoice])
	}
}
