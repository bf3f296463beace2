package listing

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.einride.tech/aip/filtering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of a filter.
const (
	maxFilter      = 2000
	maxComparisons = 100
	maxDepth       = 20
)

// predicate says whether an item passes.
type predicate func(protoreflect.Message) bool

// compile turns a filter into a predicate; nil where there is no filter.
func compile(md protoreflect.MessageDescriptor, filter string, absent ...string) (predicate, error) {
	filter = strings.TrimSpace(filter)
	if filter == "" {
		return nil, nil
	}
	if len(filter) > maxFilter {
		return nil, fmt.Errorf("is longer than %d bytes", maxFilter)
	}
	if tooDeep(filter) {
		return nil, fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	var parser filtering.Parser
	parser.Init(filter)
	parsed, err := parser.Parse()
	if err != nil {
		return nil, syntaxError(err)
	}
	c := compiler{md: md, absent: absent}
	return c.expression(parsed.GetExpr())
}

// tooDeep counts parentheses outside of texts: the parser and everything after it recurse.
func tooDeep(filter string) bool {
	depth := 0
	var quote rune
	escaped := false
	for _, r := range filter {
		switch {
		case quote != 0:
			if r == quote && !escaped {
				quote = 0
			}
			escaped = r == '\\' && !escaped
		case r == '"' || r == '\'':
			quote = r
		case r == '(':
			if depth++; depth > maxDepth {
				return true
			}
		case r == ')':
			depth--
		}
	}
	return false
}

// syntaxError keeps the innermost of the parser's errors, which says what and where.
func syntaxError(err error) error {
	type positioned interface {
		Position() filtering.Position
		Message() string
	}
	innermost, ok := err.(positioned)
	for ok {
		inner, more := errors.Unwrap(err).(positioned)
		if !more {
			break
		}
		err, innermost = errors.Unwrap(err), inner
	}
	if innermost == nil {
		return errors.New("is not an AIP-160 filter")
	}
	return fmt.Errorf("is not a filter at character %d: %s; text with other signs than letters, digits and _ needs quotes",
		innermost.Position().Column, innermost.Message())
}

type compiler struct {
	md          protoreflect.MessageDescriptor
	absent      []string
	comparisons int
}

func (c *compiler) expression(e *expr.Expr) (predicate, error) {
	call := e.GetCallExpr()
	if call == nil {
		return nil, errors.New("has a value that stands alone: compare a field, as in state = ACTIVE")
	}
	if p, ok, err := c.logical(call, c.expression); ok {
		return p, err
	}
	switch call.GetFunction() {
	case filtering.FunctionEquals, filtering.FunctionNotEquals, filtering.FunctionHas,
		filtering.FunctionLessThan, filtering.FunctionLessEquals,
		filtering.FunctionGreaterThan, filtering.FunctionGreaterEquals:
	default:
		return nil, fmt.Errorf("has a function, %s; there are none", call.GetFunction())
	}
	args := call.GetArgs()
	if len(args) != 2 {
		return nil, errors.New("has a comparison without two sides")
	}
	segments, ok := fieldPath(args[0])
	if !ok && args[0].GetCallExpr() != nil {
		return nil, fmt.Errorf("has a function, %s; there are none", args[0].GetCallExpr().GetFunction())
	}
	if !ok {
		return nil, errors.New("has a comparison that does not begin with a field")
	}
	p, err := resolve(c.md, segments)
	if err != nil {
		return nil, err
	}
	for _, name := range c.absent {
		if p.json == name || strings.HasPrefix(p.json, name+".") {
			return nil, fmt.Errorf("%q is not in this list, so no filter can use it", name)
		}
	}
	return c.restriction(p, call.GetFunction(), args[1])
}

// restriction compares a path with a value, or with several in parentheses:
// `state = (ACTIVE OR PENDING)`.
func (c *compiler) restriction(p path, op string, arg *expr.Expr) (predicate, error) {
	if call := arg.GetCallExpr(); call != nil {
		sub := func(e *expr.Expr) (predicate, error) { return c.restriction(p, op, e) }
		if pred, ok, err := c.logical(call, sub); ok {
			return pred, err
		}
		return nil, fmt.Errorf("compares %q with %s(…), not with a value", p.json, call.GetFunction())
	}
	lit, ok := literalOf(arg)
	if !ok {
		return nil, fmt.Errorf("compares %q with something that is not a value", p.json)
	}
	if c.comparisons++; c.comparisons > maxComparisons {
		return nil, fmt.Errorf("has more than %d comparisons", maxComparisons)
	}
	return compare(p, op, lit)
}

// logical combines what sub makes of the operands; ok is false for anything but AND, OR and
// NOT. A sequence without an operator is an AND.
func (c *compiler) logical(call *expr.Expr_Call, sub func(*expr.Expr) (predicate, error)) (p predicate, ok bool, err error) {
	fn := call.GetFunction()
	if !slices.Contains([]string{
		filtering.FunctionAnd, filtering.FunctionFuzzyAnd, filtering.FunctionOr, filtering.FunctionNot,
	}, fn) {
		return nil, false, nil
	}
	operands := make([]predicate, 0, 2)
	for _, arg := range call.GetArgs() {
		operand, err := sub(arg)
		if err != nil {
			return nil, true, err
		}
		operands = append(operands, operand)
	}
	switch {
	case fn == filtering.FunctionNot && len(operands) == 1:
		return func(m protoreflect.Message) bool { return !operands[0](m) }, true, nil
	case fn != filtering.FunctionNot && len(operands) == 2:
		a, b := operands[0], operands[1]
		if fn == filtering.FunctionOr {
			return func(m protoreflect.Message) bool { return a(m) || b(m) }, true, nil
		}
		return func(m protoreflect.Message) bool { return a(m) && b(m) }, true, nil
	}
	return nil, true, fmt.Errorf("%s has the wrong number of operands", fn)
}

func fieldPath(e *expr.Expr) ([]string, bool) {
	var reversed []string
	for {
		if sel := e.GetSelectExpr(); sel != nil {
			reversed = append(reversed, sel.GetField())
			e = sel.GetOperand()
			continue
		}
		if e.GetIdentExpr() == nil {
			return nil, false
		}
		reversed = append(reversed, e.GetIdentExpr().GetName())
		slices.Reverse(reversed)
		return reversed, true
	}
}

// literal is the right side of a comparison.
type literal struct {
	text string
	// quoted says that it can only be text.
	quoted bool
}

func literalOf(e *expr.Expr) (literal, bool) {
	if segments, ok := fieldPath(e); ok {
		return literal{text: strings.Join(segments, ".")}, true
	}
	switch k := e.GetConstExpr().GetConstantKind().(type) {
	case *expr.Constant_StringValue:
		// The parser makes a text also of a word after `:`; * is then still the wildcard.
		return literal{text: k.StringValue, quoted: true}, true
	case *expr.Constant_Int64Value:
		return literal{text: strconv.FormatInt(k.Int64Value, 10)}, true
	case *expr.Constant_DoubleValue:
		return literal{text: strconv.FormatFloat(k.DoubleValue, 'f', -1, 64)}, true
	}
	return literal{}, false
}
