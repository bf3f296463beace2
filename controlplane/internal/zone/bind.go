package zone

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	// MaxFileBytes is the default limit of the size of one master file.
	MaxFileBytes = 1 << 20
	// MaxFileRecords is the default limit of the records in one.
	MaxFileRecords = 3000
	// maxFileNotes bounds what is told about lines that were left out or changed.
	maxFileNotes = 100
	// maxLineShown bounds the text of a line in an error.
	maxLineShown = 200
	// maxFileErrors bounds what is collected, before sorting, from a file of nothing but errors.
	maxFileErrors = 1000
)

// The rules that only files can break.
const (
	RuleFileTooLarge Rule = "file_too_large"
	RuleFileSyntax   Rule = "file_syntax"
	RuleEncoding     Rule = "file_encoding"
	RuleDirective    Rule = "directive_not_allowed"
	RuleClass        Rule = "class_not_in"
	RuleNoOwner      Rule = "owner_missing"
	RuleTag          Rule = "tag_syntax"
)

// The rules behind notes: what a file's reader left out, and what it changed.
const (
	NoteManaged   Rule = "ignored_managed_by_us"
	NoteDNSSEC    Rule = "ignored_dnssec"
	NoteDuplicate Rule = "ignored_duplicate"

	NoteTTL         Rule = "ttl_brought_into_range"
	NoteUnquotedTXT Rule = "txt_strings_joined"
)

// FileOptions bound the reading of a master file. Zero fields have the defaults above.
type FileOptions struct {
	MaxBytes   int
	MaxRecords int
}

// File is what a master file says.
type File struct {
	// Records are canonical and without IDs, in the order of the file.
	Records []Record
	// Lines holds, for each record, the line on which it begins.
	Lines []int
	// Ignored tells of the lines that were left out.
	Ignored Notes
	// Warnings tell of the lines that were taken, but not as they stand.
	Warnings Notes

	src []byte
}

// Note tells that a line was not taken as it stands, though it is no error.
type Note struct {
	Line    int
	Rule    Rule
	Message string
}

// Notes are in the order of the lines, at most 100.
type Notes struct {
	Listed []Note
	// More is how many are not listed.
	More int
}

func (n *Notes) add(line int, rule Rule, format string, args ...any) {
	if len(n.Listed) >= maxFileNotes {
		n.More++
		return
	}
	n.Listed = append(n.Listed, Note{Line: line, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// LineError is one error of a master file.
type LineError struct {
	// Line is counted from 1; 0 is the file as a whole.
	Line int
	// Text is the line, cut to 200 bytes.
	Text string
	// Rule is the stable name of the broken rule.
	Rule Rule
	// Message is a plain sentence for the person who wrote the file.
	Message string
}

// FileError says that a master file was refused, with its errors in the order of the lines,
// at most 100. Nothing of the file was taken.
type FileError struct {
	Lines []LineError
	// More is how many errors are not listed.
	More int
}

func (e *FileError) Error() string {
	if len(e.Lines) == 0 {
		return "zone: master file refused"
	}
	l := e.Lines[0]
	s := fmt.Sprintf("zone: line %d: %s", l.Line, l.Message)
	if n := len(e.Lines) - 1 + e.More; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// ParseBIND reads a master file (RFC 1035, 5) of the zone origin, a canonical domain. It
// knows `$ORIGIN`, `$TTL` with units, parentheses, comments, escapes, the unknown-type form
// of RFC 3597 and the tags that [Export] writes. `$INCLUDE` and `$GENERATE` are refused. The
// SOA, NS records of the zone itself and DNSSEC material are ours to make and left out with
// a note. TTLs outside of our range are brought into it with a warning.
//
// It answers with every record or with a [*FileError], or with the error of r.
func ParseBIND(r io.Reader, origin string, opts FileOptions) (File, error) {
	maxBytes := cmp.Or(opts.MaxBytes, MaxFileBytes)
	src, err := io.ReadAll(io.LimitReader(r, int64(maxBytes)+1))
	if err != nil {
		return File{}, fmt.Errorf("zone: read master file: %w", err)
	}
	p := newFileParser(src, origin, cmp.Or(opts.MaxRecords, MaxFileRecords))
	switch {
	case len(src) > maxBytes:
		p.fail(0, RuleFileTooLarge, "the file is larger than %d bytes", maxBytes)
	case bytes.HasPrefix(src, []byte("\xff\xfe")), bytes.HasPrefix(src, []byte("\xfe\xff")):
		p.fail(1, RuleEncoding, "the file is UTF-16; save it as UTF-8 or plain ASCII")
	default:
		p.run()
	}
	return p.finish()
}

// fail records an error of a line.
func (p *fileParser) fail(line int, rule Rule, format string, args ...any) {
	if len(p.errs) >= maxFileErrors {
		p.moreErrs++
		return
	}
	p.errs = append(p.errs, LineError{Line: line, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// finish checks the records against each other and answers.
func (p *fileParser) finish() (File, error) {
	entries := make([]entry, len(p.file.Records))
	for i, r := range p.file.Records {
		entries[i] = entry{r, fmt.Sprintf("creates[%d]", i)}
	}
	var vs violations
	checkZone(p.zone, entries, nil, &vs)
	p.errs = append(p.errs, lineErrors(p.file.Lines, &InvalidError{Violations: vs.list})...)
	if len(p.errs) == 0 {
		return p.file, nil
	}
	e := &FileError{Lines: p.errs, More: vs.more + p.moreErrs}
	slices.SortStableFunc(e.Lines, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
	if n := len(e.Lines); n > maxViolations {
		e.Lines, e.More = e.Lines[:maxViolations], e.More+n-maxViolations
	}
	quote(p.file.src, e.Lines)
	return File{}, e
}

// quote fills in the texts of the lines, which are sorted.
func quote(src []byte, errs []LineError) {
	line, rest := 1, src
	for i := range errs {
		for line < errs[i].Line {
			_, after, found := bytes.Cut(rest, []byte("\n"))
			if !found {
				return
			}
			line, rest = line+1, after
		}
		if errs[i].Line == 0 {
			continue
		}
		text, _, _ := bytes.Cut(rest, []byte("\n"))
		if len(text) > maxLineShown {
			text = text[:maxLineShown]
		}
		errs[i].Text = strings.ToValidUTF8(strings.TrimRight(string(text), "\r"), "\uFFFD")
	}
}

// lineErrors turns violations of `creates[i]` into errors of the lines of the records.
func lineErrors(lines []int, e *InvalidError) []LineError {
	out := make([]LineError, 0, len(e.Violations))
	for _, v := range e.Violations {
		line := 0
		var i int
		if _, err := fmt.Sscanf(v.Field, "creates[%d]", &i); err == nil && i < len(lines) {
			line = lines[i]
		}
		out = append(out, LineError{Line: line, Rule: v.Rule, Message: v.Message})
	}
	return out
}
