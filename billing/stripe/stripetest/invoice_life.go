package stripetest

import "time"

// minimumCharge is the least that a card is charged: less is kept on the customer's balance
// for a later invoice (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).
const minimumCharge = 50

// finalize fixes an invoice: its number, what of the balance it takes, and its payment
// intent. One that asks for nothing is paid at once.
func (s *Server) finalize(i *invoice) {
	cus := s.customers[i.customer]
	i.status, i.finalized, i.finalizeAt = invoiceOpen, s.at, time.Time{}
	i.number = s.nextNumber(i)
	i.starting = cus.balance
	i.due, i.ending = applyBalance(i.total(), cus.balance)
	if i.ending != i.starting {
		s.adjust(cus, i.ending-i.starting, "applied_to_invoice", i.id, "")
	}
	if i.due > 0 {
		s.newIntent(i)
	}
	s.emit("invoice.finalized", s.invoiceView(i))
	if i.due == 0 {
		s.settle(i)
	}
}

// applyBalance says what is due of an invoice, and the balance after it.
func applyBalance(total, balance int64) (due, ending int64) {
	both := total + balance
	if both < minimumCharge {
		return 0, both
	}
	return both, 0
}

// settle makes an invoice paid, and does what it was to pay for.
func (s *Server) settle(i *invoice) {
	i.status, i.paid, i.paidAt = invoicePaid, i.due, s.at
	i.nextAttempt, i.attempted, i.auto = time.Time{}, true, false
	s.emit("invoice.paid", s.invoiceView(i))
	s.emit("invoice.payment_succeeded", s.invoiceView(i))
	sub := s.subscriptions[i.subscription]
	if sub == nil || sub.over() {
		return
	}
	if sub.pending != nil && sub.pending.invoice == i.id {
		sub.items, sub.pending = sub.pending.items, nil
		s.updated(sub)
		s.emit("customer.subscription.pending_update_applied", s.subscriptionView(sub))
	}
	if sub.status == statusIncomplete {
		sub.status = statusActive
		s.updated(sub)
	}
	s.recover(sub)
}

// recover makes a subscription active again whose newest invoice, among those that ask for
// something, is paid or given up.
func (s *Server) recover(sub *subscription) {
	if sub.status != statusPastDue && sub.status != statusUnpaid {
		return
	}
	for _, i := range s.invoicesOf(sub.id) {
		switch {
		case i.status == invoiceDraft || i.status == invoiceVoid || i.pending && i.status == invoiceOpen:
			continue
		case i.status == invoiceOpen:
			return
		}
		sub.status = statusActive
		s.updated(sub)
		return
	}
}

// void takes an open or given up invoice back. What it took of the balance goes back, a
// pending update that it was for is dropped, and a first invoice ends its subscription
// (https://docs.stripe.com/api/invoices/void).
func (s *Server) void(i *invoice) {
	i.status, i.voided, i.nextAttempt, i.auto = invoiceVoid, s.at, time.Time{}, false
	if i.ending != i.starting {
		s.adjust(s.customers[i.customer], i.starting-i.ending, "unapplied_from_invoice", i.id, "")
	}
	s.cancelIntent(i)
	s.emit("invoice.voided", s.invoiceView(i))
	sub := s.subscriptions[i.subscription]
	if sub == nil {
		return
	}
	if sub.pending != nil && sub.pending.invoice == i.id {
		sub.pending = nil
		s.updated(sub)
		s.emit("customer.subscription.pending_update_expired", s.subscriptionView(sub))
	}
	if sub.status == statusIncomplete {
		sub.status, sub.ended = statusIncompleteExpired, s.at
		s.updated(sub)
	}
	s.recover(sub)
}

func finalizeInvoice(c *call) (object, error) {
	auto, given := c.flag("auto_advance")
	if err := c.end(); err != nil {
		return nil, err
	}
	i, err := c.findInvoice(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if i.status != invoiceDraft {
		return nil, invalid("", "This invoice is already finalized, you can't re-finalize a non-draft invoice.").withCode("invoice_not_editable")
	}
	c.finalize(i)
	if given {
		i.auto = auto
	}
	return c.invoiceView(i), nil
}

func voidInvoice(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	i, err := c.findInvoice(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if i.status != invoiceOpen && i.status != invoiceUncollectible {
		return nil, invalid("", "You can only pass in open invoices. This invoice isn't open.")
	}
	c.void(i)
	return c.invoiceView(i), nil
}

// markUncollectible gives an invoice up; the subscription is active again where it was the
// newest (https://docs.stripe.com/api/invoices/mark_uncollectible).
func markUncollectible(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	i, err := c.findInvoice(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if i.status != invoiceOpen {
		return nil, invalid("", "You can only mark open invoices as uncollectible. This invoice isn't open.")
	}
	i.status, i.givenUp, i.nextAttempt, i.auto = invoiceUncollectible, c.at, time.Time{}, false
	c.emit("invoice.marked_uncollectible", c.invoiceView(i))
	if sub := c.subscriptions[i.subscription]; sub != nil {
		c.recover(sub)
	}
	return c.invoiceView(i), nil
}
