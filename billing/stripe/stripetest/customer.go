package stripetest

import (
	"maps"
	"slices"
	"strings"
)

// customer is whom invoices charge (https://docs.stripe.com/api/customers).
type customer struct {
	stamped
	email, name, description, phone string
	address                         object
	metadata                        map[string]string
	locales                         []string
	defaultMethod                   string
	balance                         int64
	transactions                    []*balanceTransaction
	taxIDs                          []*taxID
	deleted                         bool
	invoices                        int
}

func (s *Server) customerView(c *customer) object {
	if c.deleted {
		return object{"id": c.id, "object": "customer", "deleted": true}
	}
	v := object{
		"id": c.id, "object": "customer", "created": c.created.Unix(), "email": orNull(c.email), "name": orNull(c.name),
		"description": orNull(c.description), "phone": orNull(c.phone), "metadata": c.metadata, "balance": c.balance,
		"currency": "usd", "default_source": nil, "delinquent": s.delinquent(c), "livemode": false, "address": nil,
		"invoice_prefix": strings.ToUpper(c.id[len(c.id)-8:]), "tax_exempt": "none", "preferred_locales": c.locales,
		"invoice_settings": object{
			"default_payment_method": orNull(c.defaultMethod), "custom_fields": nil, "footer": nil, "rendering_options": nil,
		},
	}
	if c.locales == nil {
		v["preferred_locales"] = []string{}
	}
	if c.address != nil {
		v["address"] = c.address
	}
	return v
}

func (s *Server) delinquent(c *customer) bool {
	for _, i := range s.invoices {
		if i.customer == c.id && i.status == invoiceOpen && i.attempted {
			return true
		}
	}
	return false
}

// findCustomer finds one that can still be used.
func (s *Server) findCustomer(id, param string) (*customer, error) {
	c := s.customers[id]
	if c == nil || c.deleted {
		return nil, missing("customer", id, param)
	}
	return c, nil
}

// readCustomer reads what may be set, into set once everything is known to be right.
func (c *call) readCustomer() (set func(*customer), defaultMethod *string) {
	var changes []func(*customer)
	for key, field := range map[string]func(*customer) *string{
		"email":       func(c *customer) *string { return &c.email },
		"name":        func(c *customer) *string { return &c.name },
		"description": func(c *customer) *string { return &c.description },
		"phone":       func(c *customer) *string { return &c.phone },
	} {
		if value, ok := c.str(key); ok {
			changes = append(changes, func(c *customer) { *field(c) = value })
		}
	}
	if c.has("address") {
		address := c.readAddress()
		changes = append(changes, func(c *customer) { c.address = address })
	}
	if c.has("preferred_locales") {
		locales := c.texts("preferred_locales")
		changes = append(changes, func(c *customer) { c.locales = locales })
	}
	if c.has("metadata") {
		p := c.params
		p.merge("metadata", nil) // So that it counts as read.
		changes = append(changes, func(c *customer) { c.metadata = p.merge("metadata", c.metadata) })
	}
	if balance, ok := c.number("balance"); ok {
		changes = append(changes, func(cus *customer) { c.adjust(cus, balance-cus.balance, "adjustment", "", "") })
	}
	if settings := c.object("invoice_settings"); settings != nil {
		if method, ok := settings.str("default_payment_method"); ok {
			defaultMethod = &method
			changes = append(changes, func(c *customer) { c.defaultMethod = method })
		}
	}
	return func(c *customer) {
		for _, change := range changes {
			change(c)
		}
	}, defaultMethod
}

func (c *call) readAddress() object {
	p := c.object("address")
	if p == nil {
		return nil
	}
	v := object{}
	for _, key := range []string{"city", "country", "line1", "line2", "postal_code", "state"} {
		v[key] = orNull(p.text(key))
	}
	if country, ok := v["country"].(string); ok && len(country) != 2 {
		p.fail("country", "", "Country '"+country+"' is unknown. Try using a 2-character alphanumeric country code instead.")
	}
	return v
}

func createCustomer(c *call) (object, error) {
	set, method := c.readCustomer()
	taxes := c.readTaxIDs()
	if err := c.end(); err != nil {
		return nil, err
	}
	if method != nil && *method != "" {
		return nil, missing("PaymentMethod", *method, "invoice_settings[default_payment_method]")
	}
	cus := &customer{stamped: stamped{c.newID("cus"), c.at}, metadata: map[string]string{}}
	c.customers[cus.id] = cus
	set(cus)
	for _, t := range taxes {
		c.addTaxID(cus, t)
	}
	c.emit("customer.created", c.customerView(cus))
	return c.customerView(cus), nil
}

func getCustomer(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	cus := c.customers[id]
	if cus == nil {
		return nil, missing("customer", id, "id")
	}
	return c.customerView(cus), nil
}

func updateCustomer(c *call) (object, error) {
	set, method := c.readCustomer()
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	if method != nil && *method != "" {
		if m := c.methods[*method]; m == nil || m.customer != cus.id {
			return nil, missing("PaymentMethod", *method, "invoice_settings[default_payment_method]")
		}
	}
	set(cus)
	c.emit("customer.updated", c.customerView(cus))
	return c.customerView(cus), nil
}

// deleteCustomer also ends what the customer subscribed to.
func deleteCustomer(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	c.removeCustomer(cus)
	return c.customerView(cus), nil
}

func (s *Server) removeCustomer(cus *customer) {
	for _, sub := range s.subscriptionsOf(cus.id) {
		if !sub.over() {
			s.endSubscription(sub)
		}
	}
	s.emit("customer.deleted", s.customerView(cus))
	cus.deleted = true
}

func listCustomers(c *call) (object, error) {
	page, email := c.page(), c.text("email")
	var found []*customer
	for _, cus := range c.customers {
		if !cus.deleted && (email == "" || cus.email == email) {
			found = append(found, cus)
		}
	}
	return list(c, page, found, c.customerView)
}

// searchCustomers knows the one query that is needed, metadata['key']:'value'
// (https://docs.stripe.com/search). Stripe's index lags up to a minute; this one does not.
func searchCustomers(c *call) (object, error) {
	page, query := c.page(), c.need("query")
	rest, ok := strings.CutPrefix(query, "metadata['")
	key, value, ok2 := strings.Cut(rest, "']:'")
	if !ok || !ok2 || !strings.HasSuffix(value, "'") {
		c.fail("query", "", "stripetest knows queries like metadata['key']:'value' only")
	}
	value = strings.TrimSuffix(value, "'")
	var found []*customer
	for _, cus := range slices.Collect(maps.Values(c.customers)) {
		if !cus.deleted && cus.metadata[key] == value {
			found = append(found, cus)
		}
	}
	result, err := list(c, page, found, c.customerView)
	if err == nil {
		result["object"], result["next_page"] = "search_result", nil
	}
	return result, err
}
