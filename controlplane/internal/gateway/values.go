package gateway

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// field walks a field's value and returns the paths of what it sets, relative to the field;
// the empty path is the field itself.
func (c *checker) field(fd protoreflect.FieldDescriptor, path string) ([]string, error) {
	self := []string{""}
	before := c.dec.InputOffset()
	tok, err := c.token()
	if err != nil {
		return nil, err
	}
	switch {
	case tok == nil && !isAnyValue(fd):
		// A null is a field that is not set, and so one that is cleared.
		return self, nil
	case fd.IsMap():
		return self, c.mapField(fd, path, tok)
	case fd.IsList():
		return self, c.list(fd, path, tok)
	case isNested(fd) && tok == json.Delim('{'):
		return c.message(fd.Message(), path)
	case isFieldMask(fd):
		c.mask(path, tok, before)
		return self, c.rest(tok)
	}
	return self, c.single(fd, path, tok)
}

func (c *checker) mapField(fd protoreflect.FieldDescriptor, path string, tok json.Token) error {
	if tok != json.Delim('{') {
		c.violate(path, "type", "must be an object")
		return c.rest(tok)
	}
	seen := map[string]bool{}
	for c.dec.More() {
		key, err := c.key()
		if err != nil {
			return err
		}
		at := fmt.Sprintf("%s[%q]", path, shorten(key))
		if seen[key] {
			c.violate(at, "unique", "is given more than once")
		}
		seen[key] = true
		if err := c.element(fd.MapValue(), at); err != nil {
			return err
		}
	}
	_, err := c.token()
	return err
}

func (c *checker) list(fd protoreflect.FieldDescriptor, path string, tok json.Token) error {
	if tok != json.Delim('[') {
		c.violate(path, "type", "must be a list")
		return c.rest(tok)
	}
	for i := 0; c.dec.More(); i++ {
		if err := c.element(fd, fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	_, err := c.token()
	return err
}

// element walks a value in a list or a map.
func (c *checker) element(fd protoreflect.FieldDescriptor, path string) error {
	tok, err := c.token()
	switch {
	case err != nil:
		return err
	case tok == nil && !isAnyValue(fd):
		c.violate(path, "type", "must not be null")
		return nil
	case fd.Message() != nil && !isWellKnown(fd.Message()) && tok == json.Delim('{'):
		_, err := c.message(fd.Message(), path)
		return err
	}
	return c.single(fd, path, tok)
}

// single checks one plain value whose first token was read.
func (c *checker) single(fd protoreflect.FieldDescriptor, path string, tok json.Token) error {
	if text, ok := tok.(string); ok {
		if _, wanted := c.captured[path]; wanted {
			c.captured[path] = text
		}
	}
	if fd.Message() != nil && isWellKnown(fd.Message()) && isFree(fd.Message()) {
		return c.free(fd, path, tok)
	}
	if !fits(fd, tok) {
		c.violate(path, "type", "%s", wantOf(fd))
	}
	return c.rest(tok)
}

// mask respells a field mask inside a body in JSON names, which the decoder insists on.
func (c *checker) mask(path string, tok json.Token, before int64) {
	text, ok := tok.(string)
	if !ok {
		c.violate(path, "type", "must be a text of paths with commas between")
		return
	}
	var paths []string
	for p := range strings.SplitSeq(text, ",") {
		if p = strings.TrimSpace(p); p != "" {
			paths = append(paths, rpcerr.JSONPath(p))
		}
	}
	spelled := strings.Join(paths, ",")
	if spelled != text {
		// What is replaced begins with the colon after the key.
		c.edits = append(c.edits, edit{from: before, to: c.dec.InputOffset(), text: ":" + strconv.Quote(spelled)})
	}
}

// isFree says whether a well-known type is JSON of any shape.
func isFree(md protoreflect.MessageDescriptor) bool {
	switch md.Name() {
	case "Struct", "Value", "ListValue", "Any", "Empty":
		return true
	}
	return false
}

// isAnyValue says whether null is a value of the field.
func isAnyValue(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Value"
}

// free walks JSON of any shape, for its keys may not be given twice either.
func (c *checker) free(fd protoreflect.FieldDescriptor, path string, tok json.Token) error {
	object, list := tok == json.Delim('{'), tok == json.Delim('[')
	switch fd.Message().Name() {
	case "Struct", "Any", "Empty":
		if !object {
			c.violate(path, "type", "must be an object")
			return c.rest(tok)
		}
	case "ListValue":
		if !list {
			c.violate(path, "type", "must be a list")
			return c.rest(tok)
		}
	}
	return c.freeValue(path, tok)
}

func (c *checker) freeValue(path string, tok json.Token) error {
	seen := map[string]bool{}
	object := tok == json.Delim('{')
	if !object && tok != json.Delim('[') {
		return nil
	}
	for i := 0; c.dec.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if object {
			key, err := c.key()
			if err != nil {
				return err
			}
			at = join(path, shorten(key))
			if seen[key] {
				c.violate(at, "unique", "is given more than once")
			}
			seen[key] = true
		}
		next, err := c.token()
		if err != nil {
			return err
		}
		if err := c.freeValue(at, next); err != nil {
			return err
		}
	}
	_, err := c.token()
	return err
}

// fits says whether a token is a value of the field's type.
func fits(fd protoreflect.FieldDescriptor, tok json.Token) bool {
	text, isText := tok.(string)
	number, isNumber := tok.(json.Number)
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return isText
	case protoreflect.BoolKind:
		_, ok := tok.(bool)
		return ok
	case protoreflect.EnumKind:
		if isText {
			return fd.Enum().Values().ByName(protoreflect.Name(text)) != nil
		}
		return isNumber && wholeNumber(string(number), 32, true)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return fitsWellKnown(fd.Message(), text, isText)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		if isText {
			_, err := strconv.ParseFloat(text, 64)
			return err == nil
		}
		return isNumber
	default:
		if isText {
			number = json.Number(text)
		}
		bits, signed := intSize(fd.Kind())
		return (isText || isNumber) && wholeNumber(string(number), bits, signed)
	}
}

func fitsWellKnown(md protoreflect.MessageDescriptor, text string, isText bool) bool {
	var into proto.Message
	switch md.FullName() {
	case "google.protobuf.Timestamp":
		into = &timestamppb.Timestamp{}
	case "google.protobuf.Duration":
		into = &durationpb.Duration{}
	default:
		// The wrappers are used nowhere; the decoder knows better. Other messages are
		// objects, which never come here.
		return isWellKnown(md)
	}
	return isText && protojson.Unmarshal([]byte(strconv.Quote(text)), into) == nil
}

func intSize(kind protoreflect.Kind) (bits int, signed bool) {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return 32, true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return 32, false
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return 64, false
	default:
		return 64, true
	}
}

func wholeNumber(text string, bits int, signed bool) bool {
	var err error
	if signed {
		_, err = strconv.ParseInt(text, 10, bits)
	} else {
		_, err = strconv.ParseUint(text, 10, bits)
	}
	if err == nil {
		return true
	}
	// JSON may write a whole number with a fraction of zero or an exponent.
	f, err := strconv.ParseFloat(text, 64)
	limit := math.Ldexp(1, bits)
	if signed {
		limit /= 2
	}
	return err == nil && f == math.Trunc(f) && f < limit && (f >= 0 || signed && f >= -limit)
}

// wantOf says what a field's value must be.
func wantOf(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return "must be a text"
	case protoreflect.BytesKind:
		return "must be a text in base64"
	case protoreflect.BoolKind:
		return "must be true or false"
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		names := make([]string, values.Len())
		for i := range names {
			names[i] = string(values.Get(i).Name())
		}
		return "must be one of " + strings.Join(names, ", ")
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "must be a number"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		switch fd.Message().FullName() {
		case "google.protobuf.Timestamp":
			return `must be a time as in "2006-01-02T15:04:05Z"`
		case "google.protobuf.Duration":
			return `must be a duration in seconds, as in "90s"`
		}
		return "must be an object"
	default:
		bits, signed := intSize(fd.Kind())
		if signed {
			return fmt.Sprintf("must be a whole number of at most %d bits", bits)
		}
		return fmt.Sprintf("must be a whole number of at most %d bits that is not negative", bits)
	}
}
