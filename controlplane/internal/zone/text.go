package zone

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// chunk is the longest character string on the wire.
const chunk = 255

// unescape reads the escape at the start of s, `\DDD` or `\X`, and tells its length. 0 is
// no valid escape.
func unescape(s string) (byte, int) {
	if len(s) < 2 || s[0] != '\\' {
		return 0, 0
	}
	if s[1] < '0' || s[1] > '9' {
		return s[1], 2
	}
	if len(s) < 4 {
		return 0, 0
	}
	n := 0
	for _, c := range []byte(s[1:4]) {
		if c < '0' || c > '9' {
			return 0, 0
		}
		n = 10*n + int(c-'0')
	}
	if n > 255 {
		return 0, 0
	}
	return byte(n), 4
}

// unquote reads one field of presentation form, quoted strings and bare runs, and joins
// their bytes.
func unquote(field string) (string, bool) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(field); {
		switch c := field[i]; c {
		case '"':
			quoted = !quoted
			i++
		case '\\':
			c, n := unescape(field[i:])
			if n == 0 {
				return "", false
			}
			b.WriteByte(c)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), !quoted
}

// escape is the inside of a quoted string for the bytes of s, printable ASCII only.
func escape(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// textOf is the text of a TXT record from content in either form.
func textOf(content string) (string, *Violation) {
	text := content
	if strings.HasPrefix(content, `"`) {
		fields, err := fieldsOf(content)
		if err != nil {
			return "", violation("content", RuleContent, "%s", err)
		}
		text, err = joinText(fields)
		if err != nil {
			return "", violation("content", RuleContent, "%s", err)
		}
	}
	return text, checkText(text)
}

func checkText(text string) *Violation {
	if text == "" {
		return violation("content", RuleRequired, "a TXT record needs a text")
	}
	if len(text) > MaxText {
		return violation("content", RuleTooLong, "the text is longer than 4,096 bytes")
	}
	return nil
}

func joinText(fields []string) (string, error) {
	var b strings.Builder
	for _, f := range fields {
		part, ok := unquote(f)
		if !ok {
			return "", fmt.Errorf("a quoted string or an escape is not complete in %s", show(f))
		}
		b.WriteString(part)
	}
	return b.String(), nil
}

// textContent is the one canonical content of a text.
func textContent(text string) string {
	if strings.HasPrefix(text, `"`) || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return `"` + escape(text) + `"`
	}
	return text
}

// chunks splits a text for the wire; each string is escaped as the DNS library wants it.
func chunks(text string) []string {
	out := make([]string, 0, len(text)/chunk+1)
	for len(text) > chunk {
		out = append(out, escape(text[:chunk]))
		text = text[chunk:]
	}
	return append(out, escape(text))
}

// show prepares something a customer wrote for a message: quoted, short, printable.
func show(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", strings.ToValidUTF8(s, "\uFFFD"))
}
