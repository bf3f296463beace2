package listing

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	timestampName protoreflect.FullName = "google.protobuf.Timestamp"
	durationName  protoreflect.FullName = "google.protobuf.Duration"
	structName    protoreflect.FullName = "google.protobuf.Struct"
)

// step goes one field down, and to one entry where the field is a map and keyed is set.
type step struct {
	fd    protoreflect.FieldDescriptor
	key   protoreflect.MapKey
	keyed bool
}

// path leads from an item to a value.
type path struct {
	steps []step
	// leaf is the last field; for an entry of a map, the entry's value.
	leaf protoreflect.FieldDescriptor
	// json is the path in JSON names.
	json string
	// keyed says that the leaf is an entry of a map.
	keyed bool
	// repeated says that a list of messages lies on the way.
	repeated bool
	// dynamic are the segments inside a google.protobuf.Struct, where the leaf is one.
	dynamic []string
}

func resolve(md protoreflect.MessageDescriptor, segments []string) (path, error) {
	var p path
	var names []string
	for i := 0; i < len(segments); i++ {
		if md == nil {
			return path{}, fmt.Errorf("%q has no fields", strings.Join(names, "."))
		}
		fd := findField(md, segments[i])
		if fd == nil {
			return path{}, fmt.Errorf("there is no field %q", strings.Join(append(names, segments[i]), "."))
		}
		names = append(names, fd.JSONName())
		s := step{fd: fd}
		p.leaf, p.keyed = fd, false
		switch {
		case fd.IsMap() && i+1 < len(segments):
			key, err := mapKey(fd.MapKey(), segments[i+1])
			if err != nil {
				return path{}, fmt.Errorf("%q: %w", strings.Join(names, "."), err)
			}
			i++
			names = append(names, segments[i])
			s.key, s.keyed = key, true
			p.leaf, p.keyed = fd.MapValue(), true
			md = fieldsOf(fd.MapValue())
		case fd.IsMap():
			md = nil
		default:
			// A list at the end is looked into by the comparison, not by the path.
			p.repeated = p.repeated || (fd.IsList() && i+1 < len(segments))
			md = fieldsOf(fd)
		}
		p.steps = append(p.steps, s)
		if isStruct(p.leaf) && !p.leaf.IsList() {
			p.dynamic = segments[i+1:]
			names = append(names, p.dynamic...)
			break
		}
	}
	p.json = strings.Join(names, ".")
	return p, nil
}

// findField finds a field by its JSON or its proto name. What is only ever sent is not
// among the returned fields.
func findField(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	fd := md.Fields().ByJSONName(name)
	if fd == nil {
		fd = md.Fields().ByTextName(name)
	}
	if fd == nil {
		return nil
	}
	behaviors, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	if slices.Contains(behaviors, annotations.FieldBehavior_INPUT_ONLY) {
		return nil
	}
	return fd
}

// fieldsOf is the message whose fields a path may go on to, nil for plain values.
func fieldsOf(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	md := fd.Message()
	if md == nil || strings.HasPrefix(string(md.FullName()), "google.protobuf.") {
		return nil
	}
	return md
}

func isStruct(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && fd.Message().FullName() == structName
}

func isTime(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && (fd.Message().FullName() == timestampName || fd.Message().FullName() == durationName)
}

func mapKey(fd protoreflect.FieldDescriptor, text string) (protoreflect.MapKey, error) {
	if fd.Kind() == protoreflect.StringKind {
		return protoreflect.ValueOfString(text).MapKey(), nil
	}
	return protoreflect.MapKey{}, fmt.Errorf("keys of the type %s can't be used in a path", fd.Kind())
}

// sortable says whether the leaf is one value with an order.
func (p path) sortable() bool {
	if p.repeated || p.leaf.IsList() || p.leaf.IsMap() || len(p.dynamic) > 0 {
		return false
	}
	switch p.leaf.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return isTime(p.leaf)
	case protoreflect.BytesKind:
		return false
	default:
		return true
	}
}

// visit calls f with each value that the path leads to until f returns true, and says
// whether it did. Nothing is visited behind a message, an optional field or a map's entry
// that is not set.
func (p path) visit(m protoreflect.Message, f func(protoreflect.Value) bool) bool {
	return visit(m, p.steps, f)
}

func visit(m protoreflect.Message, steps []step, f func(protoreflect.Value) bool) bool {
	s, rest := steps[0], steps[1:]
	if s.fd.HasPresence() && !m.Has(s.fd) {
		return false
	}
	v := m.Get(s.fd)
	if s.keyed {
		if !v.Map().Has(s.key) {
			return false
		}
		v = v.Map().Get(s.key)
	}
	switch {
	case len(rest) == 0:
		return f(v)
	case s.fd.IsList():
		list := v.List()
		for i := range list.Len() {
			if visit(list.Get(i).Message(), rest, f) {
				return true
			}
		}
		return false
	default:
		return visit(v.Message(), rest, f)
	}
}

// secondsOf reads a Timestamp or a Duration.
func secondsOf(m protoreflect.Message) (seconds, nanos int64) {
	fields := m.Descriptor().Fields()
	return m.Get(fields.ByName("seconds")).Int(), m.Get(fields.ByName("nanos")).Int()
}
