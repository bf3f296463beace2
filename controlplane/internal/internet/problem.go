package internet

import "fmt"

// Problem says what is wrong with a text.
type Problem struct {
	// Rule is the stable name of what was broken: `cidr`, `source`, `address`,
	// `public_address`, `host`, `public_name` or `url`.
	Rule string
	// Reason says it in words.
	Reason string
	// Impossible says that the text is well formed, but of nothing on the Internet.
	Impossible bool
}

func (p *Problem) Error() string { return "internet: " + p.Reason }

func malformed(rule, format string, args ...any) error {
	return &Problem{Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

func impossible(rule, format string, args ...any) error {
	return &Problem{Rule: rule, Reason: fmt.Sprintf(format, args...), Impossible: true}
}
