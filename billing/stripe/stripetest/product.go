package stripetest

import "slices"

// product is what is sold (https://docs.stripe.com/api/products).
type product struct {
	stamped
	name, description string
	active            bool
	metadata          map[string]string
}

func (p *product) view() object {
	return object{
		"id": p.id, "object": "product", "active": p.active, "created": p.created.Unix(), "updated": p.created.Unix(),
		"name": p.name, "description": orNull(p.description), "metadata": p.metadata, "images": []string{}, "livemode": false,
		"default_price": nil, "type": "service", "url": nil, "unit_label": nil, "tax_code": nil,
	}
}

func (c *call) readProduct() func(*product) {
	name, named := c.str("name")
	description, described := c.str("description")
	active, switched := c.flag("active")
	p := c.params
	p.merge("metadata", nil)
	c.text("tax_code")
	c.text("unit_label")
	c.text("statement_descriptor")
	return func(v *product) {
		if named {
			v.name = name
		}
		if described {
			v.description = description
		}
		if switched {
			v.active = active
		}
		if p.has("metadata") {
			v.metadata = p.merge("metadata", v.metadata)
		}
	}
}

func createProduct(c *call) (object, error) {
	id := c.text("id")
	c.need("name")
	set := c.readProduct()
	if err := c.end(); err != nil {
		return nil, err
	}
	if id == "" {
		id = c.newID("prod")
	}
	if c.products[id] != nil {
		return nil, invalid("id", "Product already exists.").withCode("resource_already_exists")
	}
	p := &product{stamped: stamped{id, c.at}, active: true, metadata: map[string]string{}}
	set(p)
	c.products[p.id] = p
	c.emit("product.created", p.view())
	return p.view(), nil
}

func getProduct(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	p := c.products[id]
	if p == nil {
		return nil, missing("product", id, "id")
	}
	return p.view(), nil
}

func updateProduct(c *call) (object, error) {
	set := c.readProduct()
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	p := c.products[id]
	if p == nil {
		return nil, missing("product", id, "id")
	}
	set(p)
	c.emit("product.updated", p.view())
	return p.view(), nil
}

func listProducts(c *call) (object, error) {
	page, ids := c.page(), c.texts("ids")
	active, byActive := c.flag("active")
	var found []*product
	for _, p := range c.products {
		if (!byActive || p.active == active) && (len(ids) == 0 || slices.Contains(ids, p.id)) {
			found = append(found, p)
		}
	}
	return list(c, page, found, (*product).view)
}
