package stripetest

// portalConfiguration is what customers may do in the billing portal
// (https://docs.stripe.com/api/customer_portal/configurations).
type portalConfiguration struct {
	stamped
	active, isDefault bool
	headline          string
	privacy, terms    string
	returnURL         string
	features          object
	metadata          map[string]string
}

func (p *portalConfiguration) view() object {
	return object{
		"id": p.id, "object": "billing_portal.configuration", "active": p.active, "is_default": p.isDefault,
		"created": p.created.Unix(), "updated": p.created.Unix(), "default_return_url": orNull(p.returnURL), "livemode": false,
		"business_profile": object{"headline": orNull(p.headline), "privacy_policy_url": orNull(p.privacy), "terms_of_service_url": orNull(p.terms)},
		"features":         p.features, "metadata": p.metadata, "login_page": object{"enabled": false, "url": nil},
	}
}

// readPortal reads a configuration. Its features are on or off; of their details those that
// matter here are kept.
func (c *call) readPortal() func(*portalConfiguration) {
	var changes []func(*portalConfiguration)
	if profile := c.object("business_profile"); profile != nil {
		for key, field := range map[string]func(*portalConfiguration) *string{
			"headline":             func(p *portalConfiguration) *string { return &p.headline },
			"privacy_policy_url":   func(p *portalConfiguration) *string { return &p.privacy },
			"terms_of_service_url": func(p *portalConfiguration) *string { return &p.terms },
		} {
			if value, ok := profile.str(key); ok {
				changes = append(changes, func(p *portalConfiguration) { *field(p) = value })
			}
		}
	}
	if url, ok := c.str("default_return_url"); ok {
		changes = append(changes, func(p *portalConfiguration) { p.returnURL = url })
	}
	if active, ok := c.flag("active"); ok {
		changes = append(changes, func(p *portalConfiguration) { p.active = active })
	}
	if c.has("metadata") {
		p := c.params
		p.merge("metadata", nil)
		changes = append(changes, func(v *portalConfiguration) { v.metadata = p.merge("metadata", v.metadata) })
	}
	if features := c.object("features"); features != nil {
		for _, name := range []string{"customer_update", "invoice_history", "payment_method_update", "subscription_cancel", "subscription_pause", "subscription_update"} {
			f := features.object(name)
			if f == nil {
				continue
			}
			v := object{}
			if on, ok := f.flag("enabled"); ok {
				v["enabled"] = on
			}
			switch name {
			case "customer_update":
				v["allowed_updates"] = f.texts("allowed_updates")
			case "subscription_cancel":
				v["mode"] = f.oneOf("mode", "at_period_end", "at_period_end", "immediately")
				v["proration_behavior"] = f.oneOf("proration_behavior", "none", "none", "create_prorations", "always_invoice")
			case "subscription_update":
				v["default_allowed_updates"] = f.texts("default_allowed_updates")
				v["proration_behavior"] = f.oneOf("proration_behavior", "none", "none", "create_prorations", "always_invoice")
				f.object("products")
			}
			changes = append(changes, func(p *portalConfiguration) { p.features[name] = v })
		}
	}
	return func(p *portalConfiguration) {
		for _, change := range changes {
			change(p)
		}
	}
}

func createPortalConfiguration(c *call) (object, error) {
	set := c.readPortal()
	if !c.has("features") {
		c.fail("features", "parameter_missing", "Missing required param: features.")
	}
	if err := c.end(); err != nil {
		return nil, err
	}
	p := &portalConfiguration{
		stamped: stamped{c.newID("bpc"), c.at}, active: true, isDefault: len(c.portals) == 0, features: object{},
		metadata: map[string]string{},
	}
	for _, name := range []string{"customer_update", "invoice_history", "payment_method_update", "subscription_cancel", "subscription_pause", "subscription_update"} {
		p.features[name] = object{"enabled": false}
	}
	set(p)
	c.portals[p.id] = p
	return p.view(), nil
}

func (c *call) findPortal(id string) (*portalConfiguration, error) {
	p := c.portals[id]
	if p == nil {
		return nil, missing("configuration", id, "configuration")
	}
	return p, nil
}

func getPortalConfiguration(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	p, err := c.findPortal(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return p.view(), nil
}

func updatePortalConfiguration(c *call) (object, error) {
	set := c.readPortal()
	if err := c.end(); err != nil {
		return nil, err
	}
	p, err := c.findPortal(c.request.PathValue("id"))
	if err != nil {
		return nil, err
	}
	set(p)
	return p.view(), nil
}

func listPortalConfigurations(c *call) (object, error) {
	page := c.page()
	active, byActive := c.flag("active")
	def, byDefault := c.flag("is_default")
	var found []*portalConfiguration
	for _, p := range c.portals {
		if (!byActive || p.active == active) && (!byDefault || p.isDefault == def) {
			found = append(found, p)
		}
	}
	return list(c, page, found, (*portalConfiguration).view)
}

// createPortalSession makes a page (https://docs.stripe.com/api/customer_portal/sessions);
// what the customer does there are methods of [Server].
func createPortalSession(c *call) (object, error) {
	id, back, configuration := c.need("customer"), c.text("return_url"), c.text("configuration")
	c.text("locale")
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(id, "customer")
	if err != nil {
		return nil, err
	}
	if configuration != "" {
		if _, err := c.findPortal(configuration); err != nil {
			return nil, err
		}
	}
	session := c.newID("bps")
	return object{
		"id": session, "object": "billing_portal.session", "created": c.at.Unix(), "customer": cus.id, "livemode": false,
		"return_url": orNull(back), "configuration": orNull(configuration), "url": "https://billing.stripe.com/p/session/" + session,
	}, nil
}
