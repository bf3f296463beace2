package stripetest

import (
	"fmt"
	"strconv"
	"time"
)

// line is a line of an invoice.
type line struct {
	stamped
	description, price, item, subscription string
	amount, quantity                       int64
	proration                              bool
	start, end                             time.Time
}

// share is the part of an amount for the time from at to the end of a period, to the
// second, rounded half up to the cent; a credit is the same with its sign turned. Lines are
// rounded each for itself (https://docs.stripe.com/billing/subscriptions/prorations).
func share(amount int64, at, start, end time.Time) int64 {
	whole, left := int64(end.Sub(start)/time.Second), int64(end.Sub(at)/time.Second)
	if whole <= 0 {
		return 0
	}
	return (2*amount*left + whole) / (2 * whole)
}

// prorate returns the lines of a change of items at a time: for each item that changes, a
// credit for the unused time of the whole old quantity and a charge for the new one. A
// credit counts what the item costs, not what was paid for it (classic billing mode).
func (s *Server) prorate(sub *subscription, after []*item, at time.Time) []*line {
	var lines []*line
	day := at.Format("02 Jan 2006")
	put := func(i *item, sign int64, words string) {
		p := s.prices[i.price]
		if i.quantity == 0 {
			return
		}
		lines = append(lines, &line{
			description: fmt.Sprintf("%s time on %s after %s", words, s.counted(i), day),
			price:       i.price, item: i.id, subscription: sub.id, quantity: i.quantity, proration: true,
			amount: sign * share(p.amount*i.quantity, at, sub.start, sub.end), start: at, end: sub.end,
		})
	}
	for _, old := range sub.items {
		now := itemByID(after, old.id)
		if now != nil && now.price == old.price && now.quantity == old.quantity {
			continue
		}
		put(old, -1, "Unused")
		if now != nil {
			put(now, 1, "Remaining")
		}
	}
	for _, now := range after {
		if itemByID(sub.items, now.id) == nil {
			put(now, 1, "Remaining")
		}
	}
	return lines
}

// cycle returns the lines of a whole period.
func (s *Server) cycle(sub *subscription, items []*item, start, end time.Time) []*line {
	var lines []*line
	for _, i := range items {
		p := s.prices[i.price]
		lines = append(lines, &line{
			description: fmt.Sprintf("%d × %s (at $%s / month)", i.quantity, s.products[p.product].name, dollars(p.amount)),
			price:       i.price, item: i.id, subscription: sub.id, quantity: i.quantity,
			amount: p.amount * i.quantity, start: start, end: end,
		})
	}
	return lines
}

func (s *Server) counted(i *item) string {
	name := s.products[s.prices[i.price].product].name
	if i.quantity == 1 {
		return name
	}
	return fmt.Sprintf("%d × %s", i.quantity, name)
}

func sum(lines []*line) int64 {
	var total int64
	for _, l := range lines {
		total += l.amount
	}
	return total
}

func dollars(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func (s *Server) lineView(l *line) object {
	kind := "subscription"
	if l.proration {
		kind = "invoiceitem"
	}
	p := s.prices[l.price].view()
	return object{
		"id": l.id, "object": "line_item", "amount": l.amount, "amount_excluding_tax": l.amount, "currency": "usd",
		"description": l.description, "discountable": !l.proration, "livemode": false, "metadata": object{},
		"period": object{"start": l.start.Unix(), "end": l.end.Unix()}, "price": p, "proration": l.proration,
		"proration_details": object{"credited_items": nil}, "quantity": l.quantity, "subscription": orNull(l.subscription),
		"subscription_item": orNull(l.item), "type": kind, "tax_amounts": []object{}, "tax_rates": []object{},
		"discount_amounts": []object{}, "discounts": []object{},
	}
}

func (s *Server) lineViews(lines []*line) []object {
	data := make([]object, 0, len(lines))
	for _, l := range lines {
		data = append(data, s.lineView(l))
	}
	return data
}
