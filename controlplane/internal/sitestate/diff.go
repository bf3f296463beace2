package sitestate

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Diff says what differs between two configurations, in order of the paths. Lists are one
// value each: an entry that moved is no easier to understand as many changed places.
func Diff(from, to *breakwaterv1.SiteConfig) []*breakwaterv1.VersionDiff_Change {
	d := differ{values: true}
	d.messages("", from.ProtoReflect(), to.ProtoReflect())
	slices.SortFunc(d.changes, func(a, b *breakwaterv1.VersionDiff_Change) int { return cmp.Compare(a.GetPath(), b.GetPath()) })
	return d.changes
}

// ChangedFields are the paths of [Diff] alone, in order. It is cheap where little differs.
func ChangedFields(from, to *breakwaterv1.SiteConfig) []string {
	var d differ
	d.messages("", from.ProtoReflect(), to.ProtoReflect())
	paths := make([]string, len(d.changes))
	for i, c := range d.changes {
		paths[i] = c.GetPath()
	}
	slices.Sort(paths)
	return paths
}

type differ struct {
	values  bool
	changes []*breakwaterv1.VersionDiff_Change
}

// computed are the fields that say where something is, not what it is.
func computed(fd protoreflect.FieldDescriptor) bool {
	switch fd.Name() {
	case "name", "version", "etag":
		return true
	}
	return false
}

// outputOnly are the fields that nobody sets; what is stored has most of them empty.
func outputOnly(fd protoreflect.FieldDescriptor) bool {
	behaviors, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, annotations.FieldBehavior_OUTPUT_ONLY)
}

// messages compares two messages of one type; either may be absent.
func (d *differ) messages(prefix string, a, b protoreflect.Message) {
	fields := a.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if computed(fd) {
			continue
		}
		has := a.Has(fd) || b.Has(fd)
		// A plain value that is its default on both sides still differs where one side
		// does not exist at all.
		if !has && (outputOnly(fd) || fd.HasPresence() || fd.IsList() || fd.IsMap() || a.IsValid() == b.IsValid()) {
			continue
		}
		path := join(prefix, fd.JSONName())
		switch {
		case fd.IsMap():
			d.maps(path, fd, a.Get(fd).Map(), b.Get(fd).Map())
		case fd.Message() != nil && !fd.IsList() && fd.Message().FullName() == structName:
			d.structs(path, structOf(a, fd), structOf(b, fd))
		case fd.Message() != nil && !fd.IsList() && !isValue(fd.Message()):
			d.messages(path, a.Get(fd).Message(), b.Get(fd).Message())
		default:
			if a.IsValid() != b.IsValid() || a.Has(fd) != b.Has(fd) || !a.Get(fd).Equal(b.Get(fd)) {
				d.add(path, func(m bool) *structpb.Value {
					if m {
						return fieldValue(a, fd)
					}
					return fieldValue(b, fd)
				})
			}
		}
	}
}

// maps compares two maps with text as keys and messages as values.
func (d *differ) maps(path string, fd protoreflect.FieldDescriptor, a, b protoreflect.Map) {
	keys := map[string]bool{}
	for _, m := range []protoreflect.Map{a, b} {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			keys[k.String()] = true
			return true
		})
	}
	absent := fd.MapValue().Message()
	if absent == nil {
		return // No configuration holds one.
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		k := protoreflect.ValueOfString(key).MapKey()
		d.messages(path+"."+key, entryOf(a, b, k), entryOf(b, a, k))
	}
}

// entryOf is the map's entry, or the absent message of the type that the other map has.
func entryOf(m, other protoreflect.Map, k protoreflect.MapKey) protoreflect.Message {
	if m.Has(k) {
		return m.Get(k).Message()
	}
	return other.Get(k).Message().Type().Zero()
}

const structName = "google.protobuf.Struct"

func structOf(m protoreflect.Message, fd protoreflect.FieldDescriptor) *structpb.Struct {
	s, _ := m.Get(fd).Message().Interface().(*structpb.Struct)
	return s
}

// structs compares free-form settings, key by key.
func (d *differ) structs(path string, a, b *structpb.Struct) {
	keys := map[string]bool{}
	for k := range a.GetFields() {
		keys[k] = true
	}
	for k := range b.GetFields() {
		keys[k] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		av, bv := a.GetFields()[key], b.GetFields()[key]
		if av.GetStructValue() != nil && bv.GetStructValue() != nil {
			d.structs(path+"."+key, av.GetStructValue(), bv.GetStructValue())
			continue
		}
		if (av == nil) == (bv == nil) && av.ProtoReflect().IsValid() &&
			protoreflect.ValueOfMessage(av.ProtoReflect()).Equal(protoreflect.ValueOfMessage(bv.ProtoReflect())) {
			continue
		}
		d.add(path+"."+key, func(first bool) *structpb.Value {
			v := bv
			if first {
				v = av
			}
			if v == nil {
				return structpb.NewNullValue()
			}
			return v
		})
	}
}

func (d *differ) add(path string, value func(first bool) *structpb.Value) {
	c := &breakwaterv1.VersionDiff_Change{Path: path}
	if d.values {
		c.From, c.To = value(true), value(false)
	}
	d.changes = append(d.changes, c)
}

// isValue says whether a message is shown as one value in JSON.
func isValue(md protoreflect.MessageDescriptor) bool {
	return md.ParentFile().Package() == "google.protobuf"
}

// fieldValue is a field's value as JSON has it; null where the message or, with presence,
// the field is absent.
func fieldValue(m protoreflect.Message, fd protoreflect.FieldDescriptor) *structpb.Value {
	if !m.IsValid() || fd.HasPresence() && !m.Has(fd) {
		return structpb.NewNullValue()
	}
	// One field alone in a message of its type is the shortest way to its JSON form.
	alone := m.New()
	if m.Has(fd) {
		alone.Set(fd, m.Get(fd))
	}
	b, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(alone.Interface())
	if err != nil {
		return structpb.NewNullValue()
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return structpb.NewNullValue()
	}
	v, err := structpb.NewValue(all[fd.JSONName()])
	if err != nil {
		return structpb.NewNullValue()
	}
	return v
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
