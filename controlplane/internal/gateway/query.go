package gateway

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

const (
	fieldMaskName = "google.protobuf.FieldMask"
	updateMask    = "update_mask"
	validateOnly  = "validate_only"
)

// query is a checked query: the parameters by their proto names, as the generated code reads
// them.
type query struct {
	form         url.Values
	validateOnly bool
	violations   []rpcerr.Violation
}

// checkQuery names unknown parameters in an error, because that has a reason of its own, and
// returns bad values as violations.
func (rt *route) checkQuery(raw string) (query, error) {
	q := query{form: url.Values{}}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, rpcerr.Malformed(rpcerr.ReasonInvalidField, "the query is not well-formed: %s", err)
	}
	var unknown []string
	for _, name := range sortedKeys(values) {
		given := values[name]
		if isValidateOnly(name) && rt.takesValidateOnly() {
			q.addValidateOnly(rt, name, given)
			continue
		}
		fd, path := rt.parameter(name)
		if fd == nil {
			unknown = append(unknown, name)
			continue
		}
		if _, twice := q.form[path]; twice || (len(given) > 1 && !fd.IsList() && !isFieldMask(fd)) {
			q.violations = append(q.violations, rpcerr.Violation{Field: name, Rule: "query", Message: "is given more than once"})
			continue
		}
		if isFieldMask(fd) {
			q.form[path] = []string{normaliseMask(maskScope(rt.input, rt.body), strings.Join(given, ","))}
			continue
		}
		if message := badValue(rt.input, path, given); message != "" {
			q.violations = append(q.violations, rpcerr.Violation{Field: name, Rule: "query", Message: message})
			continue
		}
		q.form[path] = given
	}
	if len(unknown) > 0 {
		return q, unknownParameters(rt, unknown)
	}
	return q, nil
}

func unknownParameters(rt *route, names []string) error {
	e := rpcerr.Malformed(rpcerr.ReasonUnknownParameter, "there is no parameter %q here; possible: %s",
		shorten(names[0]), strings.Join(rt.parameters(), ", ")).WithMetadata("parameter", shorten(names[0]))
	for _, name := range names {
		e.Violations = append(e.Violations, rpcerr.Violation{
			Field: shorten(name), Rule: "unknown", Message: "is not a parameter of this route",
		})
	}
	return e
}

// takesValidateOnly says whether validateOnly is a parameter: on all that changes something,
// also where the body is the whole request.
func (rt *route) takesValidateOnly() bool {
	return rt.mutates || rt.input.Fields().ByName(validateOnly) != nil
}

func isValidateOnly(name string) bool { return name == "validateOnly" || name == validateOnly }

func (q *query) addValidateOnly(rt *route, name string, given []string) {
	on, err := strconv.ParseBool(given[0])
	if err != nil || len(given) > 1 {
		q.violations = append(q.violations, rpcerr.Violation{Field: name, Rule: "query", Message: "must be true or false, and given once"})
		return
	}
	q.validateOnly = q.validateOnly || on
	if on && !rt.bodyAll && rt.input.Fields().ByName(validateOnly) != nil {
		q.form.Set(validateOnly, "true")
	}
}

// parameter finds the field that a query parameter fills, by its JSON or its proto path, and
// returns its proto path. What the path or the body fills is no parameter.
func (rt *route) parameter(name string) (protoreflect.FieldDescriptor, string) {
	if rt.bodyAll {
		return nil, ""
	}
	md := rt.input
	var fd protoreflect.FieldDescriptor
	var path []string
	for segment := range strings.SplitSeq(name, ".") {
		if md == nil {
			return nil, ""
		}
		fd = findField(md, segment)
		if fd == nil || fd.IsMap() || fd.ContainingMessage() == rt.input && rt.body == fd {
			return nil, ""
		}
		path = append(path, string(fd.Name()))
		md = nil
		if isNested(fd) {
			md = fd.Message()
		}
	}
	joined := strings.Join(path, ".")
	if md != nil || rt.bound(joined) {
		return nil, ""
	}
	return fd, joined
}

// parameters lists the names of the parameters at the top level, in JSON.
func (rt *route) parameters() []string {
	var names []string
	for i := range rt.input.Fields().Len() {
		fd := rt.input.Fields().Get(i)
		if known, _ := rt.parameter(string(fd.Name())); known != nil && !isValidateOnly(string(fd.Name())) {
			names = append(names, fd.JSONName())
		}
	}
	if rt.takesValidateOnly() {
		names = append(names, "validateOnly")
	}
	if len(names) == 0 {
		return []string{"none"}
	}
	return names
}

// badValue says what is wrong with a parameter's values, in words; nothing when they are
// fine.
func badValue(md protoreflect.MessageDescriptor, path string, given []string) string {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName())
	if err != nil {
		return "can't be read"
	}
	for _, value := range given {
		if err := runtime.PopulateFieldFromPath(mt.New().Interface(), path, value); err != nil {
			return wantOf(lastField(md, path))
		}
	}
	return ""
}

func lastField(md protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	var fd protoreflect.FieldDescriptor
	for segment := range strings.SplitSeq(path, ".") {
		fd = md.Fields().ByName(protoreflect.Name(segment))
		md = fd.Message()
	}
	return fd
}

// normaliseMask spells the paths that lead to a field in proto names and leaves the others
// for the API to refuse.
func normaliseMask(md protoreflect.MessageDescriptor, mask string) string {
	var paths []string
	for path := range strings.SplitSeq(mask, ",") {
		if path = strings.TrimSpace(path); path != "" {
			paths = append(paths, protoPath(md, path))
		}
	}
	return strings.Join(paths, ",")
}

func protoPath(md protoreflect.MessageDescriptor, path string) string {
	segments := strings.Split(path, ".")
	for i, segment := range segments {
		if md == nil {
			break
		}
		fd := findField(md, segment)
		if fd == nil {
			break
		}
		segments[i] = string(fd.Name())
		md = nil
		if isNested(fd) {
			md = fd.Message()
		}
	}
	return strings.Join(segments, ".")
}

// maskScope is the message that the paths of a request's mask begin at.
func maskScope(input protoreflect.MessageDescriptor, body protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if body != nil {
		return body.Message()
	}
	return input
}

// setMask fills in a mask that was left out with the fields that the body has.
func (rt *route) setMask(form url.Values, present []string) {
	fd := rt.input.Fields().ByName(updateMask)
	if rt.body == nil || fd == nil || !isFieldMask(fd) {
		return
	}
	if _, given := form[updateMask]; !given {
		form.Set(updateMask, normaliseMask(rt.body.Message(), strings.Join(present, ",")))
	}
}

func findField(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByJSONName(name); fd != nil {
		return fd
	}
	return md.Fields().ByTextName(name)
}

// isNested says whether the field is one message with fields of its own, other than the
// well-known types, which are values.
func isNested(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !fd.IsList() && !fd.IsMap() && !isWellKnown(fd.Message())
}

func isWellKnown(md protoreflect.MessageDescriptor) bool {
	return strings.HasPrefix(string(md.FullName()), "google.protobuf.")
}

func isFieldMask(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !fd.IsList() && fd.Message().FullName() == fieldMaskName
}

func sortedKeys(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
