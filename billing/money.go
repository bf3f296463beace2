package billing

import (
	"maps"
	"time"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// price is what a plan costs for a month, in cents. A plan that is not sold costs nothing.
func (p *Plans) price(id string) int64 {
	plan, ok := p.Get(id)
	if !ok {
		return 0
	}
	return plan.GetPrice().GetUnits()*100 + int64(plan.GetPrice().GetNanos())/10_000_000
}

// value is what quantities cost for a month, in cents.
func (p *Plans) value(q Quantities) int64 {
	var sum int64
	for plan, n := range q {
		sum += n * p.price(plan)
	}
	return sum
}

// add changes how many sites of a plan there are. Plans that cost nothing are not counted.
func (p *Plans) add(q Quantities, plan string, n int64) {
	if p.price(plan) == 0 {
		return
	}
	q[plan] += n
	if q[plan] == 0 {
		delete(q, plan)
	}
}

// same says whether two quantities bill the same: no entry is zero.
func same(a, b Quantities) bool {
	for plan, n := range a {
		if b[plan] != n {
			return false
		}
	}
	for plan, n := range b {
		if a[plan] != n {
			return false
		}
	}
	return true
}

func clone(q Quantities) Quantities {
	if q == nil {
		return Quantities{}
	}
	return maps.Clone(q)
}

func (p *Plans) money(cents int64) *money.Money {
	return &money.Money{CurrencyCode: p.currency, Units: cents / 100, Nanos: int32(cents%100) * 10_000_000}
}

// addMonth is the same day and time of the next month, or that month's last day where it is
// shorter: the day on which a subscription that begins at t is renewed first.
func addMonth(t time.Time) time.Time {
	t = t.UTC()
	next := t.AddDate(0, 1, 0)
	if next.Day() != t.Day() {
		next = next.AddDate(0, 0, -next.Day())
	}
	return next
}

// at is a timestamp of a record as a time; one that is not set is the zero time.
func at(ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	return ts.AsTime()
}

// stamp is a time for a record; the zero time is not set.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
