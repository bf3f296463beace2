package stripetest

// webhookEndpoint is where events are said to go (https://docs.stripe.com/api/webhook_endpoints);
// the test sends them.
type webhookEndpoint struct {
	stamped
	url, description, version string
	events                    []string
	disabled                  bool
	metadata                  map[string]string
}

func (w *webhookEndpoint) view() object {
	status := "enabled"
	if w.disabled {
		status = "disabled"
	}
	return object{
		"id": w.id, "object": "webhook_endpoint", "api_version": orNull(w.version), "created": w.created.Unix(), "url": w.url,
		"description": orNull(w.description), "enabled_events": w.events, "livemode": false, "metadata": w.metadata, "status": status,
		"application": nil,
	}
}

func (c *call) readEndpoint() func(*webhookEndpoint) {
	url, moved := c.str("url")
	description, described := c.str("description")
	events := c.texts("enabled_events")
	disabled, switched := c.flag("disabled")
	p := c.params
	p.merge("metadata", nil)
	return func(w *webhookEndpoint) {
		if moved {
			w.url = url
		}
		if described {
			w.description = description
		}
		if events != nil {
			w.events = events
		}
		if switched {
			w.disabled = disabled
		}
		if p.has("metadata") {
			w.metadata = p.merge("metadata", w.metadata)
		}
	}
}

// createEndpoint shows the secret, this once.
func createEndpoint(c *call) (object, error) {
	c.need("url")
	version := c.text("api_version")
	if !c.has("enabled_events") {
		c.fail("enabled_events", "parameter_missing", "Missing required param: enabled_events.")
	}
	set := c.readEndpoint()
	if err := c.end(); err != nil {
		return nil, err
	}
	w := &webhookEndpoint{stamped: stamped{c.newID("we"), c.at}, version: version, metadata: map[string]string{}}
	set(w)
	c.endpoints[w.id] = w
	v := w.view()
	v["secret"] = "whsec_" + w.id
	return v, nil
}

func (c *call) findEndpoint() (*webhookEndpoint, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	w := c.endpoints[id]
	if w == nil {
		return nil, missing("webhook_endpoint", id, "webhook_endpoint")
	}
	return w, nil
}

func getEndpoint(c *call) (object, error) {
	w, err := c.findEndpoint()
	if err != nil {
		return nil, err
	}
	return w.view(), nil
}

func updateEndpoint(c *call) (object, error) {
	set := c.readEndpoint()
	w, err := c.findEndpoint()
	if err != nil {
		return nil, err
	}
	set(w)
	return w.view(), nil
}

func deleteEndpoint(c *call) (object, error) {
	w, err := c.findEndpoint()
	if err != nil {
		return nil, err
	}
	delete(c.endpoints, w.id)
	return object{"id": w.id, "object": "webhook_endpoint", "deleted": true}, nil
}

func listEndpoints(c *call) (object, error) {
	page := c.page()
	var found []*webhookEndpoint
	for _, w := range c.endpoints {
		found = append(found, w)
	}
	return list(c, page, found, (*webhookEndpoint).view)
}
