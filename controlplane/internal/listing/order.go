package listing

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	maxOrderTerms = 5
	// maxSortText bounds what of a text takes part in the order, in bytes, so that tokens
	// stay short. Texts that are equal so far are ordered by key.
	maxSortText = 256
)

// orderTerm is one field of an order.
type orderTerm struct {
	path path
	desc bool
}

func parseOrder(md protoreflect.MessageDescriptor, orderBy string, opts Options) ([]orderTerm, error) {
	asked := strings.TrimSpace(orderBy)
	// What the method's own default uses needs no permission.
	free := asked == ""
	if free {
		asked = opts.DefaultOrder
	}
	if asked == "" {
		return nil, nil
	}
	parts := strings.Split(asked, ",")
	if len(parts) > maxOrderTerms {
		return nil, fmt.Errorf("has more than %d fields", maxOrderTerms)
	}
	var terms []orderTerm
	for _, part := range parts {
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 2 || (len(words) == 2 && words[1] != "desc" && words[1] != "asc") {
			return nil, fmt.Errorf("%q is not a field, with ` desc` for descending", strings.TrimSpace(part))
		}
		p, err := resolve(md, strings.Split(words[0], "."))
		if err != nil {
			return nil, err
		}
		if !free && !slices.Contains(opts.OrderBy, p.json) && p.json != opts.KeyOrder {
			return nil, fmt.Errorf("can't order by %q; possible: %s", words[0], strings.Join(orderable(opts), ", "))
		}
		if !p.sortable() {
			return nil, fmt.Errorf("%q has no order", words[0])
		}
		terms = append(terms, orderTerm{path: p, desc: len(words) == 2 && words[1] == "desc"})
	}
	if len(terms) == 1 && !terms[0].desc && terms[0].path.json == opts.KeyOrder {
		return nil, nil
	}
	return terms, nil
}

func orderable(opts Options) []string {
	names := slices.Clone(opts.OrderBy)
	if opts.KeyOrder != "" && !slices.Contains(names, opts.KeyOrder) {
		names = append(names, opts.KeyOrder)
	}
	if len(names) == 0 {
		return []string{"none"}
	}
	return names
}

// sortKey encodes an item's values so that the bytes order as the values do. A field that
// is not set comes first, or last when descending.
func sortKey(terms []orderTerm, m protoreflect.Message) string {
	var b []byte
	for _, t := range terms {
		begin := len(b)
		found := false
		t.path.visit(m, func(v protoreflect.Value) bool {
			found = true
			b = appendOrdered(append(b, 1), t.path.leaf, v)
			return true
		})
		if !found {
			b = append(b, 0)
		}
		if t.desc {
			for i := begin; i < len(b); i++ {
				b[i] = ^b[i]
			}
		}
	}
	return string(b)
}

func appendOrdered(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	const sign = 1 << 63
	switch fd.Kind() {
	case protoreflect.StringKind:
		return appendText(b, v.String())
	case protoreflect.BoolKind:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case protoreflect.EnumKind:
		return binary.BigEndian.AppendUint64(b, uint64(int64(v.Enum()))^sign)
	case protoreflect.MessageKind:
		seconds, nanos := secondsOf(v.Message())
		b = binary.BigEndian.AppendUint64(b, uint64(seconds)^sign)
		return binary.BigEndian.AppendUint64(b, uint64(nanos)^sign)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		bits := math.Float64bits(v.Float())
		if bits&sign != 0 {
			bits = ^bits
		} else {
			bits |= sign
		}
		return binary.BigEndian.AppendUint64(b, bits)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return binary.BigEndian.AppendUint64(b, v.Uint())
	default:
		return binary.BigEndian.AppendUint64(b, uint64(v.Int())^sign)
	}
}

// appendText ends the text with a byte pair that is below any text that goes on; a zero
// byte within is escaped to keep that true.
func appendText(b []byte, text string) []byte {
	if len(text) > maxSortText {
		text = text[:maxSortText]
	}
	for i := range len(text) {
		if text[i] == 0 {
			b = append(b, 0, 0xff)
		} else {
			b = append(b, text[i])
		}
	}
	return append(b, 0, 0)
}
