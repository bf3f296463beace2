package stripetest

import (
	"net/http"
	"time"
)

// Charge is money that was taken from a card.
type Charge struct {
	Customer, Invoice string
	Amount            int64
	Time              time.Time
}

// methodFor is the card that a subscription's invoices are charged to; nil for none.
func (s *Server) methodFor(sub *subscription) *paymentMethod {
	id := sub.defaultMethod
	if id == "" {
		id = s.customers[sub.customer].defaultMethod
	}
	return s.methods[id]
}

// attempt charges the card for an open invoice once. The error is what the API answers.
func (s *Server) attempt(i *invoice) *apiError {
	p := s.intents[i.intent]
	m := s.methodFor(s.subscriptions[i.subscription])
	i.attempted = true
	if m == nil {
		e := noMethod()
		p.method, p.status = "", intentNeedsMethod
		s.emit("invoice.payment_failed", s.invoiceView(i))
		return e
	}
	if p.status == intentNeedsAction && p.method == m.id && m.card.Behaviour == RequireAction {
		return s.actionNeeded(p) // It still waits, with the same secret.
	}
	p.method, p.failure = m.id, nil
	e, action := m.decline(s.at)
	switch {
	case e != nil:
		p.status, p.failure, p.declined = intentNeedsMethod, e, m
		s.emit("payment_intent.payment_failed", p.view())
		s.emit("invoice.payment_failed", s.invoiceView(i))
		answer := *e
		answer.intent = p.view()
		return &answer
	case action:
		p.status = intentNeedsAction
		s.emit("payment_intent.requires_action", p.view())
		s.emit("invoice.payment_action_required", s.invoiceView(i))
		return s.actionNeeded(p)
	default:
		s.succeed(i, p)
		return nil
	}
}

func (s *Server) actionNeeded(p *paymentIntent) *apiError {
	return &apiError{
		status: http.StatusPaymentRequired, kind: "card_error", code: "invoice_payment_intent_requires_action", intent: p.view(),
		words: "This payment requires additional user action before it can be completed successfully. " +
			"Payment can be completed using the PaymentIntent associated with the invoice.",
	}
}

func (s *Server) succeed(i *invoice, p *paymentIntent) {
	p.status, p.failure = intentSucceeded, nil
	s.charges = append(s.charges, Charge{Customer: i.customer, Invoice: i.id, Amount: i.due, Time: s.at})
	s.emit("payment_intent.succeeded", p.view())
	s.settle(i)
}

// collect is an attempt of Stripe's own, with what follows from its failure: the next one by
// the schedule, and the subscription past due, then what the settings say
// (https://docs.stripe.com/invoicing/automatic-collection). Invoices of pending updates and
// first invoices are tried once.
func (s *Server) collect(i *invoice) {
	i.attempts++
	i.nextAttempt = time.Time{}
	if s.attempt(i) == nil {
		return
	}
	sub := s.subscriptions[i.subscription]
	if sub.over() || i.pending || sub.status == statusIncomplete {
		return
	}
	if i.attempts <= len(s.config.Retries) {
		i.nextAttempt, i.auto = s.at.Add(s.config.Retries[i.attempts-1]), true
		s.setStatus(sub, statusPastDue)
		return
	}
	i.auto = false
	if s.config.AfterRetries == statusCanceled {
		s.endSubscription(sub)
		return
	}
	s.setStatus(sub, s.config.AfterRetries)
}

func (s *Server) setStatus(sub *subscription, status string) {
	if sub.status != status && (sub.status != statusUnpaid || status != statusPastDue) {
		sub.status = status
		s.updated(sub)
	}
}

// wouldPay says what the card answers to a new subscription.
func (s *Server) wouldPay(cus *customer, sub *subscription) (e *apiError, action bool) {
	if due, _ := applyBalance(sum(s.cycle(sub, sub.items, sub.start, sub.end)), cus.balance); due == 0 {
		return nil, false
	}
	m := s.methodFor(sub)
	if m == nil {
		return noMethod(), false
	}
	return m.decline(s.at)
}

// payInvoice charges for an invoice now (https://docs.stripe.com/api/invoices/pay). It
// changes nothing about Stripe's own attempts.
func payInvoice(c *call) (object, error) {
	c.flag("off_session")
	if forgive, _ := c.flag("forgive"); forgive {
		c.fail("forgive", "", "stripetest knows false only")
	}
	method := c.text("payment_method")
	if err := c.end(); err != nil {
		return nil, err
	}
	i, err := c.findInvoice(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	switch i.status {
	case invoicePaid:
		return nil, invalid("", "Invoice is already paid")
	case invoiceVoid:
		return nil, invalid("", "This invoice was voided and can't be paid.").withCode("invoice_not_editable")
	case invoiceDraft:
		c.finalize(i)
		if i.status == invoicePaid {
			return c.invoiceView(i), nil
		}
	}
	if method != "" {
		m := c.methods[method]
		if m == nil || m.customer != i.customer {
			return nil, missing("PaymentMethod", method, "payment_method")
		}
		if m != c.methodFor(c.subscriptions[i.subscription]) {
			return nil, invalid("payment_method", "stripetest pays with the default payment method only")
		}
	}
	if i.attempts == 0 {
		i.attempts = 1 // Any attempt counts as the first; later ones only when automatic.
	}
	if e := c.attempt(i); e != nil {
		return nil, e
	}
	return c.invoiceView(i), nil
}
