package masks

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Bounds of a mask.
const (
	maxPaths = 1000
	maxPath  = 500
)

// selection is which fields of a message are wanted: all of them, or some, each with what
// is wanted of it.
type selection struct {
	all    bool
	fields map[protoreflect.FieldNumber]selection
	// lenient says that a field counts only where the update sets it, when it comes to
	// fields that can't change: nobody named it.
	lenient bool
}

func (s selection) below(fd protoreflect.FieldDescriptor) (selection, bool) {
	if s.all {
		return selection{all: true, lenient: s.lenient}, true
	}
	sub, ok := s.fields[fd.Number()]
	return sub, ok
}

// add wants the field, or what lies below it, and returns the field's selection.
func (s *selection) add(fd protoreflect.FieldDescriptor, sub selection) {
	if s.fields == nil {
		s.fields = map[protoreflect.FieldNumber]selection{}
	}
	s.fields[fd.Number()] = sub
}

// populated selects what a message sets, down to plain values. A message that is set but
// empty sets nothing.
func populated(m protoreflect.Message, prefix string, o normalised) selection {
	s := selection{lenient: true}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := join(prefix, fd.JSONName())
		sub := selection{all: true, lenient: true}
		if mergeable(fd) && !o.whole[path] {
			sub = populated(v.Message(), path, o)
		}
		s.add(fd, sub)
		return true
	})
	return s
}

func parsePaths(md protoreflect.MessageDescriptor, paths []string, o normalised) (selection, error) {
	var s selection
	if len(paths) > maxPaths {
		return s, rpcerr.InvalidField("updateMask", "max_items", "has more than %d paths", maxPaths)
	}
	var violations []rpcerr.Violation
	for _, path := range paths {
		if err := s.parse(md, path, o); err != nil {
			violations = append(violations, rpcerr.Violation{Field: "updateMask", Rule: "path", Message: err.Error()})
		}
	}
	if len(violations) > 0 {
		return s, rpcerr.Invalid(violations...)
	}
	return s, nil
}

func (s *selection) parse(md protoreflect.MessageDescriptor, path string, o normalised) error {
	if len(path) > maxPath {
		return fmt.Errorf("has a path of more than %d bytes", maxPath)
	}
	var fds []protoreflect.FieldDescriptor
	json := ""
	for segment := range strings.SplitSeq(path, ".") {
		if md == nil {
			return fmt.Errorf("%q has no fields of its own to name: it is replaced whole", json)
		}
		fd := findField(md, segment)
		if fd == nil {
			return fmt.Errorf("%q is not a field", path)
		}
		fds = append(fds, fd)
		json = join(json, fd.JSONName())
		if o.whole[json] {
			break
		}
		md = nil
		if mergeable(fd) {
			md = fd.Message()
		}
	}
	s.want(fds)
	return nil
}

func (s *selection) want(fds []protoreflect.FieldDescriptor) {
	sub, ok := s.fields[fds[0].Number()]
	switch {
	case ok && sub.all:
		return
	case len(fds) == 1:
		sub = selection{all: true}
	default:
		sub.want(fds[1:])
	}
	s.add(fds[0], sub)
}

// Sub returns the mask that a request's mask holds for one of its fields, by its JSON or
// its proto name: nil without a mask, `*` where the field is named whole, without paths
// where it is not named.
func Sub(mask *fieldmaskpb.FieldMask, field string) *fieldmaskpb.FieldMask {
	if mask == nil {
		return nil
	}
	sub := &fieldmaskpb.FieldMask{}
	for _, path := range mask.GetPaths() {
		head, tail, nested := strings.Cut(path, ".")
		switch {
		case path == "*":
			sub.Paths = append(sub.Paths, "*")
		case canonical(head) != canonical(field):
		case nested:
			sub.Paths = append(sub.Paths, tail)
		default:
			sub.Paths = append(sub.Paths, "*")
		}
	}
	return sub
}

// Check returns an error, of `updateMask`, for every path of the mask that leads to no
// field of the message. It is for masks whose parts are applied to several resources.
func Check(md protoreflect.MessageDescriptor, mask *fieldmaskpb.FieldMask, opts Options) error {
	_, err := parsePaths(md, without(mask.GetPaths(), "*"), normalise(md, opts))
	return err
}

// canonical makes snake_case and lowerCamelCase comparable.
func canonical(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
