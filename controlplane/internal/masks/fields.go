package masks

import (
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// normalised are Options with JSON paths.
type normalised struct {
	whole, ignore map[string]bool
	same          func(path, stored, update string) bool
}

func normalise(md protoreflect.MessageDescriptor, opts Options) normalised {
	return normalised{whole: jsonPaths(md, opts.Whole), ignore: jsonPaths(md, opts.Ignore), same: opts.Same}
}

// jsonPaths spells paths in JSON names. A path that leads nowhere keeps its spelling and
// then has no effect.
func jsonPaths(md protoreflect.MessageDescriptor, paths []string) map[string]bool {
	set := make(map[string]bool, len(paths))
	for _, path := range paths {
		json, at := "", md
		for segment := range strings.SplitSeq(path, ".") {
			if at == nil {
				json = path
				break
			}
			fd := findField(at, segment)
			if fd == nil {
				json = path
				break
			}
			json, at = join(json, fd.JSONName()), fd.Message()
		}
		set[json] = true
	}
	return set
}

// ignored says whether a client's value of the field has no effect.
func (o normalised) ignored(fd protoreflect.FieldDescriptor, path string, top bool) bool {
	return o.ignore[path] || (top && fd.Name() == "etag") ||
		has(fd, annotations.FieldBehavior_OUTPUT_ONLY) || has(fd, annotations.FieldBehavior_IDENTIFIER)
}

func (o normalised) sameText(fd protoreflect.FieldDescriptor, path string, dst, src protoreflect.Message) bool {
	return o.same != nil && fd.Kind() == protoreflect.StringKind && !fd.IsList() &&
		o.same(path, dst.Get(fd).String(), src.Get(fd).String())
}

func isImmutable(fd protoreflect.FieldDescriptor) bool {
	return has(fd, annotations.FieldBehavior_IMMUTABLE)
}

func has(fd protoreflect.FieldDescriptor, behavior annotations.FieldBehavior) bool {
	behaviors, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviors, behavior)
}

// mergeable says whether the field is a message whose own fields can be named. The
// well-known types are values.
func mergeable(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !fd.IsList() && !fd.IsMap() &&
		!strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf.")
}

func findField(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByJSONName(name); fd != nil {
		return fd
	}
	return md.Fields().ByTextName(name)
}
