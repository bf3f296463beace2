package compile

import "fmt"

// LimitError says that something is larger, more or costlier than the limits of documents
// allow.
type LimitError struct {
	// Field is the field's path in JSON names, relative to the message that was checked.
	Field string
	// Limit is the limit's name in JSON, such as `maxRulesPerSite`.
	Limit string
	// Value is what was given, Maximum what is allowed.
	Value, Maximum int
	// Reason says it in words.
	Reason string
}

func (e *LimitError) Error() string { return fmt.Sprintf("compile: %s: %s", e.Field, e.Reason) }

// ImpossibleError says that a rule can match no real packet or request, or contradicts
// itself or another one.
type ImpossibleError struct {
	// Field is the field's path in JSON names, relative to the message that was checked.
	Field string
	// Rule is the stable name of what was broken: `packet_length`, `source`, `port`,
	// `duplicate`, `everything`, `expression`, `unreachable`, `hsts`, `redirect` or `action`.
	Rule string
	// Reason says why, in words.
	Reason string
}

func (e *ImpossibleError) Error() string { return fmt.Sprintf("compile: %s: %s", e.Field, e.Reason) }

// InvalidError says that something is not of the form that it must have.
type InvalidError struct {
	// Field is the field's path in JSON names, relative to the message that was checked.
	Field string
	// Rule is the stable name of the form: `cidr`, `country`, `expression`, `required`,
	// `range` or `utf8`.
	Rule string
	// Reason says what must be, in words.
	Reason string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("compile: %s: %s", e.Field, e.Reason) }

func impossible(field, rule, format string, args ...any) error {
	return &ImpossibleError{Field: field, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

func invalid(field, rule, format string, args ...any) error {
	return &InvalidError{Field: field, Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

func exceeded(field, limit string, value, maximum int, format string, args ...any) error {
	return &LimitError{Field: field, Limit: limit, Value: value, Maximum: maximum, Reason: fmt.Sprintf(format, args...)}
}

// within returns an error of this package with its field below prefix.
func within(prefix string, err error) error {
	switch e := err.(type) { //nolint:errorlint // the checks of this package return them unwrapped
	case *LimitError:
		c := *e
		c.Field = prefix + c.Field
		return &c
	case *ImpossibleError:
		c := *e
		c.Field = prefix + c.Field
		return &c
	case *InvalidError:
		c := *e
		c.Field = prefix + c.Field
		return &c
	}
	return err
}
