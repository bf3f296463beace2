package rpcerr

import (
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ruleMessage says what a rule asks for. The library's own texts are taken where they mean
// something to who does not have the proto at hand.
func ruleMessage(v *protovalidate.Violation) string {
	switch rule := v.Proto.GetRuleId(); {
	case rule == "required" && v.FieldDescriptor != nil:
		return "is needed"
	case rule == "string.min_len" && isEmpty(v.FieldValue):
		return "is needed"
	case rule == "string.pattern" && v.RuleValue.IsValid():
		return fmt.Sprintf("must match %s", v.RuleValue.String())
	case strings.HasPrefix(rule, "enum.") && v.FieldDescriptor != nil && v.FieldDescriptor.Enum() != nil:
		return enumMessage(v)
	case v.Proto.GetMessage() == "":
		return "breaks the rule " + rule
	}
	return v.Proto.GetMessage()
}

func isEmpty(v protoreflect.Value) bool {
	text, ok := v.Interface().(string)
	return ok && text == ""
}

// enumMessage names the values that a field may have. Zero is what is not given.
func enumMessage(v *protovalidate.Violation) string {
	listed := map[protoreflect.EnumNumber]bool{}
	if list, ok := v.RuleValue.Interface().(protoreflect.List); ok {
		for i := range list.Len() {
			if n, ok := list.Get(i).Interface().(int32); ok {
				listed[protoreflect.EnumNumber(n)] = true
			}
		}
	}
	var names []string
	values := v.FieldDescriptor.Enum().Values()
	for i := range values.Len() {
		value := values.Get(i)
		wanted := v.Proto.GetRuleId() == "enum.defined_only" || listed[value.Number()] == (v.Proto.GetRuleId() == "enum.in")
		if value.Number() != 0 && wanted {
			names = append(names, string(value.Name()))
		}
	}
	text := "one of " + strings.Join(names, ", ")
	if n, ok := v.FieldValue.Interface().(protoreflect.EnumNumber); ok && n == 0 {
		return "is needed: " + text
	}
	return "must be " + text
}
