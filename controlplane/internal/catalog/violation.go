package catalog

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/internet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// root is the field that holds an app's settings.
const root = "settings"

// maxViolations bounds an answer: whoever has more mistakes than that starts with these.
const maxViolations = 50

// violations turns the library's tree of errors into one violation a field and rule, in
// order of the fields.
func violations(err *jsonschema.ValidationError) []rpcerr.Violation {
	var found []rpcerr.Violation
	collect(err, &found)
	slices.SortFunc(found, func(a, b rpcerr.Violation) int {
		return strings.Compare(a.Field+"\x00"+a.Rule, b.Field+"\x00"+b.Rule)
	})
	found = slices.Compact(found)
	return found[:min(len(found), maxViolations)]
}

func collect(err *jsonschema.ValidationError, found *[]rpcerr.Violation) {
	field := fieldPath(err.InstanceLocation)
	add := func(field, rule, format string, args ...any) {
		*found = append(*found, rpcerr.Violation{Field: field, Rule: rule, Message: fmt.Sprintf(format, args...)})
	}
	switch k := err.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			collect(cause, found)
		}
	case *kind.Required:
		for _, name := range k.Missing {
			add(field+"."+name, "required", "is needed")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			add(field+"."+name, "unknown_field", "is not a setting of this app")
		}
	case *kind.Type:
		add(field, "type", "must be of type %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Minimum:
		add(field, "minimum", "must be at least %s", number(k.Want))
	case *kind.Maximum:
		add(field, "maximum", "must be at most %s", number(k.Want))
	case *kind.MinLength:
		add(field, "min_length", "must have at least %d characters", k.Want)
	case *kind.MaxLength:
		add(field, "max_length", "must have at most %d characters, not %d", k.Want, k.Got)
	case *kind.MinItems:
		add(field, "min_items", "must have at least %d entries", k.Want)
	case *kind.MaxItems:
		add(field, "max_items", "must have at most %d entries, not %d", k.Want, k.Got)
	case *kind.UniqueItems:
		add(field, "unique", "entries %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.Pattern:
		add(field, "pattern", "must match %s", k.Want)
	case *kind.Format:
		if problem, ok := errors.AsType[*internet.Problem](k.Err); ok {
			add(field, problem.Rule, "%s", problem.Reason)
			return
		}
		add(field, "format", "must be a %s", k.Want)
	case *kind.Not:
		add(field, "not", "is not allowed")
	case *kind.OneOf:
		add(field, "one_of", "must have exactly one of its forms")
	default:
		rule := "schema"
		if path := err.ErrorKind.KeywordPath(); len(path) > 0 {
			rule = snake(path[len(path)-1])
		}
		add(field, rule, "%s", err.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
	}
}

// fieldPath writes a location the way API errors name fields: `settings.rules[2].match`.
func fieldPath(location []string) string {
	var b strings.Builder
	b.WriteString(root)
	for _, part := range location {
		if _, err := strconv.ParseUint(part, 10, 31); err == nil {
			b.WriteString("[" + part + "]")
			continue
		}
		b.WriteString("." + part)
	}
	return b.String()
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(6), "0")
}

func snake(camel string) string {
	var b strings.Builder
	for _, r := range camel {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
