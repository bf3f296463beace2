package main

import (
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// constrainComponents writes the protovalidate rules of every message into its
// schema. Rules that JSON Schema cannot say (CEL) are left to the description.
func (p *protos) constrainComponents(doc object) {
	for name, schema := range child(child(doc, "components"), "schemas") {
		desc, err := p.files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			continue // The generator's own schemas have no message.
		}
		if message, ok := desc.(protoreflect.MessageDescriptor); ok {
			constrainProperties(schema.(object), message, true)
		}
	}
}

// constrainOperation does the same for what an operation takes from its request
// outside of components: query parameters, and a body that is the request.
func (p *protos) constrainOperation(operation object, input protoreflect.MessageDescriptor) {
	if body := inlineBody(operation); body != nil {
		constrainProperties(body, input, false)
	}
	for _, entry := range list(operation, "parameters") {
		entry := entry.(object)
		name, _ := entry["name"].(string)
		if field := fieldByJSONPath(input, name); field != nil && entry["in"] == "query" {
			constrain(child(entry, "schema"), field, false)
		}
	}
}

// fieldByJSONPath follows a path such as settings.cacheLevel.
func fieldByJSONPath(message protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	var field protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if message == nil {
			return nil
		}
		if field = message.Fields().ByJSONName(name); field == nil {
			return nil
		}
		message = field.Message()
	}
	return field
}

func constrainProperties(schema object, message protoreflect.MessageDescriptor, answers bool) {
	for name, property := range child(schema, "properties") {
		if field := message.Fields().ByJSONName(name); field != nil {
			constrain(property.(object), field, answers)
		}
	}
}

// constrain writes one field's rules into its schema. Where answers is set, the
// schema describes what the server says too, which shows fields at their zero
// value although a request may have to fill them.
func constrain(schema object, field protoreflect.FieldDescriptor, answers bool) {
	rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	if rules == nil {
		return
	}
	switch {
	case field.IsMap():
		constrainMap(schema, rules.GetMap())
	case field.IsList():
		constrainList(schema, rules.GetRepeated())
	default:
		constrainScalar(schema, rules, answers && !field.HasPresence())
	}
}

func constrainMap(schema object, rules *validate.MapRules) {
	setIf(schema, "minProperties", rules.MinPairs)
	setIf(schema, "maxProperties", rules.MaxPairs)
	if keys := rules.GetKeys(); keys != nil {
		names := object{}
		constrainScalar(names, keys, false)
		if len(names) > 0 {
			schema["propertyNames"] = names
		}
	}
	if values, ok := schema["additionalProperties"].(object); ok && rules.GetValues() != nil {
		constrainScalar(values, rules.GetValues(), false)
	}
}

func constrainList(schema object, rules *validate.RepeatedRules) {
	setIf(schema, "minItems", rules.MinItems)
	setIf(schema, "maxItems", rules.MaxItems)
	setIf(schema, "uniqueItems", rules.Unique)
	if items, ok := schema["items"].(object); ok && rules.GetItems() != nil {
		constrainScalar(items, rules.GetItems(), false)
	}
}

// constrainScalar handles one value. Where the zero value may show, lower bounds
// are left away and a pattern lets the empty text pass, so that what the server
// says satisfies its own description.
func constrainScalar(schema object, rules *validate.FieldRules, zeroShows bool) {
	zero := zeroShows || rules.GetIgnore() == validate.Ignore_IGNORE_IF_ZERO_VALUE
	switch {
	case rules.GetString() != nil:
		constrainString(schema, rules.GetString(), zero)
	case rules.GetInt32() != nil:
		constrainInt32(schema, rules.GetInt32(), zero)
	case rules.GetUint32() != nil:
		constrainUint32(schema, rules.GetUint32(), zero)
	case rules.GetBytes() != nil:
		// Base64 makes four characters of three bytes.
		if limit := rules.GetBytes().MaxLen; limit != nil {
			schema["maxLength"] = (*limit + 2) / 3 * 4
		}
	}
}

func constrainString(schema object, rules *validate.StringRules, zero bool) {
	setIf(schema, "maxLength", rules.MaxLen)
	if !zero {
		setIf(schema, "minLength", rules.MinLen)
		setFormat(schema, rules)
	}
	// Go's own syntax for flags is not JSON Schema's.
	if pattern := rules.GetPattern(); pattern != "" && !strings.Contains(pattern, "(?") {
		if zero {
			pattern = "^$|" + pattern
		}
		schema["pattern"] = pattern
	}
	if in := rules.GetIn(); len(in) > 0 && !zero {
		schema["enum"] = in
	}
}

// setFormat maps the well-known formats that JSON Schema has too.
func setFormat(schema object, rules *validate.StringRules) {
	for format, wanted := range map[string]bool{
		"email":    rules.GetEmail(),
		"hostname": rules.GetHostname(),
		"ipv4":     rules.GetIpv4(),
		"ipv6":     rules.GetIpv6(),
		"uri":      rules.GetUri(),
		"uuid":     rules.GetUuid(),
	} {
		if wanted {
			schema["format"] = format
		}
	}
}

func constrainInt32(schema object, rules *validate.Int32Rules, zero bool) {
	if _, ok := rules.GetLessThan().(*validate.Int32Rules_Lte); ok {
		schema["maximum"] = rules.GetLte()
	}
	if _, ok := rules.GetLessThan().(*validate.Int32Rules_Lt); ok {
		schema["exclusiveMaximum"] = rules.GetLt()
	}
	if _, ok := rules.GetGreaterThan().(*validate.Int32Rules_Gte); ok && (!zero || rules.GetGte() <= 0) {
		schema["minimum"] = rules.GetGte()
	}
	if _, ok := rules.GetGreaterThan().(*validate.Int32Rules_Gt); ok && (!zero || rules.GetGt() < 0) {
		schema["exclusiveMinimum"] = rules.GetGt()
	}
}

func constrainUint32(schema object, rules *validate.UInt32Rules, zero bool) {
	if _, ok := rules.GetLessThan().(*validate.UInt32Rules_Lte); ok {
		schema["maximum"] = rules.GetLte()
	}
	if _, ok := rules.GetLessThan().(*validate.UInt32Rules_Lt); ok {
		schema["exclusiveMaximum"] = rules.GetLt()
	}
	if _, ok := rules.GetGreaterThan().(*validate.UInt32Rules_Gte); ok && (!zero || rules.GetGte() == 0) {
		schema["minimum"] = rules.GetGte()
	}
	if _, ok := rules.GetGreaterThan().(*validate.UInt32Rules_Gt); ok && !zero {
		schema["exclusiveMinimum"] = rules.GetGt()
	}
}

func setIf[T any](schema object, key string, value *T) {
	if value != nil {
		schema[key] = *value
	}
}
