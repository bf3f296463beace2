package stripe

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Event is what a verified webhook is about. It is a hint: what it says of its object is not
// looked at, the object is fetched.
type Event struct {
	// ID is the event's; the same event has the same ID however often it is sent.
	ID string
	// Type is Stripe's, such as invoice.paid.
	Type string
	// Customer and Subscription are whose it is; empty for an event that means nothing to us.
	Customer, Subscription string
	// Account is the account's ID, where the object has it in its metadata.
	Account string
	Created time.Time
	// APIVersion is the version of the API that the event is written in. IDs are where they
	// are in any version, so another one than [APIVersion] is for the log only.
	APIVersion string
	// Live is false in Stripe's test mode.
	Live bool
}

// OtherVersion says whether the event is of another version of the API than is spoken, which
// is for the operator to be told once: the webhook endpoint was not made by sync.
func (e Event) OtherVersion() bool { return e.APIVersion != APIVersion }

// eventTypes are the types that mean something to us, in order.
var eventTypes = []string{
	"checkout.session.completed",
	"customer.deleted",
	"customer.subscription.created",
	"customer.subscription.deleted",
	"customer.subscription.paused",
	"customer.subscription.pending_update_applied",
	"customer.subscription.pending_update_expired",
	"customer.subscription.resumed",
	"customer.subscription.updated",
	"customer.updated",
	"invoice.created",
	"invoice.deleted",
	"invoice.finalization_failed",
	"invoice.finalized",
	"invoice.marked_uncollectible",
	"invoice.paid",
	"invoice.payment_action_required",
	"invoice.payment_failed",
	"invoice.updated",
	"invoice.voided",
	"payment_method.attached",
	"payment_method.automatically_updated",
	"payment_method.detached",
	"payment_method.updated",
}

// EventTypes returns the types of events that mean something to us, in order: what a webhook
// endpoint is to be sent.
func EventTypes() []string { return slices.Clone(eventTypes) }

// reference is the ID of an object, or the object itself where it was expanded.
type reference struct{ id string }

func (r *reference) UnmarshalJSON(text []byte) error {
	var object struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &r.id); err == nil {
		return nil
	}
	err := json.Unmarshal(text, &object)
	r.id = object.ID
	return err
}

// envelope is what of an event is read.
type envelope struct {
	ID         string `json:"id"`
	Object     string `json:"object"`
	Type       string `json:"type"`
	Created    int64  `json:"created"`
	APIVersion string `json:"api_version"`
	Livemode   bool   `json:"livemode"`
	Data       struct {
		Object   json.RawMessage `json:"object"`
		Previous struct {
			Customer reference `json:"customer"`
		} `json:"previous_attributes"`
	} `json:"data"`
}

// subject is what is read of an event's object.
type subject struct {
	ID           string            `json:"id"`
	Object       string            `json:"object"`
	Customer     reference         `json:"customer"`
	Subscription reference         `json:"subscription"`
	Metadata     map[string]string `json:"metadata"`
	// Parent is where newer versions of the API have an invoice's subscription.
	Parent struct {
		Details struct {
			Subscription reference `json:"subscription"`
		} `json:"subscription_details"`
	} `json:"parent"`
}

func parseBody(body []byte) (Event, error) {
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("%w: the body is no event", ErrMalformed)
	}
	if e.Object != "event" || !objectID.MatchString(e.ID) || e.Type == "" || len(e.Type) > maxKey || len(e.APIVersion) > maxKey {
		return Event{}, fmt.Errorf("%w: the body is no event", ErrMalformed)
	}
	out := Event{ID: e.ID, Type: e.Type, Created: seconds(e.Created), APIVersion: e.APIVersion, Live: e.Livemode}
	if _, ours := slices.BinarySearch(eventTypes, e.Type); !ours {
		return out, nil
	}
	var about subject
	if err := json.Unmarshal(e.Data.Object, &about); err != nil {
		return Event{}, fmt.Errorf("%w: the object of %s", ErrMalformed, e.Type)
	}
	out.Customer, out.Subscription = about.Customer.id, about.Subscription.id
	switch about.Object {
	case "customer":
		out.Customer = about.ID
	case "subscription":
		out.Subscription = about.ID
	case "payment_method":
		if out.Customer == "" {
			out.Customer = e.Data.Previous.Customer.id // It was detached.
		}
	}
	if out.Subscription == "" {
		out.Subscription = about.Parent.Details.Subscription.id
	}
	out.Account = about.Metadata[accountKey]
	for _, id := range []string{out.Customer, out.Subscription} {
		if id != "" && !objectID.MatchString(id) {
			return Event{}, fmt.Errorf("%w: an ID in %s", ErrMalformed, e.Type)
		}
	}
	return out, nil
}
