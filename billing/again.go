package billing

import (
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

const (
	// While something is awaited of the provider it is asked again, ever more rarely: webhooks
	// come sooner, if they come.
	minPoll = time.Minute
	maxPoll = time.Hour
)

// poll is how long after an answer the provider is asked again for what is awaited since.
func poll(seen, since time.Time) time.Time {
	return seen.Add(min(max(seen.Sub(since)/4, minPoll), maxPoll))
}

// askAt is when the provider must be asked again by itself; zero for when there is a reason.
func (r *rules) askAt(rec *storev1.BillingRecord) time.Time {
	var first time.Time
	want := func(t time.Time) { first = earlier(first, t) }
	seen, m := rec.GetSeen(), rec.GetMove()
	seenAt := at(seen.GetTime())
	if live(rec) {
		if end := at(seen.GetPeriodEnd()); seenAt.Before(end) {
			want(end)
		} else {
			want(poll(seenAt, end))
		}
		if pending(seen.GetRenewalState()) && standing(rec) == breakwaterv1.Billing_GOOD {
			want(seenAt.Add(maxPoll))
		}
	}
	if t := harshAt(rec); seenAt.Before(t) { // Nothing is taken away on old news.
		want(t)
	}
	switch created := at(m.GetCreateTime()); {
	case m == nil:
	case m.GetSubmitted():
		want(poll(seenAt, created))
	case seenAt.Before(created): // Money moves on fresh news only.
		want(created)
	}
	for _, c := range rec.GetCredits() {
		if !c.GetDue() || c.GetUnsure() {
			want(seenAt.Add(maxPoll))
		}
	}
	return first
}

// pending says that an invoice will be paid or not.
func pending(state breakwaterv1.Invoice_State) bool {
	return state == breakwaterv1.Invoice_DRAFT || state == breakwaterv1.Invoice_OPEN
}

// again is when a record about which nothing is to be done now must be looked at again.
func (r *rules) again(rec *storev1.BillingRecord, now time.Time) time.Time {
	first := earlier(earlier(r.askAt(rec), reminderAt(rec)), harshAt(rec))
	for _, s := range rec.GetSites() {
		if s.GetNextPlan() != s.GetPlan() {
			first = earlier(first, at(s.GetFallTime()))
		}
	}
	if m := rec.GetMove(); m != nil && !m.GetAbandon() {
		if m.GetSubmitted() {
			first = earlier(first, at(m.GetExpireTime()))
		} else {
			first = earlier(first, at(m.GetCreateTime()).Add(moveLife))
		}
	}
	if !first.IsZero() && !first.After(now) { // Nothing comes of it before the provider answers.
		first = now.Add(minPoll)
	}
	return first
}

// earlier is the earlier of two times; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
