package stripetest

import (
	"errors"
	"fmt"
)

// The statuses of a payment intent (https://docs.stripe.com/payments/paymentintents/lifecycle).
const (
	intentNeedsMethod  = "requires_payment_method"
	intentNeedsConfirm = "requires_confirmation"
	intentNeedsAction  = "requires_action"
	intentSucceeded    = "succeeded"
	intentCanceled     = "canceled"
)

// paymentIntent is the payment of an invoice.
type paymentIntent struct {
	stamped
	customer, invoice, method, status string
	amount                            int64
	failure                           *apiError
	declined                          *paymentMethod // What failure is about.
}

func (p *paymentIntent) view() object {
	v := object{
		"id": p.id, "object": "payment_intent", "created": p.created.Unix(), "amount": p.amount, "amount_received": 0,
		"amount_capturable": 0, "currency": "usd", "customer": p.customer, "invoice": p.invoice, "status": p.status,
		"client_secret": p.secret(), "payment_method": orNull(p.method), "next_action": nil, "last_payment_error": nil,
		"livemode": false, "metadata": object{}, "capture_method": "automatic", "confirmation_method": "automatic",
		"payment_method_types": []string{"card"}, "setup_future_usage": "off_session", "canceled_at": nil, "latest_charge": nil,
		"cancellation_reason": nil, "description": "Subscription update",
	}
	switch p.status {
	case intentSucceeded:
		v["amount_received"] = p.amount
	case intentNeedsAction:
		v["next_action"] = object{
			"type": "use_stripe_sdk",
			"use_stripe_sdk": object{
				"type": "three_d_secure_redirect", "stripe_js": "https://hooks.stripe.com/redirect/authenticate/" + p.id,
			},
		}
	case intentCanceled:
		v["cancellation_reason"] = "void_invoice"
	}
	if p.failure != nil {
		v["last_payment_error"] = object{
			"type": p.failure.kind, "code": p.failure.code, "decline_code": orNull(p.failure.decline), "message": p.failure.words,
			"payment_method": p.declined.view(),
		}
	}
	return v
}

func (p *paymentIntent) secret() string { return p.id + "_secret_fake" }

func (s *Server) newIntent(i *invoice) {
	p := &paymentIntent{
		stamped: stamped{s.newID("pi"), s.at}, customer: i.customer, invoice: i.id, status: intentNeedsMethod, amount: i.due,
	}
	if m := s.methodFor(s.subscriptions[i.subscription]); m != nil {
		p.method, p.status = m.id, intentNeedsConfirm
	}
	i.intent = p.id
	s.intents[p.id] = p
	s.emit("payment_intent.created", p.view())
}

func (s *Server) cancelIntent(i *invoice) {
	if p := s.intents[i.intent]; p != nil && p.status != intentSucceeded {
		p.status = intentCanceled
		s.emit("payment_intent.canceled", p.view())
	}
}

// ErrNoAction says that a payment does not wait for its customer.
var ErrNoAction = errors.New("stripetest: the payment does not wait for the customer")

// Confirm lets the customer confirm the payment of an invoice that requires action, on the
// hosted page or by Stripe.js with the client secret.
func (s *Server) Confirm(invoiceID string) error {
	return s.act(invoiceID, func(i *invoice, p *paymentIntent) {
		s.succeed(i, p)
	})
}

// FailAction lets the customer fail to confirm.
func (s *Server) FailAction(invoiceID string) error {
	return s.act(invoiceID, func(i *invoice, p *paymentIntent) {
		p.status, p.declined = intentNeedsMethod, s.methods[p.method]
		p.failure = &apiError{
			status: 402, kind: "card_error", code: "payment_intent_authentication_failure",
			words: "The provided PaymentMethod has failed authentication.",
		}
		s.emit("payment_intent.payment_failed", p.view())
		s.emit("invoice.payment_failed", s.invoiceView(i))
	})
}

// Pay lets the customer pay an open invoice on its hosted page with the card on file.
func (s *Server) Pay(invoiceID string) error {
	s.enter()
	defer s.mu.Unlock()
	i := s.invoices[invoiceID]
	if i == nil || i.status != invoiceOpen {
		return fmt.Errorf("stripetest: no open invoice %s", invoiceID)
	}
	if e := s.attempt(i); e != nil {
		return e
	}
	return nil
}

func (s *Server) act(invoiceID string, do func(*invoice, *paymentIntent)) error {
	s.enter()
	defer s.mu.Unlock()
	i := s.invoices[invoiceID]
	if i == nil {
		return fmt.Errorf("stripetest: no invoice %s", invoiceID)
	}
	p := s.intents[i.intent]
	if p == nil || p.status != intentNeedsAction || i.status != invoiceOpen {
		return ErrNoAction
	}
	do(i, p)
	return nil
}

func getIntent(c *call) (object, error) {
	if secret, ok := c.str("client_secret"); ok && secret != c.request.PathValue("id")+"_secret_fake" {
		c.fail("client_secret", "", "The client_secret provided does not match the client_secret associated with the PaymentIntent.")
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	p := c.intents[id]
	if p == nil {
		return nil, missing("payment_intent", id, "intent")
	}
	return p.view(), nil
}
