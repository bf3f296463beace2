package billing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is a life with every kind of call in it. It must come out the same whatever happens
// between two steps of it.
func story(s *shop) {
	act := func(err error) {
		s.t.Helper()
		s.must(err)
		s.settle()
	}
	quiet := s.quiet
	act(quiet(func() error { return s.ask(true) }))
	act(quiet(func() error { return s.change("a.test", "pro") }))
	act(quiet(func() error { return s.change("b.test", "pro") }))
	s.pass(40 * time.Hour)
	s.till.card = "decline"
	act(quiet(func() error { return s.ask(false) }))
	act(quiet(func() error { return s.change("a.test", "business") }))
	s.till.card = "action"
	act(quiet(func() error { return s.ask(false) }))
	act(quiet(func() error { return s.change("a.test", "business") }))
	s.till.confirm(true)
	act(quiet(func() error { return s.ask(false) }))
	s.till.card = "accept"
	act(quiet(func() error { return s.ask(false) }))
	act(quiet(func() error { return s.change("a.test", "pro") }))
	act(quiet(func() error { return s.revoke("a.test") }))
	act(quiet(func() error { return s.cancel("a.test") }))
	act(quiet(func() error { return s.cancel("b.test") }))
	act(quiet(func() error { return s.change("c.test", "pro") }))
	// A fall that reaches the provider too late.
	s.clock.Advance(s.record.GetSeen().GetPeriodEnd().AsTime().Add(-time.Minute).Sub(s.clock.Now()))
	s.must(quiet(func() error { return s.cancel("c.test") }))
	s.clock.Advance(2 * time.Minute)
	s.settle()
	act(quiet(func() error { return s.change("b.test", "pro") }))
	s.pass(40 * 24 * time.Hour)
}

// quiet runs a decision without faults: whoever makes it sees what became of it.
func (s *shop) quiet(fn func() error) error {
	fault := s.fault
	s.fault = func(string) error { return nil }
	defer func() { s.fault = fault }()
	return fn()
}

func (s *shop) setFault(fn func(point string) error) {
	s.fault, s.till.fault = fn, fn
}

// outcome is what must be the same however a story went.
func (s *shop) outcome() string {
	text := fmt.Sprint("charged ", s.till.total(), " credits ", s.till.credits)
	for _, d := range sortedKeys(s.sites) {
		text += fmt.Sprint("; ", d, " ", s.sites[d].Plan, " ", s.record.GetSites()[d].GetNextPlan())
	}
	if sub := s.till.alive(); sub != nil {
		text += fmt.Sprint("; ", sub.Status, " ", sub.Quantities, " ", sub.CancelAtPeriodEnd)
	}
	return text
}

func TestCrashAnywhere(t *testing.T) {
	tell := func(fault func(n int, point string) error) (string, []string) {
		s := newShop(t, "a.test", "b.test", "c.test")
		var points []string
		s.setFault(func(point string) error {
			points = append(points, point)
			return fault(len(points), point)
		})
		story(s)
		s.agrees()
		return s.outcome(), points
	}
	want, points := tell(func(int, string) error { return nil })
	for _, op := range []string{
		"CreateCustomer", "CreateSubscription", "PayInvoice", "Upgrade", "VoidInvoice", "SetQuantities", "SetCancelAtPeriodEnd", "Credit",
	} {
		if !slices.Contains(points, "after "+op) {
			t.Errorf("the story has no %s", op)
		}
	}
	t.Log(len(points), "points:", want)
	for at := range points {
		for _, fault := range []error{errLost, errBroken} {
			if errors.Is(fault, errBroken) && (strings.HasSuffix(points[at], "the transaction") || strings.Contains(points[at], "reading")) {
				continue // Only calls have keys.
			}
			got, _ := tell(func(n int, _ string) error {
				if n == at+1 {
					return fault
				}
				return nil
			})
			if got != want {
				t.Errorf("%v %s (%d): %s; want %s", fault, points[at], at, got, want)
			}
		}
	}
	for seed := range uint64(10) { // Many crashes in one life.
		dice := rand.New(rand.NewPCG(seed, 1))
		got, _ := tell(func(int, string) error {
			if dice.IntN(4) == 0 {
				return errLost
			}
			return nil
		})
		if got != want {
			t.Errorf("crashes by seed %d: %s; want %s", seed, got, want)
		}
	}
}

// TestTwoAtOnce has another replica, which believes to lead, do the same work in the middle of
// every step of it.
func TestTwoAtOnce(t *testing.T) {
	tell := func(fault func(s *shop, n int)) (string, int) {
		s := newShop(t, "a.test", "b.test", "c.test")
		n, nested := 0, false
		s.setFault(func(string) error {
			if nested {
				return nil
			}
			n++
			nested = true
			fault(s, n)
			nested = false
			return nil
		})
		story(s)
		s.agrees()
		return s.outcome(), n
	}
	want, points := tell(func(*shop, int) {})
	for at := 0; at < points; at += 2 {
		got, _ := tell(func(s *shop, n int) {
			if n == at+1 {
				s.settle()
			}
		})
		if got != want {
			t.Errorf("two at once at step %d: %s; want %s", at, got, want)
		}
	}
}

// TestForgottenKeys loses every answer to one kind of call for longer than keys are kept.
func TestForgottenKeys(t *testing.T) {
	for _, when := range []string{"before ", "after "} {
		for _, op := range []string{"CreateCustomer", "CreateSubscription", "PayInvoice", "Upgrade", "SetQuantities", "SetCancelAtPeriodEnd"} {
			t.Run(when+op, func(t *testing.T) {
				s := newShop(t, "a.test", "b.test")
				lost := map[string]bool{}
				var since time.Time
				s.till.fault = func(point string) error {
					if point != when+op {
						return nil
					}
					if since.IsZero() {
						since = s.clock.Now()
					}
					if s.clock.Now().Sub(since) < 25*time.Hour {
						lost[point] = true
						return errLost
					}
					return nil
				}
				step := func(err error) {
					t.Helper()
					if err != nil {
						return // Refused: what came before failed, and that is told.
					}
					for range 200 {
						again, err := s.engine.Settle(t.Context(), account)
						if err == nil && (again.IsZero() || again.After(s.clock.Now())) {
							break
						}
						if err != nil {
							s.clock.Advance(time.Hour)
						}
					}
					s.settle()
					s.agrees()
				}
				step(s.ask(true))
				step(s.change("a.test", "pro"))
				step(s.change("b.test", "pro"))
				step(s.change("b.test", "business"))
				step(s.change("b.test", "pro"))
				step(s.cancel("b.test"))
				step(s.cancel("a.test"))
				if len(lost) == 0 {
					t.Error("nothing was lost")
				}
				// Whatever was charged was given.
				given := int64(0)
				for d := range s.sites {
					given += s.engine.rules.plans.price(s.sites[d].Plan)
				}
				if sub := s.till.alive(); sub != nil && s.engine.rules.plans.value(sub.covered) != given {
					t.Errorf("billed for %v, and given %d", sub.covered, given)
				}
			})
		}
	}
}
