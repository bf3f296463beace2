package stripetest

import "net/http"

// maxItems is how many items a subscription has at most.
const maxItems = 20

// createSubscription makes one that is anchored now
// (https://docs.stripe.com/api/subscriptions/create).
func createSubscription(c *call) (object, error) {
	customerID := c.need("customer")
	changes := c.readItems("items")
	if len(changes) == 0 {
		c.fail("items", "parameter_missing", "Missing required param: items.")
	}
	behaviour := c.oneOf("payment_behavior", allowIncomplete, allowIncomplete, defaultIncomplete, errorIfIncomplete, pendingIfIncomplete)
	if behaviour == pendingIfIncomplete {
		c.fail("payment_behavior", "", "`pending_if_incomplete` cannot be used when creating a subscription.")
	}
	c.oneOf("proration_behavior", "create_prorations", "create_prorations", "none", "always_invoice")
	c.oneOf("collection_method", "charge_automatically", "charge_automatically")
	c.oneOf("currency", "usd", "usd")
	cancelAtEnd, _ := c.flag("cancel_at_period_end")
	metadata, description, method := c.merge("metadata", nil), c.text("description"), c.text("default_payment_method")
	c.readPaymentSettings()
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(customerID, "customer")
	if err != nil {
		return nil, err
	}
	sub := &subscription{
		customer: cus.id, status: statusIncomplete, start: c.at, end: addMonths(c.at, 1), months: 1,
		cancelAtEnd: cancelAtEnd, metadata: metadata, description: description,
	}
	if sub.items, err = c.changeItems(sub, changes); err != nil {
		return nil, err
	}
	if method != "" {
		if m := c.methods[method]; m == nil || m.customer != cus.id {
			return nil, missing("PaymentMethod", method, "default_payment_method")
		}
		sub.defaultMethod = method
	}
	if behaviour != defaultIncomplete && cus.defaultMethod == "" && method == "" {
		return nil, noMethod()
	}
	if behaviour == errorIfIncomplete {
		if e, action := c.wouldPay(cus, sub); e != nil || action {
			return nil, incompleteError(e)
		}
	}
	sub.stamped = stamped{c.newID("sub"), c.at}
	c.nameItems(sub.items)
	c.subscriptions[sub.id] = sub
	c.emit("customer.subscription.created", c.subscriptionView(sub))
	first := c.newInvoice(sub, "subscription_create", c.cycle(sub, sub.items, sub.start, sub.end))
	c.finalize(first)
	if behaviour != defaultIncomplete && first.status == invoiceOpen {
		c.collect(first)
	}
	return c.subscriptionView(sub), nil
}

// readPaymentSettings reads what changes nothing here: cards are all there is.
func (c *call) readPaymentSettings() {
	c.flag("off_session")
	if tax := c.object("automatic_tax"); tax != nil {
		if on, _ := tax.flag("enabled"); on {
			tax.fail("enabled", "", "stripetest knows no taxes")
		}
	}
	if settings := c.object("payment_settings"); settings != nil {
		settings.texts("payment_method_types")
		settings.oneOf("save_default_payment_method", "off", "off", "on_subscription")
	}
}

func noMethod() *apiError {
	return invalid("", "This customer has no attached payment source or default payment method. Please consider adding a default payment method.").
		withCode("resource_missing")
}

// incompleteError is what error_if_incomplete answers.
func incompleteError(e *apiError) *apiError {
	if e != nil {
		return e
	}
	return &apiError{
		status: http.StatusPaymentRequired, kind: "card_error", code: "subscription_payment_intent_requires_action",
		words: "Subscription creation failed because the payment requires additional user action before it can be completed.",
	}
}
