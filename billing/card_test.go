package billing

import (
	"testing"
	"time"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// pays counts the payments that the till was asked for.
func (s *shop) pays() (n int) {
	for _, call := range s.till.calls {
		if call == "PayInvoice" {
			n++
		}
	}
	return n
}

// overdue lets a renewal be declined, which nobody has seen yet.
func overdue(t *testing.T) *shop {
	t.Helper()
	s := two(t)
	s.till.card = "decline"
	s.before(time.Hour)
	s.clock.Advance(2 * time.Hour)
	s.till.catchUp()
	return s
}

func TestCardEnteredAfterADecline(t *testing.T) {
	for name, c := range map[string]struct {
		card string
		seen bool // Whether the decline is seen before the card is entered.
	}{
		"another one, unseen":       {"accept", false},
		"another one, seen":         {"accept", true},
		"with the same digits":      {"accept again", false},
		"with the same, later":      {"accept again", true},
		"no better, unseen":         {"decline", false},
		"no better, after the news": {"decline", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := overdue(t)
			if c.seen {
				s.settle()
			}
			before := s.pays()
			s.till.entered++
			s.till.card = c.card
			if c.card == "accept again" {
				s.till.card, s.till.digits = "accept", "0341"
			}
			s.must(s.ask(false))
			s.settle()
			if n := s.pays() - before; n != 1 {
				t.Errorf("the new card was tried %d times", n)
			}
			if good := standing(s.record) == breakwaterv1.Billing_GOOD; good != (s.till.card == "accept") || s.till.owes() == good {
				t.Errorf("owes %v: %v", s.till.owes(), s.record.GetStanding())
			}
			s.pass(20 * 24 * time.Hour)
			if n := s.pays() - before; n != 1 {
				t.Errorf("the new card was tried %d times in the end", n)
			}
		})
	}
}

func TestCardThatFailedIsNotTriedAgain(t *testing.T) {
	for _, card := range []string{"decline", "action", "none"} {
		s := overdue(t)
		s.till.card = card
		s.till.attempt(s.till.alive(), s.till.invoices[len(s.till.invoices)-1])
		before := s.pays()
		s.must(s.ask(false))
		s.pass(20 * 24 * time.Hour)
		if n := s.pays() - before; n != 0 {
			t.Errorf("%s: it was tried %d times more", card, n)
		}
	}
}

func TestRenewedCardIsTried(t *testing.T) {
	s := overdue(t)
	s.settle()
	before := s.pays()
	s.till.digits = "9999" // The same card to the provider, with new numbers from its bank.
	s.must(s.ask(false))
	s.pass(24 * time.Hour)
	if n := s.pays() - before; n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}
