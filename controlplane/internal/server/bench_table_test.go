package server_test

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// report prints contenders beside one of them: calls a second, processor time a call, and
// both as parts of the other's, where more is better.
func report(title string, beside *contender, all ...*contender) {
	lines := [][]string{{title, "per s", "p50 ms", "p99 ms", "CPU us", "rate, of " + beside.name, "by CPU"}}
	for _, c := range all {
		lines = append(lines, []string{
			c.name, fmt.Sprintf("%.0f", median(c.rates)), ms(quantile(c.took, 0.5)), ms(quantile(c.took, 0.99)),
			fmt.Sprintf("%.0f", median(c.cpu)), fmt.Sprintf("%.2f", ratio(c.rates, beside.rates)),
			fmt.Sprintf("%.2f", ratio(beside.cpu, c.cpu)),
		})
	}
	printTable(lines)
}

// printTable prints lines of cells with an empty line around them.
func printTable(lines [][]string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer func() { _ = w.Flush() }()
	_, _ = fmt.Fprintln(w)
	for _, cells := range lines {
		for _, cell := range cells {
			_, _ = fmt.Fprintf(w, "%s\t", cell)
		}
		_, _ = fmt.Fprintln(w)
	}
	_, _ = fmt.Fprintln(w)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
