package stripetest

import (
	"errors"
	"net/http"
	"strings"
)

// maxDepth is how deep Stripe expands (https://docs.stripe.com/api/expanding_objects).
const maxDepth = 4

// expandable are the fields whose IDs can become objects.
var expandable = map[string]bool{
	"customer": true, "default_payment_method": true, "latest_invoice": true, "payment_intent": true,
	"payment_method": true, "subscription": true, "product": true, "setup_intent": true, "invoice": true,
	"charge": true, "default_price": true, "default_source": true, "tax_ids": true, "schedule": true,
	"pending_setup_intent": true, "test_clock": true, "price": true, "plan": true, "lines": true,
}

// expand puts objects where their IDs are.
func (s *Server) expand(in object, paths []string) error {
	for _, path := range paths {
		steps := strings.Split(path, ".")
		if len(steps) > maxDepth {
			return invalid("expand", "You cannot expand more than %d levels of a property. Property: %s", maxDepth, path)
		}
		if err := s.expandAt(in, steps, path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) expandAt(in object, steps []string, path string) error {
	if in["deleted"] == true {
		return nil // There is nothing left of it.
	}
	name := steps[0]
	value, known := in[name]
	if !known {
		if name == "tax_ids" && in["object"] == "customer" { // Only there when asked for.
			in[name] = s.taxIDsOf(s.customers[in["id"].(string)])
			return nil
		}
		return invalid("expand", "This property cannot be expanded (%s).", path)
	}
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		if !expandable[name] {
			return invalid("expand", "This property cannot be expanded (%s).", path)
		}
		inner := s.viewOf(v)
		if inner == nil {
			return nil
		}
		in[name] = inner
		return s.expandRest(inner, steps, path)
	case object:
		return s.expandRest(v, steps, path)
	case []object:
		for _, item := range v {
			if err := s.expandRest(item, steps, path); err != nil {
				return err
			}
		}
		return nil
	default:
		return invalid("expand", "This property cannot be expanded (%s).", path)
	}
}

func (s *Server) expandRest(inner object, steps []string, path string) error {
	if len(steps) == 1 {
		return nil
	}
	return s.expandAt(inner, steps[1:], path)
}

// viewOf returns the object with an ID; nil where there is none.
func (s *Server) viewOf(id string) object {
	switch prefix, _, _ := strings.Cut(id, "_"); prefix {
	case "cus":
		if v := s.customers[id]; v != nil {
			return s.customerView(v)
		}
	case "pm":
		if v := s.methods[id]; v != nil {
			return v.view()
		}
	case "sub":
		if v := s.subscriptions[id]; v != nil {
			return s.subscriptionView(v)
		}
	case "in":
		if v := s.invoices[id]; v != nil {
			return s.invoiceView(v)
		}
	case "pi":
		if v := s.intents[id]; v != nil {
			return v.view()
		}
	case "seti":
		if v := s.setups[id]; v != nil {
			return v.view()
		}
	case "price":
		if v := s.prices[id]; v != nil {
			return v.view()
		}
	default:
		if v := s.products[id]; v != nil {
			return v.view()
		}
	}
	return nil
}

func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{status: http.StatusInternalServerError, kind: "api_error", words: err.Error()}
}
