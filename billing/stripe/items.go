package stripe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	stripego "github.com/stripe/stripe-go/v76"

	"github.com/breakwater-cdn/breakwater/billing"
)

// item is an item of a subscription: so many sites for a price of a plan. The plan of a
// price that is none of ours is the price's ID, so that somebody sees it.
type item struct {
	id, plan, price string
	quantity        int64
}

func items(s *stripego.Subscription) []item {
	if s.Items == nil {
		return nil
	}
	return asItems(s.Items.Data)
}

func asItems(list []*stripego.SubscriptionItem) []item {
	out := make([]item, 0, len(list))
	for _, i := range list {
		if i.Deleted {
			continue
		}
		one := item{id: i.ID, plan: planOf(i.Price), quantity: i.Quantity}
		if i.Price != nil {
			one.price = i.Price.ID
		}
		out = append(out, one)
	}
	return out
}

// overlaid returns the items as they will be once a pending update is applied. Stripe's
// reference leaves open whether those that don't change are in it, so they are taken from
// the subscription; none is ever deleted in one (see [change]).
func overlaid(now []item, pending []*stripego.SubscriptionItem) []item {
	out := slices.Clone(now)
	for n, p := range asItems(pending) {
		if p.id == "" {
			p.id = fmt.Sprintf("new %d", n) // No change may be taken for a new item of its own.
		}
		at := slices.IndexFunc(out, func(i item) bool { return i.id == p.id })
		if at < 0 {
			out = append(out, p)
		} else {
			out[at] = p
		}
	}
	return out
}

func quantities(list []item) billing.Quantities {
	out := billing.Quantities{}
	for _, i := range list {
		if i.quantity > 0 {
			out[i.plan] += i.quantity
		}
	}
	return out
}

// change is a change of one item, or a new one where it has no id.
type change struct {
	id, price string // An empty price leaves the item its own.
	quantity  int64
	deleted   bool
}

// changes turns the items of a subscription into wanted quantities. It takes as few steps as
// can be, in one order, so that a repeat asks for the very same: a plan keeps its item; a
// plan without one takes over the item of a plan that goes (its price is swapped), or gets a
// new one. Items that are left over are deleted, or set to zero where they may not be:
//
// In a pending update only price and quantity of items are supported, deleted is not
// (https://docs.stripe.com/billing/subscriptions/pending-updates-reference). An item at zero
// bills nothing; the next change without a payment deletes it. Such a change also deletes
// what is for a price of nobody's; one that is paid for leaves it alone.
//
// No changes say that the items are as wanted.
func changes(now []item, want billing.Quantities, prices map[string]string, mayDelete bool) ([]change, error) {
	now = slices.Clone(now)
	slices.SortFunc(now, func(a, b item) int { return cmp.Compare(a.id, b.id) })
	keep := keepers(now, want, prices)
	var (
		out   []change
		spare []item
		total int64
	)
	for _, i := range now {
		switch {
		case keep[i.plan] != i.id:
			if mayDelete || i.quantity > 0 && i.plan != i.price {
				spare = append(spare, i)
			}
		case want[i.plan] != i.quantity:
			out = append(out, change{id: i.id, quantity: want[i.plan]})
		}
	}
	for _, plan := range slices.Sorted(maps.Keys(want)) {
		n := want[plan]
		total += n
		switch {
		case n < 0:
			return nil, fmt.Errorf("%w: %d sites of plan %s", billing.ErrRefused, n, plan)
		case n == 0 || keep[plan] != "":
			continue
		case prices[plan] == "":
			return nil, noPrice(plan)
		case len(spare) > 0:
			out = append(out, change{id: spare[0].id, price: prices[plan], quantity: n})
			spare = spare[1:]
		default:
			out = append(out, change{price: prices[plan], quantity: n})
		}
	}
	if total == 0 {
		// Stripe refuses to delete the last item; zero sites are a cancellation.
		return nil, fmt.Errorf("%w: a subscription for no site", billing.ErrRefused)
	}
	for _, i := range spare {
		out = append(out, change{id: i.id, deleted: mayDelete})
	}
	return out, nil
}

// keepers chooses the item that each wanted plan keeps: the one with today's price, else the
// one that bills something, else the first.
func keepers(now []item, want billing.Quantities, prices map[string]string) map[string]string {
	better := func(a, b item) bool {
		if today := prices[a.plan]; (a.price == today) != (b.price == today) {
			return a.price == today
		}
		return a.quantity > 0 && b.quantity == 0
	}
	best := map[string]item{}
	for _, i := range now {
		if want[i.plan] <= 0 {
			continue
		}
		if other, ok := best[i.plan]; !ok || better(i, other) {
			best[i.plan] = i
		}
	}
	out := make(map[string]string, len(best))
	for plan, i := range best {
		out[plan] = i.id
	}
	return out
}

func noPrice(plan string) error {
	return fmt.Errorf("%w: Stripe has no price for plan %s: run breakwaterd billing sync", billing.ErrRefused, plan)
}

// itemParams are changes as Stripe takes them.
func itemParams(list []change) []*stripego.SubscriptionItemsParams {
	out := make([]*stripego.SubscriptionItemsParams, 0, len(list))
	for _, c := range list {
		one := &stripego.SubscriptionItemsParams{}
		if c.id != "" {
			one.ID = new(c.id)
		}
		switch {
		case c.deleted:
			one.Deleted = new(true)
		case c.price != "":
			one.Price = new(c.price)
			fallthrough
		default:
			one.Quantity = new(c.quantity)
		}
		out = append(out, one)
	}
	return out
}
