package stripetest

import "fmt"

// newID returns an ID with Stripe's prefix for its kind. IDs are the same in every run of a
// test that does the same, so that a failure can be replayed.
func (s *Server) newID(prefix string) string {
	s.serial++
	return fmt.Sprintf("%s_%016d", prefix, s.serial)
}
