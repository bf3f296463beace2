package expression

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type kind int

const (
	end kind = iota
	word
	text
	equal
	notEqual
	open
	closing
	comma
)

// token is one word of the language. value is the word itself, or a text without quotes
// and escapes.
type token struct {
	kind  kind
	value string
	at    int // Byte offset.
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case text:
		return "a text in quotes"
	default:
		return fmt.Sprintf("%q", t.value)
	}
}

type lexer struct {
	input string
	at    int
}

// fail makes an error at a byte offset.
func (l *lexer) fail(at int, format string, args ...any) *Error {
	return &Error{
		Column: utf8.RuneCountInString(l.input[:min(at, len(l.input))]) + 1,
		Reason: fmt.Sprintf(format, args...),
	}
}

func (l *lexer) next() (token, error) {
	for l.at < len(l.input) && strings.IndexByte(" \t\r\n", l.input[l.at]) >= 0 {
		l.at++
	}
	start := l.at
	if start == len(l.input) {
		return token{kind: end, at: start}, nil
	}
	one := func(k kind) (token, error) {
		l.at++
		return token{kind: k, value: l.input[start:l.at], at: start}, nil
	}
	switch c := l.input[start]; {
	case c == '(':
		return one(open)
	case c == ')':
		return one(closing)
	case c == ',':
		return one(comma)
	case c == '=':
		return one(equal)
	case c == '!':
		l.at++
		if l.at == len(l.input) || l.input[l.at] != '=' {
			return token{}, l.fail(start, "a single \"!\": use != or NOT")
		}
		l.at++
		return token{kind: notEqual, value: "!=", at: start}, nil
	case c == '"':
		return l.text()
	case letter(c):
		for l.at < len(l.input) && (letter(l.input[l.at]) || l.input[l.at] >= '0' && l.input[l.at] <= '9') {
			l.at++
		}
		return token{kind: word, value: l.input[start:l.at], at: start}, nil
	}
	r, _ := utf8.DecodeRuneInString(l.input[start:])
	return token{}, l.fail(start, "%q has no place here", r)
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }

func (l *lexer) text() (token, error) {
	start := l.at
	var b strings.Builder
	for i := start + 1; i < len(l.input); i++ {
		switch c := l.input[i]; c {
		case '"':
			l.at = i + 1
			return token{kind: text, value: b.String(), at: start}, nil
		case '\\':
			if i+1 < len(l.input) && (l.input[i+1] == '"' || l.input[i+1] == '\\') {
				i++
			}
			b.WriteByte(l.input[i])
		default:
			if c < ' ' || c == 0x7f {
				return token{}, l.fail(i, "a control character in a text")
			}
			b.WriteByte(c)
		}
	}
	return token{}, l.fail(start, "the text has no closing quote")
}
