package intercept

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// knows refuses a message that has a field which this server does not know, at any depth:
// to leave it out would do something else than what was asked for. REST refuses it too.
func knows(m protoreflect.Message) error {
	path, number := unknownField(m)
	if number == 0 {
		return nil
	}
	field := fmt.Sprintf("#%d", number)
	if path != "" {
		field = path + "." + field
	}
	return rpcerr.InvalidField(field, "unknown", "field %d is not known to this server", number)
}

// unknownField finds a field that the message or one below it does not know: the path of
// the message that has it, and the field's number; zero where there is none.
func unknownField(m protoreflect.Message) (path string, number protowire.Number) {
	if b := m.GetUnknown(); len(b) > 0 {
		number, _, _ = protowire.ConsumeTag(b)
		return "", number
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Message() == nil || !m.Has(fd) || fd.IsMap() && fd.MapValue().Message() == nil {
			continue
		}
		at, below := "", ""
		switch v := m.Get(fd); {
		case fd.IsMap():
			v.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				if below, number = unknownField(value.Message()); number != 0 {
					at = fmt.Sprintf("[%q]", key.String())
				}
				return number == 0
			})
		case fd.IsList():
			for n := 0; n < v.List().Len() && number == 0; n++ {
				if below, number = unknownField(v.List().Get(n).Message()); number != 0 {
					at = fmt.Sprintf("[%d]", n)
				}
			}
		default:
			below, number = unknownField(v.Message())
		}
		if number != 0 {
			path = fd.JSONName() + at
			if below != "" {
				path += "." + below
			}
			return path, number
		}
	}
	return "", 0
}
