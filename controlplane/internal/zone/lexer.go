package zone

import (
	"bytes"
)

// token is one field of a master file, with its quotes and escapes.
type token struct {
	text string
	line int
}

// logicalLine is one entry of a master file: what parentheses join is one.
type logicalLine struct {
	// line is where it begins, counted from 1.
	line int
	// indented: it begins with a blank, so its owner is that of the entry before.
	indented bool
	tokens   []token
	// comment is the last comment on it, without the semicolon.
	comment string
	// fault is why the entry can't be read; its tokens are then incomplete.
	fault     string
	faultLine int
}

// lexer splits a master file into logical lines. It reads each byte once and goes on after
// a fault at the next line, so that one upload shows all errors.
type lexer struct {
	src  []byte
	pos  int
	line int
}

func newLexer(src []byte) *lexer {
	return &lexer{src: bytes.TrimPrefix(src, []byte("\ufeff")), line: 1}
}

// next is the next logical line that is not empty; false at the end.
func (l *lexer) next() (logicalLine, bool) {
	for l.pos < len(l.src) {
		out := l.entry()
		if len(out.tokens) > 0 || out.fault != "" {
			return out, true
		}
	}
	return logicalLine{}, false
}

// entry reads up to and with the newline that ends a logical line.
func (l *lexer) entry() logicalLine {
	out := logicalLine{line: l.line}
	c := l.src[l.pos]
	out.indented = c == ' ' || c == '\t'
	depth, opened := 0, 0
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; c {
		case '\n':
			l.pos++
			l.line++
			if depth == 0 {
				return out
			}
		case ' ', '\t', '\r':
			l.pos++
		case ';':
			out.comment = l.comment()
		case '(':
			if depth == 0 {
				opened = l.line
			}
			depth++
			l.pos++
		case ')':
			l.pos++
			if depth--; depth < 0 {
				return l.fault(out, "a parenthesis is closed that was not opened")
			}
		default:
			if len(out.tokens) == 0 {
				// A parenthesis may stand first and move the real start.
				out.line = l.line
			}
			t, why := l.token()
			if why != "" {
				return l.fault(out, why)
			}
			out.tokens = append(out.tokens, t)
		}
	}
	if depth > 0 {
		out.fault, out.faultLine = "the parenthesis that opens here is not closed", opened
	}
	return out
}

func (l *lexer) comment() string {
	end := bytes.IndexByte(l.src[l.pos:], '\n')
	if end < 0 {
		end = len(l.src) - l.pos
	}
	text := l.src[l.pos+1 : l.pos+end]
	l.pos += end
	return string(bytes.TrimSpace(text))
}

// fault ends the entry at the next newline.
func (l *lexer) fault(out logicalLine, why string) logicalLine {
	out.fault, out.faultLine = why, l.line
	if end := bytes.IndexByte(l.src[l.pos:], '\n'); end >= 0 {
		l.pos += end + 1
		l.line++
	} else {
		l.pos = len(l.src)
	}
	return out
}

// token reads one field. Quotes may begin within it, as in alpn="h2". A string does not
// cross lines: where a quote is missing, the line that lacks it is the one to show.
func (l *lexer) token() (token, string) {
	start, quoted := l.pos, false
	for ; l.pos < len(l.src); l.pos++ {
		switch c := l.src[l.pos]; {
		case c == 0:
			return token{}, "the line holds a zero byte; is the file plain text?"
		case c == '\n', c == '\r' && !quoted:
			if quoted {
				return token{}, "a quoted string is not closed on its line"
			}
			return token{string(l.src[start:l.pos]), l.line}, ""
		case c == '\\':
			if l.pos+1 >= len(l.src) || l.src[l.pos+1] < ' ' {
				return token{}, "a backslash stands at the end of the line"
			}
			l.pos++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ' ', c == '\t', c == ';', c == '(', c == ')':
			return token{string(l.src[start:l.pos]), l.line}, ""
		case c < ' ', c == 0x7f:
			return token{}, "the line holds a control character"
		}
	}
	if quoted {
		return token{}, "a quoted string is not closed on its line"
	}
	return token{string(l.src[start:l.pos]), l.line}, ""
}
