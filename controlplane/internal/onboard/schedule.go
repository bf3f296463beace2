package onboard

import "time"

// Schedule says when a site is looked at.
type Schedule struct {
	// First is the wait from creating a site to its first check.
	First time.Duration
	// Base is the wait after the first check; it doubles with every further one.
	Base time.Duration
	// Max is the longest wait.
	Max time.Duration
	// Active is the wait between checks of a site that is active.
	Active time.Duration
	// Jitter is the share, 0 to 1, by which a wait may be longer or shorter, so that sites
	// that were made together are not checked together. The first check has none.
	Jitter float64
}

// Production is the schedule of a real deployment.
func Production() Schedule {
	return Schedule{First: 60 * time.Second, Base: 2 * time.Minute, Max: time.Hour, Active: 6 * time.Hour, Jitter: 0.2}
}

// Development is the schedule where everything is on one machine.
func Development() Schedule {
	return Schedule{First: time.Second, Base: time.Second, Max: 10 * time.Second, Active: 30 * time.Second, Jitter: 0.2}
}

// NextCheck is the wait before the next check of a pending site after attempt checks. rnd
// gives numbers from 0 up to 1.
func (s Schedule) NextCheck(attempt int, rnd func() float64) time.Duration {
	if attempt <= 0 {
		return s.First
	}
	wait := s.Base
	for i := 1; i < attempt && wait < s.Max; i++ {
		wait *= 2
	}
	return s.jittered(min(wait, s.Max), rnd)
}

// NextActiveCheck is the wait before the next check of an active site.
func (s Schedule) NextActiveCheck(rnd func() float64) time.Duration {
	return s.jittered(s.Active, rnd)
}

func (s Schedule) jittered(wait time.Duration, rnd func() float64) time.Duration {
	return wait + time.Duration((2*rnd()-1)*s.Jitter*float64(wait))
}
