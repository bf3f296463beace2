package stripetest

import (
	"errors"
	"time"
)

// session is a checkout session in setup mode
// (https://docs.stripe.com/payments/save-and-reuse). The card that it saves belongs to the
// customer but is not made the default: who integrates Stripe has to do that.
type session struct {
	stamped
	customer, success, cancel, status, setup string
	expires                                  time.Time
	metadata                                 map[string]string
}

type setupIntent struct {
	stamped
	customer, method, status string
	metadata                 map[string]string
}

func (i *setupIntent) view() object {
	return object{
		"id": i.id, "object": "setup_intent", "created": i.created.Unix(), "customer": i.customer, "status": i.status,
		"payment_method": orNull(i.method), "usage": "off_session", "livemode": false, "metadata": i.metadata,
		"client_secret": i.id + "_secret_fake", "payment_method_types": []string{"card"},
	}
}

func (s *session) view() object {
	v := object{
		"id": s.id, "object": "checkout.session", "created": s.created.Unix(), "mode": "setup", "customer": s.customer,
		"success_url": s.success, "cancel_url": orNull(s.cancel), "status": s.status, "setup_intent": s.setup,
		"expires_at": s.expires.Unix(), "metadata": s.metadata, "livemode": false, "payment_status": "no_payment_required",
		"payment_method_types": []string{"card"}, "url": nil, "subscription": nil, "payment_intent": nil, "currency": nil,
	}
	if s.status == sessionOpen {
		v["url"] = "https://checkout.stripe.com/c/pay/" + s.id
	}
	return v
}

const (
	sessionOpen     = "open"
	sessionComplete = "complete"
	sessionExpired  = "expired"
)

func createCheckoutSession(c *call) (object, error) {
	c.oneOf("mode", "", "setup")
	if !c.has("mode") {
		c.fail("mode", "parameter_missing", "Missing required param: mode.")
	}
	id, success, cancel := c.need("customer"), c.need("success_url"), c.text("cancel_url")
	for _, kind := range c.texts("payment_method_types") {
		if kind != "card" {
			c.fail("payment_method_types", "", "stripetest knows card only")
		}
	}
	c.text("currency")
	c.text("client_reference_id")
	c.text("locale")
	metadata, setupMetadata := c.merge("metadata", nil), map[string]string{}
	if data := c.object("setup_intent_data"); data != nil {
		setupMetadata = data.merge("metadata", nil)
		data.text("description")
	}
	expires, ok := c.instant("expires_at")
	if !ok {
		expires = c.at.Add(24 * time.Hour)
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(id, "customer")
	if err != nil {
		return nil, err
	}
	setup := &setupIntent{
		stamped: stamped{c.newID("seti"), c.at}, customer: cus.id, status: "requires_payment_method", metadata: setupMetadata,
	}
	c.setups[setup.id] = setup
	s := &session{
		stamped: stamped{c.newID("cs"), c.at}, customer: cus.id, success: success, cancel: cancel, status: sessionOpen,
		setup: setup.id, expires: expires, metadata: metadata,
	}
	c.sessions[s.id] = s
	return s.view(), nil
}

// CompleteCheckout enters a card on the page of the customer's newest open checkout session
// and returns its payment method. The card is attached, and not the default.
func (s *Server) CompleteCheckout(customerID string, card Card) (string, error) {
	s.enter()
	defer s.mu.Unlock()
	var open []*session
	for _, v := range s.sessions {
		if v.customer == customerID && v.status == sessionOpen {
			open = append(open, v)
		}
	}
	if len(open) == 0 {
		return "", errors.New("stripetest: the customer has no open checkout session")
	}
	newestFirst(open)
	cus, err := s.findCustomer(customerID, "customer")
	if err != nil {
		return "", err
	}
	m := s.newMethod(cus, card)
	setup := s.setups[open[0].setup]
	setup.method, setup.status = m.id, "succeeded"
	open[0].status = sessionComplete
	s.emit("setup_intent.succeeded", setup.view())
	s.emit("checkout.session.completed", open[0].view())
	return m.id, nil
}

func (c *call) findSession() (*session, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	s := c.sessions[id]
	if s == nil {
		return nil, missing("checkout.session", id, "session")
	}
	return s, nil
}

func getCheckoutSession(c *call) (object, error) {
	s, err := c.findSession()
	if err != nil {
		return nil, err
	}
	return s.view(), nil
}

func listCheckoutSessions(c *call) (object, error) {
	page, id := c.page(), c.text("customer")
	var found []*session
	for _, s := range c.sessions {
		if id == "" || s.customer == id {
			found = append(found, s)
		}
	}
	return list(c, page, found, (*session).view)
}

func expireCheckoutSession(c *call) (object, error) {
	s, err := c.findSession()
	if err != nil {
		return nil, err
	}
	if s.status != sessionOpen {
		return nil, invalid("", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of %s.", s.status)
	}
	c.expireSession(s)
	return s.view(), nil
}

func (s *Server) expireSession(v *session) {
	v.status = sessionExpired
	s.emit("checkout.session.expired", v.view())
}

func getSetupIntent(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	i := c.setups[id]
	if i == nil {
		return nil, missing("setupintent", id, "intent")
	}
	return i.view(), nil
}
