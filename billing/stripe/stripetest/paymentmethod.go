package stripetest

// paymentMethod is a card that was saved (https://docs.stripe.com/api/payment_methods).
type paymentMethod struct {
	stamped
	customer string
	card     Card
}

func (s *Server) newMethod(cus *customer, card Card) *paymentMethod {
	if card.Brand == "" {
		card.Brand = "visa"
	}
	if card.Last4 == "" {
		card.Last4 = "4242"
	}
	if card.Expires.IsZero() {
		card.Expires = s.at.AddDate(4, 0, 0)
	}
	m := &paymentMethod{stamped: stamped{s.newID("pm"), s.at}, customer: cus.id, card: card}
	s.methods[m.id] = m
	s.emit("payment_method.attached", m.view())
	return m
}

func (m *paymentMethod) view() object {
	return object{
		"id": m.id, "object": "payment_method", "type": "card", "created": m.created.Unix(), "customer": orNull(m.customer),
		"livemode": false, "metadata": object{},
		"billing_details": object{"address": nil, "email": nil, "name": nil, "phone": nil},
		"card": object{
			"brand": m.card.Brand, "last4": m.card.Last4, "exp_month": int(m.card.Expires.Month()),
			"exp_year": m.card.Expires.Year(), "country": "US", "funding": "credit", "fingerprint": "fp" + m.id,
		},
	}
}

// detach takes a card from its customer, for ever.
func (s *Server) detach(m *paymentMethod) {
	cus := s.customers[m.customer]
	if cus != nil && cus.defaultMethod == m.id {
		cus.defaultMethod = ""
		s.emit("customer.updated", s.customerView(cus))
	}
	for _, sub := range s.subscriptions {
		if sub.defaultMethod == m.id {
			sub.defaultMethod = ""
		}
	}
	m.customer = ""
	s.emit("payment_method.detached", m.view())
}

func getMethod(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	m := c.methods[id]
	if m == nil {
		return nil, missing("PaymentMethod", id, "payment_method")
	}
	return m.view(), nil
}

func detachMethod(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	m := c.methods[id]
	if m == nil {
		return nil, missing("PaymentMethod", id, "payment_method")
	}
	if m.customer == "" {
		return nil, invalid("", "The payment method you provided is not attached to a customer so detachment is impossible.")
	}
	c.detach(m)
	return m.view(), nil
}

func attachMethod(c *call) (object, error) {
	to := c.need("customer")
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	m := c.methods[id]
	cus, err := c.findCustomer(to, "customer")
	switch {
	case m == nil:
		return nil, missing("PaymentMethod", id, "payment_method")
	case err != nil:
		return nil, err
	case m.customer != cus.id:
		return nil, invalid("", "The payment method you provided has already been attached to a customer, or was detached from one.")
	}
	return m.view(), nil
}

func listMethods(c *call) (object, error) {
	return c.methodsOf(c.need("customer"))
}

func listCustomerMethods(c *call) (object, error) {
	return c.methodsOf(c.request.PathValue("id"))
}

func (c *call) methodsOf(id string) (object, error) {
	page := c.page()
	c.oneOf("type", "card", "card")
	if err := c.end(); err != nil {
		return nil, err
	}
	if _, err := c.findCustomer(id, "customer"); err != nil {
		return nil, err
	}
	var found []*paymentMethod
	for _, m := range c.methods {
		if m.customer == id {
			found = append(found, m)
		}
	}
	return list(c, page, found, (*paymentMethod).view)
}
