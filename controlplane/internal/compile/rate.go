package compile

import (
	"errors"
	"fmt"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/expression"
)

func checkRateLimits(c *collector, rules []*breakwaterv1.ThreatSettings_RateLimit, maxCost int) {
	const list = "rateLimits"
	known := seen{}
	for i, r := range rules {
		if c.full() {
			return
		}
		c.add(checkExpression(at(list, i, "match"), r.GetMatch(), maxCost))
		if r.GetRequests() < 1 {
			c.add(invalid(at(list, i, "requests"), "range", "must be at least 1"))
		}
		if r.GetPeriodSeconds() < 1 {
			c.add(invalid(at(list, i, "periodSeconds"), "range", "must be at least 1"))
		}
		switch r.GetAction() {
		case breakwaterv1.ThreatSettings_ACTION_UNSPECIFIED:
			c.add(invalid(at(list, i, "action"), "required", "is needed"))
		case breakwaterv1.ThreatSettings_ALLOW:
			c.add(impossible(at(list, i, "action"), "action", "a cap that allows what is beyond it does nothing: use LOG to watch"))
		default:
		}
		// Two caps of one match differ at least in their period: a minute's and a day's.
		key := fmt.Sprint(r.GetMatch(), "\x00", r.GetPeriodSeconds())
		if first := known.first(key, i); first >= 0 {
			c.add(impossible(at(list, i, ""), "duplicate", "has the match and the period of %s", at(list, first, "")))
		}
	}
}

func checkExpression(field, source string, maxCost int) error {
	e, err := expression.Parse(source)
	var detail *expression.Error
	switch {
	case errors.As(err, &detail) && detail.Impossible:
		return impossible(field, "expression", "column %d: %s", detail.Column, detail.Reason)
	case errors.As(err, &detail):
		return invalid(field, "expression", "column %d: %s", detail.Column, detail.Reason)
	case err != nil:
		return invalid(field, "expression", "%v", err)
	case e.Cost() > maxCost:
		return exceeded(field, "maxExpressionCost", e.Cost(), maxCost,
			"the expression costs %d; at most %d are allowed", e.Cost(), maxCost)
	}
	return nil
}
