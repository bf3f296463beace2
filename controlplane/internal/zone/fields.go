package zone

import (
	"errors"
	"fmt"
	"strings"
)

var (
	errControl = errors.New("a control character stands outside a quoted string")
	errQuote   = errors.New("a quoted string is not closed")
	errSpecial = errors.New("parentheses and semicolons must stand in quotes")
)

// fieldsOf splits presentation form at blanks outside quotes. A field keeps its quotes and
// escapes. Unlike a master file, content has no comments and no lines to join, so the
// characters for those are refused.
func fieldsOf(content string) ([]string, error) {
	var fields []string
	for i := 0; i < len(content); {
		if content[i] == ' ' || content[i] == '\t' {
			i++
			continue
		}
		end, err := fieldEnd(content, i)
		if err != nil {
			return nil, err
		}
		fields = append(fields, content[i:end])
		i = end
	}
	return fields, nil
}

func fieldEnd(s string, i int) (int, error) {
	quoted := false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return 0, errors.New("a backslash stands at the end")
			}
			if s[i] < ' ' {
				return 0, errControl
			}
		case c == '"':
			quoted = !quoted
		case c == '\n', c == '\r', c == 0:
			return 0, errControl
		case quoted:
		case c == ' ', c == '\t':
			return i, nil
		case c < ' ', c == 0x7f:
			return 0, errControl
		case c == ';', c == '(', c == ')':
			return 0, errSpecial
		}
	}
	if quoted {
		return 0, errQuote
	}
	return i, nil
}

// requote writes a field as exactly one quoted string. Those that are not texts hold names
// and addresses of other kinds, all of them printable.
func requote(field string) (string, error) {
	s, ok := unquote(field)
	if !ok {
		return "", fmt.Errorf("a quoted string or an escape is not complete in %s", show(field))
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return "", fmt.Errorf("only printable ASCII can stand in %s", show(field))
		}
	}
	return `"` + escape(s) + `"`, nil
}

// joinTail makes one field of all from index i on: digests are often split by blanks.
func joinTail(fields []string, i int) []string {
	if len(fields) <= i+1 {
		return fields
	}
	return append(fields[:i:i], strings.Join(fields[i:], ""))
}
