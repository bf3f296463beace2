package catalog

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// The owners of apps that are views of something else.
const (
	OwnerSettings       = "settings"
	OwnerThreatSettings = "threatSettings"
)

// KnownPlans answers which plans there are. Package billing implements it.
type KnownPlans interface {
	Plans
	// Get returns a plan by its ID.
	Get(id string) (*breakwaterv1.Plan, bool)
}

// Check says what is wrong with an entry that an operator wants to store, beside the
// others: with fields as the API names them. Nothing is ever stored that [New] refuses.
func Check(app *breakwaterv1.App, others []*breakwaterv1.App, plans KnownPlans) []rpcerr.Violation {
	var found []rpcerr.Violation
	add := func(field, rule, format string, args ...any) {
		found = append(found, rpcerr.Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)})
	}
	if _, ok := plans.Get(app.GetMinimumPlan()); !ok {
		add("minimumPlan", "unknown", "there is no plan %q", app.GetMinimumPlan())
	}
	if app.GetRisk() == breakwaterv1.App_RISK_UNSPECIFIED {
		add("risk", "required", "is needed")
	}
	for i, other := range app.GetConflicts() {
		field := fmt.Sprintf("conflicts[%d]", i)
		switch {
		case other == ID(app):
			add(field, "self", "an app can't conflict with itself")
		case !slices.ContainsFunc(others, func(o *breakwaterv1.App) bool { return ID(o) == other }):
			add(field, "unknown", "there is no app %q", other)
		}
	}
	for i, limit := range app.GetPlanLimits() {
		checkLimit(fmt.Sprintf("planLimits[%d].", i), limit, app.GetSettingsSchema(), plans, add)
	}
	found = append(found, checkSchema(app)...)
	return found
}

func checkLimit(
	prefix string, limit *breakwaterv1.App_PlanLimit, schema *structpb.Struct, plans KnownPlans,
	add func(field, rule, format string, args ...any),
) {
	if _, ok := plans.Get(limit.GetRequiredPlan()); !ok {
		add(prefix+"requiredPlan", "unknown", "there is no plan %q", limit.GetRequiredPlan())
	}
	path := strings.ReplaceAll(limit.GetSetting(), ".", ".properties.")
	property := lookup(schema, "properties."+path)
	switch number, list := kinds(property.GetStructValue()); {
	case limit.GetSetting() == "" || property == nil:
		add(prefix+"setting", "unknown", "the schema has no property %q", limit.GetSetting())
	case limit.Maximum != nil && !number:
		add(prefix+"maximum", "kind", "limits nothing: %s is no number", limit.GetSetting())
	case limit.Minimum != nil && !number:
		add(prefix+"minimum", "kind", "limits nothing: %s is no number", limit.GetSetting())
	case limit.MaxItems != nil && !list:
		add(prefix+"maxItems", "kind", "limits nothing: %s is no list", limit.GetSetting())
	case limit.GetMaxItems() < 0:
		add(prefix+"maxItems", "gte", "must not be negative")
	}
	if limit.Maximum == nil && limit.Minimum == nil && limit.MaxItems == nil && !limit.GetForbidden() {
		add(strings.TrimSuffix(prefix, "."), "empty", "limits nothing")
	}
}

// kinds says whether a property of a schema may be a number, and whether a list. One that says
// nothing of its kind may be anything.
func kinds(property *structpb.Struct) (number, list bool) {
	types, values := property.GetFields()["type"], property.GetFields()["enum"]
	if types == nil && values == nil {
		return true, true
	}
	for _, v := range slices.Concat([]*structpb.Value{types}, types.GetListValue().GetValues()) {
		number = number || v.GetStringValue() == "number" || v.GetStringValue() == "integer"
		list = list || v.GetStringValue() == "array"
	}
	for _, v := range values.GetListValue().GetValues() {
		_, isNumber := v.GetKind().(*structpb.Value_NumberValue)
		number, list = number || isNumber, list || v.GetListValue() != nil
	}
	return number, list
}

// checkSchema looks at the schema and at the defaults. Defaults must match it, but for
// what only a site can give.
func checkSchema(app *breakwaterv1.App) []rpcerr.Violation {
	const field = "settingsSchema"
	schema := app.GetSettingsSchema()
	one := func(rule, message string) []rpcerr.Violation {
		return []rpcerr.Violation{{Field: field, Rule: rule, Message: message}}
	}
	fields := schema.GetFields()
	if closed, ok := fields["additionalProperties"].GetKind().(*structpb.Value_BoolValue); fields["type"].GetStringValue() != "object" || !ok || closed.BoolValue {
		return one("closed", "must be of type object, with additionalProperties false")
	}
	single, err := New([]*breakwaterv1.App{app})
	if err != nil {
		return one("schema", err.Error())
	}
	var found []rpcerr.Violation
	for _, v := range single.ValidateSettings(ID(app), nil) {
		if v.Rule != "required" {
			v.Field = "defaultSettings" + strings.TrimPrefix(v.Field, root)
			found = append(found, v)
		}
	}
	return found
}
