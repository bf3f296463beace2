package stripetest

import "fmt"

// itemChange is what a request says of one item.
type itemChange struct {
	id, price string
	quantity  int64
	counted   bool
	deleted   bool
	metadata  func(map[string]string) map[string]string
}

// readItems reads items as subscriptions and previews of them take them.
func (c *call) readItems(key string) []itemChange {
	var changes []itemChange
	for _, p := range c.list(key) {
		change := itemChange{id: p.text("id"), price: p.text("price")}
		change.quantity, change.counted = p.number("quantity")
		if change.counted && change.quantity < 0 {
			p.fail("quantity", "parameter_invalid_integer", "This value must be greater than or equal to 0.")
		}
		change.deleted, _ = p.flag("deleted")
		p.flag("clear_usage")
		p.merge("metadata", nil)
		if p.has("metadata") {
			change.metadata = func(into map[string]string) map[string]string { return p.merge("metadata", into) }
		}
		changes = append(changes, change)
	}
	return changes
}

// changeItems returns the items after some changes, as new values. New ones have no ID yet.
func (s *Server) changeItems(sub *subscription, changes []itemChange) ([]*item, error) {
	var after []*item
	for _, i := range sub.items {
		copied := *i
		after = append(after, &copied)
	}
	for n, change := range changes {
		param := fmt.Sprintf("items[%d]", n)
		var p *price
		if change.price != "" {
			if p = s.prices[change.price]; p == nil {
				return nil, missing("price", change.price, param+"[price]")
			}
			if !p.active {
				return nil, invalid(param+"[price]", "The price specified is inactive. This field only accepts active prices.")
			}
		}
		if change.id == "" {
			if p == nil {
				return nil, invalid(param, "Missing required param: %s[price].", param).withCode("parameter_missing")
			}
			if change.deleted {
				return nil, invalid(param+"[deleted]", "You must pass the ID of the subscription item to delete it.")
			}
			added := &item{price: p.id, quantity: 1, metadata: map[string]string{}}
			change.apply(added)
			after = append(after, added)
			continue
		}
		i := itemByID(after, change.id)
		if i == nil {
			return nil, missing("subscription_item", change.id, param+"[id]")
		}
		if change.deleted {
			after = without(after, i)
			continue
		}
		if p != nil && p.id != i.price {
			// A new price does not keep the quantity of the old one.
			i.price, i.quantity = p.id, 1
		}
		change.apply(i)
	}
	return after, checkItems(after)
}

func (change itemChange) apply(i *item) {
	if change.counted {
		i.quantity = change.quantity
	}
	if change.metadata != nil {
		i.metadata = change.metadata(i.metadata)
	}
}

func without(items []*item, gone *item) []*item {
	var rest []*item
	for _, i := range items {
		if i != gone {
			rest = append(rest, i)
		}
	}
	return rest
}

func checkItems(items []*item) error {
	if len(items) == 0 {
		return invalid("items", "A subscription must have at least one active plan.")
	}
	if len(items) > maxItems {
		return invalid("items", "A subscription can have at most %d items.", maxItems)
	}
	seen := map[string]bool{}
	for _, i := range items {
		if seen[i.price] {
			return invalid("items", "Cannot add multiple subscription items with the same plan: %s", i.price)
		}
		seen[i.price] = true
	}
	return nil
}

// nameItems gives new items their IDs.
func (s *Server) nameItems(items []*item) {
	for _, i := range items {
		if i.id == "" {
			i.stamped = stamped{s.newID("si"), s.at}
		}
	}
}
