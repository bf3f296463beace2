package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

const (
	// maxViolations bounds how much of what is wrong is looked for.
	maxViolations = 100
	// maxTokens bounds the keys, values and brackets of a body: twice what the longest list
	// that is possible has.
	maxTokens = 250_000
)

var emptyDescriptor = (&emptypb.Empty{}).ProtoReflect().Descriptor()

// checker walks the JSON of a message beside its descriptor. It finds unknown fields, fields
// that are given twice and values of a wrong type, each by its path, where the decoder that
// comes after it would stop at the first and not say where. It also notes which fields are
// present, and fills in the update masks that were left out inside a body.
type checker struct {
	raw        []byte
	dec        *json.Decoder
	maxDepth   int
	depth      int
	tokens     int
	violations []rpcerr.Violation
	edits      []edit
	// captured has the texts at the paths that are keys of it.
	captured map[string]string
}

// edit replaces a part of the JSON.
type edit struct {
	from, to int64
	text     string
}

func newChecker(raw []byte, maxDepth int) *checker {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return &checker{raw: raw, dec: dec, maxDepth: maxDepth, captured: map[string]string{}}
}

// check returns the paths of what the JSON sets. The error, rpcerr's, is for what can't be
// walked to its end.
func (c *checker) check(md protoreflect.MessageDescriptor) ([]string, error) {
	tok, err := c.token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('{') {
		return nil, rpcerr.InvalidField("body", "json", "must be a JSON object")
	}
	present, err := c.message(md, "")
	if err != nil {
		return nil, err
	}
	if _, err := c.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, rpcerr.InvalidField("body", "json", "goes on after the JSON object")
	}
	return present, nil
}

// edited returns the JSON with the edits made.
func (c *checker) edited() []byte {
	if len(c.edits) == 0 {
		return c.raw
	}
	slices.SortFunc(c.edits, func(a, b edit) int { return int(a.from - b.from) })
	var out bytes.Buffer
	at := int64(0)
	for _, e := range c.edits {
		out.Write(c.raw[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(c.raw[at:])
	return out.Bytes()
}

// violate notes what is wrong. The walk ends soon after the last that is noted.
func (c *checker) violate(path, rule, format string, args ...any) {
	if len(c.violations) < maxViolations {
		c.violations = append(c.violations, rpcerr.Violation{Field: path, Rule: rule, Message: fmt.Sprintf(format, args...)})
	}
}

// token returns the next token and counts the nesting. It fails where going on is no use.
func (c *checker) token() (json.Token, error) {
	if len(c.violations) >= maxViolations {
		return nil, rpcerr.Invalid(c.violations...)
	}
	if c.tokens++; c.tokens > maxTokens {
		return nil, rpcerr.InvalidField("body", "max_values", "has more than %d keys and values", maxTokens)
	}
	tok, err := c.dec.Token()
	if err != nil {
		return nil, c.syntaxError(err)
	}
	if d, ok := tok.(json.Delim); ok {
		if d == '{' || d == '[' {
			c.depth++
		} else {
			c.depth--
		}
		if c.depth > c.maxDepth {
			return nil, rpcerr.InvalidField("body", "max_depth", "is nested deeper than %d levels", c.maxDepth)
		}
	}
	return tok, nil
}

func (c *checker) syntaxError(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return rpcerr.InvalidField("body", "json", "is not JSON at byte %d: %s", syntax.Offset, syntax.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return rpcerr.InvalidField("body", "json", "is not JSON: it ends in the middle")
	default:
		return rpcerr.InvalidField("body", "json", "is not JSON").WithCause(err)
	}
}

// message walks the fields of an object whose brace was read, and returns the paths of what
// is set, relative to it.
func (c *checker) message(md protoreflect.MessageDescriptor, path string) ([]string, error) {
	start := c.dec.InputOffset()
	present := map[protoreflect.FieldNumber][]string{}
	chosen := map[protoreflect.Name]protoreflect.FieldDescriptor{}
	var all []string
	empty := true
	for c.dec.More() {
		empty = false
		key, err := c.key()
		if err != nil {
			return nil, err
		}
		fd := findField(md, key)
		if fd == nil {
			c.violate(join(path, shorten(key)), "unknown", "is not a field%s", suggestion(md, key))
			if err := c.skip(); err != nil {
				return nil, err
			}
			continue
		}
		at := join(path, fd.JSONName())
		if _, twice := present[fd.Number()]; twice {
			c.violate(at, "unique", "is given more than once")
		}
		c.oneOf(fd, at, chosen)
		below, err := c.field(fd, at)
		if err != nil {
			return nil, err
		}
		for i := range below {
			below[i] = join(fd.JSONName(), below[i])
		}
		present[fd.Number()] = below
		all = append(all, below...)
	}
	if _, err := c.token(); err != nil {
		return nil, err
	}
	c.fillMask(md, present, start, empty)
	return all, nil
}

// oneOf refuses a second field of a group of which one may be given; chosen has the first of
// each group. A null, which is about to be read, is a field that is not given.
func (c *checker) oneOf(fd protoreflect.FieldDescriptor, path string, chosen map[protoreflect.Name]protoreflect.FieldDescriptor) {
	group := fd.ContainingOneof()
	if group == nil || group.IsSynthetic() || bytes.HasPrefix(bytes.TrimLeft(c.raw[c.dec.InputOffset():], ": \t\r\n"), []byte("null")) {
		return
	}
	first := chosen[group.Name()]
	if first == nil {
		chosen[group.Name()] = fd
		return
	}
	if first == fd {
		return // It is given twice, which is said already.
	}
	c.violate(path, "oneof", "can't be given beside %s: only one of them holds", first.JSONName())
}

func (c *checker) key() (string, error) {
	tok, err := c.token()
	if err != nil {
		return "", err
	}
	key, ok := tok.(string)
	if !ok {
		return "", rpcerr.InvalidField("body", "json", "is not JSON: a key is not a text")
	}
	return key, nil
}

// fillMask adds the mask that an object lacks. Where one message beside it is to be updated
// its paths begin there, where several are, as in ConfigureSite, they begin with its name.
// The mask of the body's own resource is a query parameter and filled in elsewhere.
func (c *checker) fillMask(md protoreflect.MessageDescriptor, present map[protoreflect.FieldNumber][]string, start int64, empty bool) {
	mask := md.Fields().ByName(updateMask)
	if mask == nil || !isFieldMask(mask) {
		return
	}
	if _, given := present[mask.Number()]; given {
		return
	}
	var resources []protoreflect.FieldDescriptor
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); isNested(fd) {
			resources = append(resources, fd)
		}
	}
	var paths []string
	for _, fd := range resources {
		for _, p := range present[fd.Number()] {
			below, ok := strings.CutPrefix(p, fd.JSONName()+".")
			if ok && len(resources) == 1 {
				p = below
			} else if !ok && len(resources) == 1 {
				// The resource itself is null, so nothing of it is there.
				continue
			}
			paths = append(paths, p)
		}
	}
	text := fmt.Sprintf("%q:%q", mask.JSONName(), strings.Join(paths, ","))
	if !empty {
		text += ","
	}
	c.edits = append(c.edits, edit{from: start, to: start, text: text})
}

// skip reads one value of any kind, which nobody decodes: only its end is looked for, and
// how deep it goes is no matter.
func (c *checker) skip() error {
	var unread json.RawMessage
	if err := c.dec.Decode(&unread); err != nil {
		return c.syntaxError(err)
	}
	return nil
}

// rest reads on to the end of the value that begins with a token.
func (c *checker) rest(tok json.Token) error {
	if tok != json.Delim('{') && tok != json.Delim('[') {
		return nil
	}
	for outside := c.depth - 1; c.depth > outside; {
		if _, err := c.token(); err != nil {
			return err
		}
	}
	return nil
}

func join(prefix, name string) string {
	switch {
	case prefix == "":
		return name
	case name == "":
		return prefix
	}
	return prefix + "." + name
}

// suggestion names the field that differs in case only, the most common slip.
func suggestion(md protoreflect.MessageDescriptor, key string) string {
	for i := range md.Fields().Len() {
		if name := md.Fields().Get(i).JSONName(); strings.EqualFold(name, strings.ReplaceAll(key, "-", "")) {
			return "; did you mean " + name + "?"
		}
	}
	return ""
}
