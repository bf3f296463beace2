package stripetest

import (
	"slices"
	"time"
)

// Subscription is a subscription as a test compares it.
type Subscription struct {
	ID, Customer, Status string
	Start, End           time.Time
	CancelAtPeriodEnd    bool
	// Quantities are by lookup key of the price; zero ones are left out.
	Quantities map[string]int64
	// Pending says that an update waits for its payment; Invoice is the newest.
	Pending bool
	Invoice string
}

// Invoice is an invoice as a test compares it.
type Invoice struct {
	ID, Subscription, Status, Reason string
	Created                          time.Time
	Total, Due, Paid                 int64
	// NeedsAction says that its payment waits for the customer.
	NeedsAction bool
	Attempts    int
	Lines       []Line
}

// Line is a line of an invoice as a test compares it.
type Line struct {
	// Key is the lookup key of its price.
	Key              string
	Quantity, Amount int64
	Proration        bool
	Start, End       time.Time
}

// Customers returns the IDs of the customers that are not deleted and have a value in their
// metadata, oldest first; of all for an empty key.
func (s *Server) Customers(key, value string) []string {
	s.enter()
	defer s.mu.Unlock()
	var found []*customer
	for _, c := range s.customers {
		if !c.deleted && (key == "" || c.metadata[key] == value) {
			found = append(found, c)
		}
	}
	newestFirst(found)
	var ids []string
	for _, c := range slices.Backward(found) {
		ids = append(ids, c.id)
	}
	return ids
}

// Balance is what a customer owes beyond invoices; negative is a credit.
func (s *Server) Balance(customerID string) int64 {
	s.enter()
	defer s.mu.Unlock()
	if c := s.customers[customerID]; c != nil {
		return c.balance
	}
	return 0
}

// Charges are what was taken from a customer's cards, oldest first.
func (s *Server) Charges(customerID string) []Charge {
	s.enter()
	defer s.mu.Unlock()
	var found []Charge
	for _, c := range s.charges {
		if c.Customer == customerID {
			found = append(found, c)
		}
	}
	return found
}

// Charged is the sum of a customer's charges.
func (s *Server) Charged(customerID string) int64 {
	var total int64
	for _, c := range s.Charges(customerID) {
		total += c.Amount
	}
	return total
}

// Subscriptions are a customer's, newest first, with those that are over.
func (s *Server) Subscriptions(customerID string) []Subscription {
	s.enter()
	defer s.mu.Unlock()
	var found []Subscription
	for _, sub := range s.subscriptionsOf(customerID) {
		v := Subscription{
			ID: sub.id, Customer: sub.customer, Status: sub.status, Start: sub.start, End: sub.end,
			CancelAtPeriodEnd: sub.cancelAtEnd, Pending: sub.pending != nil, Invoice: sub.latest, Quantities: map[string]int64{},
		}
		for _, i := range sub.items {
			key := s.prices[i.price].lookupKey
			if key == "" {
				key = i.price
			}
			if i.quantity > 0 {
				v.Quantities[key] += i.quantity
			}
		}
		found = append(found, v)
	}
	return found
}

// Invoices are a customer's, newest first.
func (s *Server) Invoices(customerID string) []Invoice {
	s.enter()
	defer s.mu.Unlock()
	var all []*invoice
	for _, i := range s.invoices {
		if i.customer == customerID {
			all = append(all, i)
		}
	}
	newestFirst(all)
	var found []Invoice
	for _, i := range all {
		found = append(found, s.shown(i))
	}
	return found
}

// Invoice returns one invoice; ok is false where there is none.
func (s *Server) Invoice(id string) (i Invoice, ok bool) {
	s.enter()
	defer s.mu.Unlock()
	if i := s.invoices[id]; i != nil {
		return s.shown(i), true
	}
	return Invoice{}, false
}

func (s *Server) shown(i *invoice) Invoice {
	p := s.intents[i.intent]
	v := Invoice{
		ID: i.id, Subscription: i.subscription, Status: i.status, Reason: i.reason, Created: i.created,
		Total: i.total(), Due: i.due, Paid: i.paid, NeedsAction: p != nil && p.status == intentNeedsAction,
		Attempts: i.attempts,
	}
	for _, l := range i.lines {
		v.Lines = append(v.Lines, Line{
			Key: s.prices[l.price].lookupKey, Quantity: l.quantity, Amount: l.amount, Proration: l.proration,
			Start: l.start, End: l.end,
		})
	}
	return v
}

// Credited is the sum of what was given to a customer's balance, but by invoices.
func (s *Server) Credited(customerID string) int64 {
	s.enter()
	defer s.mu.Unlock()
	var total int64
	if c := s.customers[customerID]; c != nil {
		for _, b := range c.transactions {
			if b.kind == "adjustment" {
				total -= b.amount
			}
		}
	}
	return total
}
