package expression

import (
	"strings"
	"unicode/utf8"
)

// Bounds of every expression, whatever the limits of documents are.
const (
	// MaxLength is the longest expression, in bytes.
	MaxLength = 1024
	// MaxDepth is how deep parentheses and NOT may be nested.
	MaxDepth = 16
	// MaxCost is the highest cost of one expression.
	MaxCost = 100_000
)

// Expr is a parsed expression.
type Expr struct {
	source string
	root   node
	cost   int
	hosts  []hostCondition
}

// String is the expression as it was written.
func (e *Expr) String() string { return e.source }

// Cost is how much work a request is at most: one for every comparison, and the number of
// instructions of every compiled regular expression.
func (e *Expr) Cost() int { return e.cost }

// Match says whether a request matches.
func (e *Expr) Match(r Request) bool { return e.root.match(&r) }

// Parse reads and checks an expression. It fails with an [*Error].
func Parse(source string) (*Expr, error) {
	p := &parser{lexer: lexer{input: source}}
	if len(source) > MaxLength {
		return nil, p.fail(MaxLength, "the expression has %d bytes; at most %d are allowed", len(source), MaxLength)
	}
	if !utf8.ValidString(source) {
		return nil, p.fail(0, "the expression is not UTF-8")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == end {
		return nil, p.fail(0, "the expression is empty")
	}
	root, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != end {
		return nil, p.fail(p.tok.at, "expected AND, OR or the end, not %v", p.tok)
	}
	return &Expr{source: source, root: root, cost: p.cost, hosts: p.hosts}, nil
}

type parser struct {
	lexer
	tok   token
	cost  int
	hosts []hostCondition
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

// take consumes a token of a kind.
func (p *parser) take(k kind, what string) (token, error) {
	t := p.tok
	if t.kind != k {
		return token{}, p.fail(t.at, "expected %s, not %v", what, t)
	}
	return t, p.advance()
}

func (p *parser) keyword(name string) bool { return p.tok.kind == word && p.tok.value == name }

// expression reads terms joined by AND, or terms joined by OR.
func (p *parser) expression(depth int) (node, error) {
	first, err := p.term(depth)
	if err != nil {
		return nil, err
	}
	if !p.keyword(wordAnd) && !p.keyword(wordOr) {
		return first, nil
	}
	joiner, at := p.tok.value, p.tok.at
	terms := []node{first}
	for p.keyword(wordAnd) || p.keyword(wordOr) {
		if p.tok.value != joiner {
			return nil, p.fail(p.tok.at, "AND and OR need parentheses where they meet")
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		term, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	if joiner == wordOr {
		return anyOf(terms), nil
	}
	all := flatten(terms)
	if why := all.contradiction(); why != "" {
		impossible := p.fail(at, "no request can match: %s", why)
		impossible.Impossible = true
		return nil, impossible
	}
	return all, nil
}

func (p *parser) term(depth int) (node, error) {
	if depth >= MaxDepth {
		return nil, p.fail(p.tok.at, "nested deeper than %d levels", MaxDepth)
	}
	switch {
	case p.keyword(wordNot):
		if err := p.advance(); err != nil {
			return nil, err
		}
		inner, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		return not{inner}, nil
	case p.tok.kind == open:
		if err := p.advance(); err != nil {
			return nil, err
		}
		inner, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		_, err = p.take(closing, `")"`)
		return inner, err
	}
	name, err := p.take(word, "a condition")
	if err != nil {
		return nil, err
	}
	if p.tok.kind == open {
		return p.call(name)
	}
	return p.comparison(name)
}

func (p *parser) comparison(name token) (node, error) {
	f, err := p.field(name)
	if err != nil {
		return nil, err
	}
	op := p.tok
	if op.kind != equal && op.kind != notEqual {
		return nil, p.fail(op.at, "expected = or != after %s, not %v", f, op)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	value, err := p.take(text, "a text in quotes")
	if err != nil {
		return nil, err
	}
	c := condition{field: f, op: opEqual, value: value.value}
	if err := p.check(c, value); err != nil {
		return nil, err
	}
	p.cost++
	if op.kind == notEqual {
		return not{c}, nil
	}
	return c, nil
}

func (p *parser) call(name token) (node, error) {
	op := operator(name.value)
	switch op {
	case opMatches, opStartsWith, opEndsWith:
	default:
		return nil, p.fail(name.at, "there is no function %s: use matches, startsWith or endsWith", name.value)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	arg, err := p.take(word, "a field")
	if err != nil {
		return nil, err
	}
	f, err := p.field(arg)
	if err != nil {
		return nil, err
	}
	if _, err := p.take(comma, `","`); err != nil {
		return nil, err
	}
	value, err := p.take(text, "a text in quotes")
	if err != nil {
		return nil, err
	}
	if _, err := p.take(closing, `")"`); err != nil {
		return nil, err
	}
	c := condition{field: f, op: op, value: value.value}
	if err := p.check(c, value); err != nil {
		return nil, err
	}
	if op != opMatches {
		p.cost++
		return c, nil
	}
	re, cost, why := compilePattern(value.value, MaxCost-p.cost)
	if why != "" {
		return nil, p.fail(value.at, "%s", why)
	}
	p.cost += cost
	c.re = re
	return c, nil
}

func (p *parser) field(t token) (field, error) {
	f := field(t.value)
	switch f {
	case fieldPath, fieldMethod, fieldHost, fieldCountry:
		return f, nil
	}
	switch upper := strings.ToUpper(t.value); upper {
	case wordAnd, wordOr, wordNot:
		return "", p.fail(t.at, "%s has no place here; AND, OR and NOT are written in capitals, between conditions", t.value)
	}
	return "", p.fail(t.at, "there is no field %s: use path, method, host or country", t.value)
}

const (
	wordAnd = "AND"
	wordOr  = "OR"
	wordNot = "NOT"
)
