package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// PlanViolation is something that a higher plan would allow.
type PlanViolation struct {
	// Field is the field's path, below `settings`; empty for the app as a whole.
	Field string
	// RequiredPlan is the lowest plan that allows it.
	RequiredPlan string
	// Message says what is not allowed, in words.
	Message string
}

func (v PlanViolation) Error() string { return "catalog: " + v.Message }

// PlanViolations says what a site on a plan may not do with an app that is on: use it at
// all, or go beyond a limit inside it. What the site does not give itself is never limited.
// Each field is named once, with the lowest plan that allows what was asked.
func (c *Catalog) PlanViolations(plans Plans, plan, id string, settings *structpb.Struct) []PlanViolation {
	e, ok := c.entries[id]
	if !ok {
		return nil
	}
	if need := e.app.GetMinimumPlan(); !plans.Allows(plan, need) {
		return []PlanViolation{{RequiredPlan: need, Message: fmt.Sprintf("the app %s needs the plan %s", id, need)}}
	}
	var found []PlanViolation
	for _, limit := range e.app.GetPlanLimits() {
		if plans.Allows(plan, limit.GetRequiredPlan()) {
			continue
		}
		why := exceeds(limit, lookup(settings, limit.GetSetting()))
		if why == "" {
			continue
		}
		v := PlanViolation{
			Field:        root + "." + limit.GetSetting(),
			RequiredPlan: limit.GetRequiredPlan(),
			Message:      fmt.Sprintf("%s below the plan %s", why, limit.GetRequiredPlan()),
		}
		i := slices.IndexFunc(found, func(o PlanViolation) bool { return o.Field == v.Field })
		switch {
		case i < 0:
			found = append(found, v)
		case !plans.Allows(found[i].RequiredPlan, v.RequiredPlan):
			found[i] = v // Only the dearer of the two is free of both limits.
		}
	}
	return found
}

// exceeds says what a limit forbids of a value, or nothing where it allows it.
func exceeds(limit *breakwaterv1.App_PlanLimit, v *structpb.Value) string {
	if v == nil {
		return ""
	}
	if limit.GetForbidden() {
		return "it may not be given"
	}
	if n, ok := v.GetKind().(*structpb.Value_NumberValue); ok {
		switch {
		case limit.Maximum != nil && n.NumberValue > limit.GetMaximum():
			return "it is at most " + short(limit.GetMaximum())
		case limit.Minimum != nil && n.NumberValue < limit.GetMinimum():
			return "it is at least " + short(limit.GetMinimum())
		}
	}
	if limit.MaxItems != nil && len(v.GetListValue().GetValues()) > int(limit.GetMaxItems()) {
		return fmt.Sprintf("it has at most %d entries", limit.GetMaxItems())
	}
	return ""
}

func short(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// lookup finds a setting by its path with dots, or nil.
func lookup(s *structpb.Struct, path string) *structpb.Value {
	for {
		head, rest, more := strings.Cut(path, ".")
		v := s.GetFields()[head]
		if !more || v == nil {
			return v
		}
		s, path = v.GetStructValue(), rest
	}
}
