package permission

import (
	"cmp"
	"slices"
	"strings"
)

// Set is the permissions that there are below accounts, sorted.
type Set []string

// Has says whether a token can be given p: a permission of the set, a whole collection, or
// everything.
func (s Set) Has(p string) bool {
	if collection, ok := strings.CutSuffix(p, ".*"); ok {
		return KnownCollection(collection)
	}
	return p == All || slices.Contains(s, p)
}

// Existing returns the patterns without the permissions that are none: roles also name what
// no RPC asks for.
func (s Set) Existing(patterns []string) []string {
	return slices.DeleteFunc(slices.Clone(patterns), func(p string) bool { return !s.Has(p) })
}

// Bounds of what [Set.Near] finds.
const (
	maxNear       = 3
	maxDistance   = 6
	maxMisspelled = 64
)

// Near returns what somebody may have meant who wrote p: the few permissions that are the
// fewest edits away, nearest first; none where all are far.
func (s Set) Near(p string) []string {
	if len(p) > maxMisspelled {
		return nil
	}
	type candidate struct {
		permission string
		edits      int
	}
	var near []candidate
	for _, known := range s {
		if n := edits(p, known); n <= maxDistance {
			near = append(near, candidate{known, n})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.edits, b.edits) })
	var out []string
	for _, c := range near[:min(len(near), maxNear)] {
		out = append(out, c.permission)
	}
	return out
}

// edits is the Levenshtein distance: how many bytes to insert, remove or replace.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
