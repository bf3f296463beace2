package archtest

import "testing"

// maxLines is the hard limit; most files should stay below 300.
const maxLines = 450

// TestFileLength keeps a file to one idea. Tests are free: a table may be long.
func TestFileLength(t *testing.T) {
	for _, file := range goFiles(t) {
		if !file.generated && !file.test && file.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: give its second idea a file", file.name, file.lines, maxLines)
		}
	}
}

// TestNoInit keeps packages from doing anything because they are linked: order
// and errors of an init function belong to nobody.
func TestNoInit(t *testing.T) {
	for _, file := range goFiles(t) {
		if !file.generated && file.inits > 0 {
			t.Errorf("%s has an init function: let its owner call it", file.name)
		}
	}
}
