package stripetest

import (
	"encoding/json"
	"time"
)

// Event is something that happened (https://docs.stripe.com/api/events).
type Event struct {
	ID, Type string
	Created  time.Time
	// Object is the ID of what it is about, Customer the customer's; empty for none.
	Object, Customer string
	// Payload is the body of its webhook.
	Payload []byte
}

// emit records an event about an object as it is now.
func (s *Server) emit(kind string, about object) {
	id := s.newID("evt")
	request := object{"id": nil, "idempotency_key": nil}
	if s.making != nil {
		request = object{"id": "req_" + id, "idempotency_key": orNull(s.making.key)}
	}
	body := object{
		"id": id, "object": "event", "api_version": APIVersion, "created": s.at.Unix(), "type": kind,
		"livemode": false, "pending_webhooks": 1, "request": request, "data": object{"object": about},
	}
	payload, err := json.Marshal(body)
	if err != nil { // Views are texts, numbers, maps and lists.
		return
	}
	e := Event{ID: id, Type: kind, Created: s.at, Payload: payload}
	e.Object, _ = about["id"].(string)
	if e.Customer, _ = about["customer"].(string); about["object"] == "customer" {
		e.Customer = e.Object
	}
	s.events = append(s.events, e)
}

// History returns all events but the first so many, oldest first, whether taken or not.
func (s *Server) History(after int) []Event {
	s.enter()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events[min(after, len(s.events)):]...)
}

// TakeEvents takes the events that happened since it was called last, oldest first. What
// the test does not deliver is lost.
func (s *Server) TakeEvents() []Event {
	s.enter()
	defer s.mu.Unlock()
	queue := append([]Event(nil), s.events[s.taken:]...)
	s.taken = len(s.events)
	return queue
}

func getEvent(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	id := c.request.PathValue("id")
	for _, e := range c.events {
		if e.ID == id {
			return e.view(), nil
		}
	}
	return nil, missing("event", id, "id")
}

func listEvents(c *call) (object, error) {
	page, kind := c.page(), c.text("type")
	since := int64(0)
	if created := c.object("created"); created != nil {
		since, _ = created.number("gte")
	}
	var found []*listedEvent
	for _, e := range c.events {
		if (kind == "" || e.Type == kind) && e.Created.Unix() >= since {
			found = append(found, &listedEvent{stamped{e.ID, e.Created}, e})
		}
	}
	return list(c, page, found, func(e *listedEvent) object { return e.event.view() })
}

type listedEvent struct {
	stamped
	event Event
}

func (e Event) view() object {
	v := object{}
	if err := json.Unmarshal(e.Payload, &v); err != nil { // It was made by emit.
		return object{"id": e.ID}
	}
	return v
}
