package rpcerr

import (
	"maps"
	"strings"
)

// Within says err as the caller sees it whose body is one field of the request: the paths
// of its violations begin within that field, in gRPC as in REST, and whoever found them.
// Other errors, and fields that are not of the body, stay as they are.
func Within(err error, body string) error {
	e := typed(err)
	if body == "" || e == nil || len(e.Violations) == 0 {
		return err
	}
	prefix := JSONName(body) + "."
	trim := func(field string) string { return strings.TrimPrefix(field, prefix) }
	out := *e
	out.Violations = make([]Violation, len(e.Violations))
	for i, v := range e.Violations {
		v.Field = trim(v.Field)
		out.Violations[i] = v
	}
	first := e.Violations[0].Field
	if rest, ok := strings.CutPrefix(e.Message, first+":"); ok {
		out.Message = trim(first) + ":" + rest
	}
	if field, ok := e.Metadata["field"]; ok {
		out.Metadata = maps.Clone(e.Metadata)
		out.Metadata["field"] = trim(field)
	}
	out.Subject = trim(e.Subject)
	return &out
}
