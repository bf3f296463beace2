package stripe

import (
	"fmt"
	"io"
	"strings"
)

// Diff is what Sync changes, or would change.
type Diff struct {
	Changes []Change
	// WebhookSecret signs the events of a webhook endpoint that was made; Stripe tells it
	// this once, and shows it in its dashboard. Empty where none was made.
	WebhookSecret Secret
}

// Change is one change of the catalogue.
type Change struct {
	// Sign is + for what is made, ~ for what is changed, - for what is archived.
	Sign string
	// Kind is product, price, portal or webhook; Name says which.
	Kind, Name string
	// Detail says what of it; it may be empty.
	Detail string
}

func (c Change) String() string {
	parts := []string{c.Sign, c.Kind}
	for _, part := range []string{c.Name, c.Detail} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// WriteTo prints a line for each change, such as `+ price pro $20.00/month`, and nothing
// where there is none. It never prints the secret.
func (d Diff) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, c := range d.Changes {
		n, err := fmt.Fprintln(w, c)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func monthly(cents int64) string { return fmt.Sprintf("$%d.%02d/month", cents/100, cents%100) }
