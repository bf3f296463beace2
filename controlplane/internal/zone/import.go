package zone

import (
	"cmp"
	"errors"
	"io"
	"slices"
)

// Imported is what an import did.
type Imported struct {
	// Created are the new records, in the order of the file.
	Created []Record
	// Unchanged is how many records of the file the zone had already.
	Unchanged int
	// Ignored is as in [File].
	Ignored Notes
	// Warnings are those of [File] that are about new records.
	Warnings Notes
}

// Import adds the records of a master file to the zone, all or none. Records that the zone
// has already are left out and counted, so that the same file can be imported again; the
// zone's own TTL, proxying and comment stay. The error is a [*FileError], or that of r.
func (z Zone) Import(r io.Reader, opts FileOptions, limits Limits, newID func() string) (Zone, Imported, error) {
	file, err := ParseBIND(r, z.origin, opts)
	if err != nil {
		return z, Imported{}, err
	}
	has := make(map[wire]bool, len(z.records))
	for _, r := range z.records {
		has[wire{r.Name, r.Content, r.Type, r.Priority}] = true
	}
	var batch Batch
	var lines []int
	unchanged := 0
	for i, r := range file.Records {
		if has[wire{r.Name, r.Content, r.Type, r.Priority}] {
			unchanged++
			continue
		}
		batch.Creates = append(batch.Creates, r)
		lines = append(lines, file.Lines[i])
	}
	after, applied, err := z.Apply(batch, limits, newID)
	if err != nil {
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			return z, Imported{}, err
		}
		e := &FileError{Lines: lineErrors(lines, invalid), More: invalid.More}
		slices.SortStableFunc(e.Lines, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
		quote(file.src, e.Lines)
		return z, Imported{}, e
	}
	warnings := file.Warnings
	warnings.Listed = slices.DeleteFunc(warnings.Listed, func(n Note) bool { return !slices.Contains(lines, n.Line) })
	return after, Imported{Created: applied.Created, Unchanged: unchanged, Ignored: file.Ignored, Warnings: warnings}, nil
}
