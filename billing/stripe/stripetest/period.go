package stripetest

import "time"

// addMonths is the anchor's day and time of day n months later; a month without the day has
// its last instead, and later months have the day again
// (https://docs.stripe.com/billing/subscriptions/billing-cycle: an anchor of January 31
// bills on February 28 or 29, then March 31, April 30).
func addMonths(anchor time.Time, n int) time.Time {
	first := time.Date(anchor.Year(), anchor.Month()+time.Month(n), 1,
		anchor.Hour(), anchor.Minute(), anchor.Second(), 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(anchor.Day(), last)-1)
}
