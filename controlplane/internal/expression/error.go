package expression

import "fmt"

// Error says what is wrong with an expression, and where.
type Error struct {
	// Column counts characters from 1.
	Column int
	// Reason says what is wrong, in words.
	Reason string
	// Impossible says that the expression is well formed, but no request can match.
	Impossible bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("expression: column %d: %s", e.Column, e.Reason)
}
