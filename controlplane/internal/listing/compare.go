package listing

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.einride.tech/aip/filtering"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// comparer compares a value with a literal. ok is false where they can't be compared.
type comparer func(protoreflect.Value) (order int, ok bool)

// compare makes the predicate of one comparison.
func compare(p path, op string, lit literal) (predicate, error) {
	if op == filtering.FunctionHas {
		return has(p, lit)
	}
	if p.repeated || p.leaf.IsList() || (p.leaf.IsMap() && !p.keyed) {
		return nil, fmt.Errorf("%q has many values: use `:`", p.json)
	}
	comparer, ordered, err := comparerFor(p, lit)
	if err != nil {
		return nil, fmt.Errorf("%q %w", p.json, err)
	}
	test, isOrder := orderTests[op]
	if isOrder && !ordered {
		return nil, fmt.Errorf("%q has no order: use = or !=", p.json)
	}
	if !isOrder {
		test = func(order int) bool { return order == 0 }
	}
	match := func(m protoreflect.Message) bool {
		return p.visit(m, func(v protoreflect.Value) bool {
			order, ok := comparer(v)
			return ok && test(order)
		})
	}
	if op == filtering.FunctionNotEquals {
		return func(m protoreflect.Message) bool { return !match(m) }, nil
	}
	return match, nil
}

var orderTests = map[string]func(int) bool{
	filtering.FunctionLessThan:      func(o int) bool { return o < 0 },
	filtering.FunctionLessEquals:    func(o int) bool { return o <= 0 },
	filtering.FunctionGreaterThan:   func(o int) bool { return o > 0 },
	filtering.FunctionGreaterEquals: func(o int) bool { return o >= 0 },
}

// has makes the predicate of `:`.
func has(p path, lit literal) (predicate, error) {
	if lit.text == "*" {
		return func(m protoreflect.Message) bool {
			return p.visit(m, func(v protoreflect.Value) bool { return isSet(p, v) })
		}, nil
	}
	if p.leaf.IsMap() && !p.keyed {
		key, err := mapKey(p.leaf.MapKey(), lit.text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p.json, err)
		}
		return func(m protoreflect.Message) bool {
			return p.visit(m, func(v protoreflect.Value) bool { return v.Map().Has(key) })
		}, nil
	}
	if p.leaf.Kind() == protoreflect.StringKind && !p.leaf.IsList() && !p.keyed {
		part := strings.ToLower(lit.text)
		return func(m protoreflect.Message) bool {
			return p.visit(m, func(v protoreflect.Value) bool {
				return strings.Contains(strings.ToLower(v.String()), part)
			})
		}, nil
	}
	comparer, _, err := comparerFor(p, literal{text: lit.text})
	if err != nil {
		return nil, fmt.Errorf("%q %w", p.json, err)
	}
	equal := func(v protoreflect.Value) bool {
		order, ok := comparer(v)
		return ok && order == 0
	}
	return func(m protoreflect.Message) bool {
		return p.visit(m, func(v protoreflect.Value) bool {
			if !p.leaf.IsList() {
				return equal(v)
			}
			list := v.List()
			for i := range list.Len() {
				if equal(list.Get(i)) {
					return true
				}
			}
			return false
		})
	}, nil
}

// isSet says whether a value that a path led to is there and not its type's zero.
func isSet(p path, v protoreflect.Value) bool {
	switch {
	case len(p.dynamic) > 0:
		found, ok := dynamicValue(v, p.dynamic)
		_, null := found.GetKind().(*structpb.Value_NullValue)
		return ok && !null
	case p.leaf.IsList():
		return v.List().Len() > 0
	case p.leaf.IsMap():
		return v.Map().Len() > 0
	case p.leaf.Message() != nil || p.keyed || p.leaf.HasPresence():
		return true
	default:
		return !v.Equal(p.leaf.Default())
	}
}

// comparerFor checks a literal against the type of the path's leaf. ordered says whether
// the type has an order beside equality.
func comparerFor(p path, lit literal) (c comparer, ordered bool, err error) {
	if isStruct(p.leaf) {
		if len(p.dynamic) == 0 {
			return nil, false, errors.New("is not a single value: name a field of it, or use `:*`")
		}
		return dynamicComparer(p.dynamic, lit), true, nil
	}
	switch p.leaf.Kind() {
	case protoreflect.StringKind:
		return func(v protoreflect.Value) (int, bool) { return strings.Compare(v.String(), lit.text), true }, true, nil
	case protoreflect.BoolKind:
		return boolComparer(lit)
	case protoreflect.EnumKind:
		return enumComparer(p.leaf.Enum(), lit)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return timeComparer(p, lit)
	case protoreflect.BytesKind:
		return nil, false, errors.New("can't be compared")
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		want, err := strconv.ParseFloat(lit.text, 64)
		if err != nil {
			return nil, false, errors.New("needs a number")
		}
		return func(v protoreflect.Value) (int, bool) { return cmp.Compare(v.Float(), want), true }, true, nil
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		want, err := strconv.ParseUint(lit.text, 10, 64)
		if err != nil {
			return nil, false, errors.New("needs a whole number that is not negative")
		}
		return func(v protoreflect.Value) (int, bool) { return cmp.Compare(v.Uint(), want), true }, true, nil
	default:
		want, err := strconv.ParseInt(lit.text, 10, 64)
		if err != nil {
			return nil, false, errors.New("needs a whole number")
		}
		return func(v protoreflect.Value) (int, bool) { return cmp.Compare(v.Int(), want), true }, true, nil
	}
}

func boolComparer(lit literal) (comparer, bool, error) {
	if lit.text != "true" && lit.text != "false" {
		return nil, false, errors.New("needs true or false")
	}
	want := lit.text == "true"
	return func(v protoreflect.Value) (int, bool) {
		if v.Bool() == want {
			return 0, true
		}
		return 1, true
	}, false, nil
}

func enumComparer(ed protoreflect.EnumDescriptor, lit literal) (comparer, bool, error) {
	value := ed.Values().ByName(protoreflect.Name(lit.text))
	if value == nil {
		names := make([]string, 0, ed.Values().Len())
		for i := range ed.Values().Len() {
			names = append(names, string(ed.Values().Get(i).Name()))
		}
		return nil, false, fmt.Errorf("is never %q: it is one of %s", lit.text, strings.Join(names, ", "))
	}
	want := value.Number()
	return func(v protoreflect.Value) (int, bool) { return cmp.Compare(v.Enum(), want), true }, false, nil
}

func timeComparer(p path, lit literal) (comparer, bool, error) {
	var seconds, nanos int64
	switch p.leaf.Message().FullName() {
	case timestampName:
		t, err := time.Parse(time.RFC3339Nano, lit.text)
		if err != nil {
			return nil, false, errors.New(`needs a time as in "2006-01-02T15:04:05Z", with quotes`)
		}
		seconds, nanos = t.Unix(), int64(t.Nanosecond())
	case durationName:
		d, err := time.ParseDuration(lit.text)
		if err != nil {
			return nil, false, errors.New(`needs a duration as in "90s", with quotes`)
		}
		seconds, nanos = int64(d/time.Second), int64(d%time.Second)
	default:
		return nil, false, errors.New("is not a single value: name a field of it, or use `:*`")
	}
	return func(v protoreflect.Value) (int, bool) {
		s, n := secondsOf(v.Message())
		return cmp.Or(cmp.Compare(s, seconds), cmp.Compare(n, nanos)), true
	}, true, nil
}

// dynamicComparer compares inside a google.protobuf.Struct, where only the value at hand
// knows its type. A word without quotes is a number or a truth value where it looks so.
func dynamicComparer(segments []string, lit literal) comparer {
	return func(v protoreflect.Value) (int, bool) {
		found, ok := dynamicValue(v, segments)
		if !ok {
			return 0, false
		}
		switch k := found.GetKind().(type) {
		case *structpb.Value_StringValue:
			return strings.Compare(k.StringValue, lit.text), true
		case *structpb.Value_NumberValue:
			want, err := strconv.ParseFloat(lit.text, 64)
			return cmp.Compare(k.NumberValue, want), err == nil && !lit.quoted
		case *structpb.Value_BoolValue:
			if strconv.FormatBool(k.BoolValue) == lit.text && !lit.quoted {
				return 0, true
			}
		}
		return 0, false
	}
}

func dynamicValue(v protoreflect.Value, segments []string) (*structpb.Value, bool) {
	s, ok := v.Message().Interface().(*structpb.Struct)
	if !ok {
		return nil, false
	}
	var found *structpb.Value
	for i, segment := range segments {
		if i > 0 {
			s = found.GetStructValue()
		}
		if found, ok = s.GetFields()[segment]; !ok {
			return nil, false
		}
	}
	return found, true
}
