package masks

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// Options adjust [Apply] to a resource. The zero value is right for most.
type Options struct {
	// Whole names fields, by their paths, that are only ever replaced whole: a path below
	// one means all of it, and setting any of it sets all of it.
	Whole []string
	// Ignore names fields, by their paths, that this method does not change; they are
	// treated as OUTPUT_ONLY.
	Ignore []string
	// Same says whether two texts of the immutable field at the path mean the same, such as
	// a domain in two spellings. Exact equality where nil.
	Same func(path, stored, update string) bool
}

// Apply changes dst, a stored resource, as src under mask asks, and returns the JSON paths
// of the fields that now differ, in the order of the message's fields. dst and src are of one
// type. On an error dst is as it was; errors are rpcerr's and name all violations at once:
// a path that leads to no field is one of `updateMask`.
func Apply(dst, src proto.Message, mask *fieldmaskpb.FieldMask, opts Options) (changed []string, err error) {
	d, s := dst.ProtoReflect(), src.ProtoReflect()
	if d.Descriptor() != s.Descriptor() {
		return nil, rpcerr.InvalidField("updateMask", "type", "does not fit the resource")
	}
	o := normalise(d.Descriptor(), opts)
	var want selection
	switch {
	case mask == nil:
		want = populated(s, "", o)
	case slices.Contains(mask.GetPaths(), "*"):
		// A full replacement needs no other path, but a wrong one is still wrong.
		if _, err := parsePaths(d.Descriptor(), without(mask.GetPaths(), "*"), o); err != nil {
			return nil, err
		}
		want = selection{all: true, lenient: true}
	default:
		if want, err = parsePaths(d.Descriptor(), mask.GetPaths(), o); err != nil {
			return nil, err
		}
	}
	if violations := immutable(d, s, want, "", o); len(violations) > 0 {
		return nil, rpcerr.Invalid(violations...)
	}
	return assign(d, s, want, "", o), nil
}

// assign copies what is wanted from src to dst and returns the paths that changed.
func assign(dst, src protoreflect.Message, want selection, prefix string, o normalised) (changed []string) {
	fields := dst.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		below, wanted := want.below(fd)
		path := join(prefix, fd.JSONName())
		// What can't change is the same by now, or was not meant.
		if !wanted || o.ignored(fd, path, prefix == "") || isImmutable(fd) {
			continue
		}
		if !mergeable(fd) || o.whole[path] {
			if !same(fd, dst, src) {
				replace(fd, dst, src)
				changed = append(changed, path)
			}
			continue
		}
		if !dst.Has(fd) && !src.Has(fd) {
			continue
		}
		had, has := dst.Has(fd), src.Has(fd)
		sub := assign(dst.Mutable(fd).Message(), src.Get(fd).Message(), below, path, o)
		switch {
		case below.all && !has && isEmpty(dst.Get(fd).Message()):
			dst.Clear(fd)
			if len(sub) == 0 {
				sub = []string{path}
			}
		case !had && len(sub) == 0 && below.all:
			// Set, although empty, is another state than not set.
			sub = []string{path}
		case !had && len(sub) == 0:
			dst.Clear(fd)
		}
		changed = append(changed, sub...)
	}
	return changed
}

// immutable returns a violation for every wanted IMMUTABLE field whose value would change.
func immutable(dst, src protoreflect.Message, want selection, prefix string, o normalised) (violations []rpcerr.Violation) {
	fields := dst.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		below, wanted := want.below(fd)
		path := join(prefix, fd.JSONName())
		if !wanted || o.ignored(fd, path, prefix == "") {
			continue
		}
		if isImmutable(fd) {
			if (want.lenient && !src.Has(fd)) || same(fd, dst, src) || o.sameText(fd, path, dst, src) {
				continue
			}
			violations = append(violations, rpcerr.Violation{
				Field: path, Rule: "immutable", Message: "can't change once it is set",
			})
			continue
		}
		if mergeable(fd) && !o.whole[path] && src.Has(fd) {
			violations = append(violations, immutable(dst.Get(fd).Message(), src.Get(fd).Message(), below, path, o)...)
		}
	}
	return violations
}

func same(fd protoreflect.FieldDescriptor, a, b protoreflect.Message) bool {
	return a.Has(fd) == b.Has(fd) && a.Get(fd).Equal(b.Get(fd))
}

// replace copies, so that dst and src share nothing afterwards.
func replace(fd protoreflect.FieldDescriptor, dst, src protoreflect.Message) {
	if !src.Has(fd) {
		dst.Clear(fd)
		return
	}
	copied := src.New()
	copied.Set(fd, src.Get(fd))
	copied = proto.Clone(copied.Interface()).ProtoReflect()
	dst.Set(fd, copied.Get(fd))
}

func isEmpty(m protoreflect.Message) bool {
	empty := true
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool {
		empty = false
		return false
	})
	return empty
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func without(paths []string, path string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == path })
}
