package catalog

import (
	"errors"
	"fmt"
	"math"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/internet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Bounds of what customers and operators may give. They keep validation, whose time grows
// with both, short.
const (
	// MaxSettingsBytes is the largest settings of one app, serialised.
	MaxSettingsBytes = 128 << 10
	// MaxSchemaBytes is the largest schema, serialised.
	MaxSchemaBytes = 64 << 10
	// MaxDepth is how deep settings and schemas may be nested.
	MaxDepth = 16
)

// noLoader refuses every reference that leaves the schema.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema may refer to itself only, not to %s", url)
}

// errNoSchema says that an entry has none: without one nothing could be checked.
var errNoSchema = errors.New("settingsSchema is missing")

// formats are those of schemas that JSON Schema does not have: texts of which there must be
// such a thing on the Internet.
var formats = []*jsonschema.Format{
	{Name: "source-cidr", Validate: func(v any) error {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		_, err := internet.Source(text)
		return err
	}},
	{Name: "public-url", Validate: func(v any) error {
		if text, ok := v.(string); ok {
			return internet.CheckURL(text)
		}
		return nil
	}},
}

func compileSchema(id string, schema *structpb.Struct) (*jsonschema.Schema, error) {
	if len(schema.GetFields()) == 0 {
		return nil, errNoSchema
	}
	if err := bounded(schema, MaxSchemaBytes); err != nil {
		return nil, fmt.Errorf("settingsSchema %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for _, f := range formats {
		c.RegisterFormat(f)
	}
	c.UseLoader(noLoader{})
	url := "breakwater:///apps/" + id
	if err := c.AddResource(url, schema.AsMap()); err != nil {
		return nil, fmt.Errorf("settingsSchema: %w", err)
	}
	compiled, err := c.Compile(url)
	if err != nil {
		return nil, fmt.Errorf("settingsSchema: %w", err)
	}
	return compiled, nil
}

// bounded says what keeps a struct from being looked at: its size, its depth, or a number
// that JSON can't hold.
func bounded(s *structpb.Struct, maxBytes int) error {
	if size := proto.Size(s); size > maxBytes {
		return fmt.Errorf("has %d bytes; at most %d are allowed", size, maxBytes)
	}
	return boundedStruct(s, MaxDepth)
}

var (
	errDepth  = fmt.Errorf("is nested deeper than %d levels", MaxDepth)
	errNumber = errors.New("has a number that JSON can't hold")
)

func boundedStruct(s *structpb.Struct, depth int) error {
	if depth == 0 {
		return errDepth
	}
	for _, v := range s.GetFields() {
		if err := boundedValue(v, depth-1); err != nil {
			return err
		}
	}
	return nil
}

func boundedValue(v *structpb.Value, depth int) error {
	switch v := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		if math.IsNaN(v.NumberValue) || math.IsInf(v.NumberValue, 0) {
			return errNumber
		}
	case *structpb.Value_StructValue:
		return boundedStruct(v.StructValue, depth)
	case *structpb.Value_ListValue:
		if depth == 0 {
			return errDepth
		}
		for _, item := range v.ListValue.GetValues() {
			if err := boundedValue(item, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// ValidateSettings says what is wrong with a site's settings for an app, by the app's
// schema. What the settings leave out is taken from the defaults, so an app that needs
// something of the site is refused with empty settings. Fields are named below `settings`.
// An app that the catalogue does not have is a violation of `app`.
func (c *Catalog) ValidateSettings(id string, settings *structpb.Struct) []rpcerr.Violation {
	e, ok := c.entries[id]
	if !ok {
		return []rpcerr.Violation{{Field: "app", Rule: "unknown", Message: fmt.Sprintf("there is no app %q", id)}}
	}
	if err := bounded(settings, MaxSettingsBytes); err != nil {
		return []rpcerr.Violation{{Field: root, Rule: "bounded", Message: err.Error()}}
	}
	err := e.schema.Validate(c.Effective(id, settings).AsMap())
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []rpcerr.Violation{{Field: root, Rule: "schema", Message: err.Error()}}
	}
	return violations(invalid)
}
