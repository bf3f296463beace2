package stripetest

import "time"

// Behaviour is what a card does when it is charged, like the numbers of Stripe's test cards
// (https://docs.stripe.com/testing).
type Behaviour int

const (
	// Accept lets the charge succeed.
	Accept Behaviour = iota
	// Decline refuses it with card_declined.
	Decline
	// InsufficientFunds refuses it with card_declined, for that reason.
	InsufficientFunds
	// RequireAction means that the customer has to confirm each charge; see [Server.Confirm].
	RequireAction
)

// Card is a card as the customer enters it. The zero value is a Visa that accepts and does
// not expire soon.
type Card struct {
	Behaviour Behaviour
	// Brand and Last4 are shown; visa and 4242 when empty.
	Brand, Last4 string
	// Expires is the end of its last month; four years after it was entered when zero. Past
	// it every charge is declined as expired_card.
	Expires time.Time
}

// AddCard makes a card the one that the customer is charged by, as the billing portal does,
// and returns its payment method. Earlier cards are detached.
func (s *Server) AddCard(customerID string, card Card) (string, error) {
	s.enter()
	defer s.mu.Unlock()
	cus, err := s.findCustomer(customerID, "customer")
	if err != nil {
		return "", err
	}
	for _, m := range s.methods {
		if m.customer == cus.id {
			s.detach(m)
		}
	}
	m := s.newMethod(cus, card)
	cus.defaultMethod = m.id
	s.emit("customer.updated", s.customerView(cus))
	return m.id, nil
}

// RemoveCards takes the customer's cards away, as the customer may in the billing portal.
func (s *Server) RemoveCards(customerID string) {
	s.enter()
	defer s.mu.Unlock()
	for _, m := range s.methods {
		if m.customer == customerID {
			s.detach(m)
		}
	}
}

// SetBehaviour changes what all cards of a customer do from now on.
func (s *Server) SetBehaviour(customerID string, b Behaviour) {
	s.enter()
	defer s.mu.Unlock()
	for _, m := range s.methods {
		if m.customer == customerID {
			m.card.Behaviour = b
		}
	}
}

// DeleteCustomer removes a customer, as a person may in Stripe's dashboard.
func (s *Server) DeleteCustomer(customerID string) error {
	s.enter()
	defer s.mu.Unlock()
	cus, err := s.findCustomer(customerID, "customer")
	if err != nil {
		return err
	}
	s.removeCustomer(cus)
	return nil
}

// decline is what the card answers: nil for a charge that succeeds, and action where the
// customer has to confirm it first.
func (m *paymentMethod) decline(at time.Time) (e *apiError, action bool) {
	refused := func(code, decline, words string) *apiError {
		return &apiError{status: 402, kind: "card_error", code: code, decline: decline, words: words}
	}
	if at.After(m.card.Expires) {
		return refused("expired_card", "expired_card", "Your card has expired."), false
	}
	switch m.card.Behaviour {
	case Decline:
		return refused("card_declined", "generic_decline", "Your card was declined."), false
	case InsufficientFunds:
		return refused("card_declined", "insufficient_funds", "Your card has insufficient funds."), false
	case RequireAction:
		return nil, true
	default:
		return nil, false
	}
}
