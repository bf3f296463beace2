package local

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	"github.com/breakwater-cdn/breakwater/billing"
)

// period is a span of time that is paid for.
type period struct{ start, end time.Time }

// month is the period of a subscription after so many others: calendar months from the
// anchor, cut to the last day of shorter months.
func month(anchor time.Time, periods int32) period {
	return period{addMonths(anchor, int(periods)), addMonths(anchor, int(periods)+1)}
}

func addMonths(anchor time.Time, n int) time.Time {
	anchor = anchor.UTC()
	first := time.Date(anchor.Year(), anchor.Month()+time.Month(n), 1,
		anchor.Hour(), anchor.Minute(), anchor.Second(), 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(anchor.Day(), last)-1)
}

// share is the part of cents that the time from t to the end of the period has, rounded half
// away from zero. Times count in whole seconds; a t outside of the period is moved to it.
func (p period) share(cents int64, t time.Time) int64 {
	total := p.end.Unix() - p.start.Unix()
	left := min(max(p.end.Unix()-t.Unix(), 0), total)
	if total == 0 {
		return 0
	}
	// At most 10,000 sites of $3,000 and 2.7 million seconds: far below 2^63.
	return (2*cents*left + total) / (2 * total)
}

// price is what one site of a plan costs for a month, in cents.
func price(plans *billing.Plans, plan string) int64 {
	p, ok := plans.Get(plan)
	if !ok {
		return 0
	}
	return p.GetPrice().GetUnits()*100 + int64(p.GetPrice().GetNanos())/10_000_000
}

func title(plans *billing.Plans, plan string) string {
	if p, ok := plans.Get(plan); ok {
		return p.GetDisplayName()
	}
	return plan
}

// months are the lines for whole months of quantities.
func months(plans *billing.Plans, quantities map[string]int64, p period) []*storev1.LedgerLine {
	var lines []*storev1.LedgerLine
	for _, plan := range byPrice(plans, quantities) {
		n := quantities[plan]
		lines = append(lines, &storev1.LedgerLine{
			Description: fmt.Sprintf("%d × %s", n, title(plans, plan)), Plan: plan, Quantity: n,
			Amount:    n * price(plans, plan),
			StartTime: timestamppb.New(p.start), EndTime: timestamppb.New(p.end),
		})
	}
	return lines
}

// prorations are the lines for a change of quantities at t: for each plan that changes, what
// is given back for the old quantity and what the new one takes.
func prorations(plans *billing.Plans, before, after map[string]int64, p period, t time.Time) []*storev1.LedgerLine {
	var credits, debits []*storev1.LedgerLine
	t = t.Truncate(time.Second)
	line := func(word, plan string, n, sign int64) *storev1.LedgerLine {
		return &storev1.LedgerLine{
			Description: fmt.Sprintf("%s on %d × %s after %s", word, n, title(plans, plan), t.UTC().Format("2 Jan 2006")),
			Plan:        plan, Quantity: n, Amount: sign * p.share(n*price(plans, plan), t), Proration: true,
			StartTime: timestamppb.New(t), EndTime: timestamppb.New(p.end),
		}
	}
	both := maps.Clone(before)
	if both == nil {
		both = map[string]int64{}
	}
	maps.Copy(both, after)
	for _, plan := range byPrice(plans, both) {
		old, now := before[plan], after[plan]
		if old == now {
			continue
		}
		if old > 0 {
			credits = append(credits, line("Unused time", plan, old, -1))
		}
		if now > 0 {
			debits = append(debits, line("Remaining time", plan, now, 1))
		}
	}
	return append(credits, debits...)
}

// byPrice are the plans of which there are any, cheapest first.
func byPrice(plans *billing.Plans, quantities map[string]int64) []string {
	var out []string
	for plan := range maps.Keys(quantities) {
		if quantities[plan] != 0 {
			out = append(out, plan)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if pa, pb := price(plans, a), price(plans, b); pa != pb {
			return int(min(max(pa-pb, -1), 1))
		}
		return len(a) - len(b)
	})
	return out
}

func sum(lines []*storev1.LedgerLine) int64 {
	total := int64(0)
	for _, l := range lines {
		total += l.GetAmount()
	}
	return total
}
