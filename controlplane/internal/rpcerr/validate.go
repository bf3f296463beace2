package rpcerr

import (
	"strings"

	"buf.build/go/protovalidate"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
)

// violations turns what protovalidate found into fields by their JSON paths.
func violations(e *protovalidate.ValidationError) []Violation {
	out := make([]Violation, 0, len(e.Violations))
	for _, v := range e.Violations {
		out = append(out, Violation{
			Field:   jsonFieldPath(v.Proto.GetField()),
			Rule:    v.Proto.GetRuleId(),
			Message: ruleMessage(v),
		})
	}
	return out
}

// jsonFieldPath writes a path in JSON names: `settings.browserTtlSeconds`,
// `firewallEntries[3].cidr`, `labels["team"]`.
func jsonFieldPath(path *validate.FieldPath) string {
	var b strings.Builder
	// The library's own form has everything but the names: it is what is translated.
	for i, part := range splitPath(protovalidate.FieldPathString(path)) {
		if i > 0 {
			b.WriteByte('.')
		}
		name, index, indexed := strings.Cut(part, "[")
		b.WriteString(JSONName(name))
		if indexed {
			b.WriteString("[" + index)
		}
	}
	return b.String()
}

// splitPath splits at dots that are not within the brackets or quotes of a map key.
func splitPath(path string) []string {
	var (
		parts  []string
		start  int
		quoted bool
	)
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			parts = append(parts, path[start:i])
			start = i + 1
		}
	}
	return append(parts, path[start:])
}

// JSONName is the lowerCamelCase of a proto field's name, as proto3 JSON has it.
func JSONName(name string) string {
	var b strings.Builder
	upper := false
	for _, c := range name {
		switch {
		case c == '_':
			upper = true
		case upper && c >= 'a' && c <= 'z':
			b.WriteRune(c - 'a' + 'A')
			upper = false
		default:
			b.WriteRune(c)
			upper = false
		}
	}
	return b.String()
}

// JSONPath is the lowerCamelCase of a dotted path of proto field names.
func JSONPath(path string) string {
	parts := strings.Split(path, ".")
	for i, p := range parts {
		parts[i] = JSONName(p)
	}
	return strings.Join(parts, ".")
}
