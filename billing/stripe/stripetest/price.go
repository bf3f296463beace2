package stripetest

import "slices"

// price is what a product costs (https://docs.stripe.com/api/prices). Amount, currency and
// interval never change: a new price takes the lookup key over.
type price struct {
	stamped
	product, lookupKey, nickname string
	amount                       int64
	active                       bool
	metadata                     map[string]string
}

func (p *price) view() object {
	return object{
		"id": p.id, "object": "price", "active": p.active, "billing_scheme": "per_unit", "created": p.created.Unix(),
		"currency": "usd", "lookup_key": orNull(p.lookupKey), "nickname": orNull(p.nickname), "product": p.product,
		"metadata": p.metadata, "livemode": false, "tax_behavior": "unspecified", "tiers_mode": nil, "type": "recurring",
		"recurring": object{
			"interval": "month", "interval_count": 1, "usage_type": "licensed", "aggregate_usage": nil, "trial_period_days": nil,
		},
		"unit_amount": p.amount, "unit_amount_decimal": decimal(p.amount), "custom_unit_amount": nil, "transform_quantity": nil,
	}
}

// takeKey gives a lookup key to a price; with transfer it may be another's so far.
func (s *Server) takeKey(p *price, key string, transfer bool) error {
	for _, other := range s.prices {
		if key == "" || other.lookupKey != key || other == p {
			continue
		}
		if !transfer {
			return invalid("lookup_key", "A price (`%s`) already uses that lookup key.", other.id).withCode("resource_already_exists")
		}
		other.lookupKey = ""
		s.emit("price.updated", other.view())
	}
	p.lookupKey = key
	return nil
}

func createPrice(c *call) (object, error) {
	if c.need("currency") != "usd" {
		c.fail("currency", "", "stripetest knows usd only")
	}
	amount, ok := c.number("unit_amount")
	if !ok || amount < 0 {
		c.fail("unit_amount", "parameter_missing", "Missing required param: unit_amount.")
	}
	recurring := c.object("recurring")
	if recurring == nil {
		c.fail("recurring", "", "stripetest knows recurring prices only")
	} else {
		recurring.oneOf("interval", "", "month")
		recurring.oneOf("usage_type", "licensed", "licensed")
		if n, ok := recurring.number("interval_count"); ok && n != 1 {
			recurring.fail("interval_count", "", "stripetest knows 1 only")
		}
	}
	c.oneOf("billing_scheme", "per_unit", "per_unit")
	c.oneOf("tax_behavior", "unspecified", "unspecified", "inclusive", "exclusive")
	productID, key := c.need("product"), c.text("lookup_key")
	transfer, _ := c.flag("transfer_lookup_key")
	nickname, metadata := c.text("nickname"), c.merge("metadata", nil)
	active, given := c.flag("active")
	if err := c.end(); err != nil {
		return nil, err
	}
	if c.products[productID] == nil {
		return nil, missing("product", productID, "product")
	}
	p := &price{
		product: productID, nickname: nickname, amount: amount, active: active || !given, metadata: metadata,
	}
	if err := c.takeKey(p, key, transfer); err != nil {
		return nil, err
	}
	p.stamped = stamped{c.newID("price"), c.at}
	c.prices[p.id] = p
	c.emit("price.created", p.view())
	return p.view(), nil
}

func (c *call) findPrice(id, param string) (*price, error) {
	p := c.prices[id]
	if p == nil {
		return nil, missing("price", id, param)
	}
	return p, nil
}

func getPrice(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	p, err := c.findPrice(c.request.PathValue("id"), "price")
	if err != nil {
		return nil, err
	}
	return p.view(), nil
}

func updatePrice(c *call) (object, error) {
	active, switched := c.flag("active")
	key, keyed := c.str("lookup_key")
	transfer, _ := c.flag("transfer_lookup_key")
	nickname, named := c.str("nickname")
	params := c.params
	params.merge("metadata", nil)
	if err := c.end(); err != nil {
		return nil, err
	}
	p, err := c.findPrice(c.request.PathValue("id"), "price")
	if err != nil {
		return nil, err
	}
	if keyed {
		if err := c.takeKey(p, key, transfer); err != nil {
			return nil, err
		}
	}
	if switched {
		p.active = active
	}
	if named {
		p.nickname = nickname
	}
	if params.has("metadata") {
		p.metadata = params.merge("metadata", p.metadata)
	}
	c.emit("price.updated", p.view())
	return p.view(), nil
}

func listPrices(c *call) (object, error) {
	page, keys, ofProduct := c.page(), c.texts("lookup_keys"), c.text("product")
	if len(keys) > 10 {
		c.fail("lookup_keys", "", "Array lookup_keys exceeded maximum 10 allowed elements.")
	}
	active, byActive := c.flag("active")
	c.oneOf("type", "recurring", "recurring")
	c.oneOf("currency", "usd", "usd")
	var found []*price
	for _, p := range c.prices {
		if (!byActive || p.active == active) && (len(keys) == 0 || slices.Contains(keys, p.lookupKey)) &&
			(ofProduct == "" || p.product == ofProduct) {
			found = append(found, p)
		}
	}
	return list(c, page, found, (*price).view)
}
