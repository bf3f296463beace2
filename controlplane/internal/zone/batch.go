package zone

import (
	"fmt"
	"slices"
)

// DefaultMaxRecords is how many records a zone has at most where a plan says nothing else.
const DefaultMaxRecords = 3500

// Limits bound a zone.
type Limits struct {
	// MaxRecords is the most records after a batch; 0 is [DefaultMaxRecords]. A zone that
	// is over a limit that sank may still shrink and be changed.
	MaxRecords int
}

func (l Limits) maxRecords() int {
	if l.MaxRecords <= 0 {
		return DefaultMaxRecords
	}
	return l.MaxRecords
}

// Batch is a set of changes that happen together or not at all. The order within it has no
// meaning: deletes come first, then updates, then creates.
type Batch struct {
	// Creates are new records; their IDs are ignored.
	Creates []Record
	// Updates replace the record of the same ID whole.
	Updates []Record
	// Deletes are IDs.
	Deletes []string
}

// Applied are the records of a batch as they were stored, in the batch's own order.
type Applied struct {
	Created []Record
	Updated []Record
	// Deleted are the records that are gone, as they last were.
	Deleted []Record
}

// entry is a record with the path of what put it there, "" for a record that the batch does
// not touch.
type entry struct {
	Record
	path string
}

// Apply makes the zone that results from a batch. newID gives each created record its ID
// and must not repeat itself. The error is an [*InvalidError] with every violation; then
// the zone is as it was.
func (z Zone) Apply(b Batch, limits Limits, newID func() string) (Zone, Applied, error) {
	var vs violations
	p := plan{zone: z, byID: make(map[string]int, len(z.records)), touched: make(map[string]string), lostNS: make(map[string]string)}
	for i, r := range z.records {
		p.byID[r.ID] = i
	}
	p.entries = make([]entry, len(z.records), len(z.records)+len(b.Creates))
	for i, r := range z.records {
		p.entries[i].Record = r
	}
	p.delete(b.Deletes, &vs)
	p.update(b.Updates, &vs)
	p.create(b.Creates, &vs)
	if n := len(p.entries) - len(p.applied.Deleted); n > limits.maxRecords() && n > len(z.records) {
		vs.add("creates", RuleTooManyRecords, "the zone would have %d records; the limit is %d", n, limits.maxRecords())
	}
	p.entries = slices.DeleteFunc(p.entries, func(e entry) bool { return e.path == gone })
	checkZone(z.origin, p.entries, p.lostNS, &vs)
	if err := vs.err(); err != nil {
		return z, Applied{}, err
	}
	return p.finish(newID)
}

// gone marks an entry that the batch deletes; no path looks like it.
const gone = "-"

// plan is a batch on its way to a zone.
type plan struct {
	zone    Zone
	byID    map[string]int
	touched map[string]string
	lostNS  map[string]string
	entries []entry
	applied Applied
	updated []string
	created int
}

// claim finds the record of an ID that the batch has not named before.
func (p *plan) claim(id, path string, vs *violations) (int, bool) {
	i, ok := p.byID[id]
	if !ok {
		vs.add(path, RuleNotFound, "there is no record %s in this zone", show(id))
		return 0, false
	}
	if first, ok := p.touched[id]; ok {
		vs.add(path, RuleTwiceInBatch, "the record %s is already named by %s", show(id), first)
		return 0, false
	}
	p.touched[id] = path
	if p.entries[i].Type == TypeNS {
		p.lostNS[p.entries[i].Name] = path
	}
	return i, true
}

func (p *plan) delete(ids []string, vs *violations) {
	for n, id := range ids {
		if i, ok := p.claim(id, fmt.Sprintf("deletes[%d]", n), vs); ok {
			p.entries[i].path = gone
			p.applied.Deleted = append(p.applied.Deleted, p.entries[i].Record)
		}
	}
}

func (p *plan) update(records []Record, vs *violations) {
	for n, r := range records {
		path := fmt.Sprintf("updates[%d]", n)
		i, ok := p.claim(r.ID, path, vs)
		canonical, broken := r.Canonical(p.zone.origin)
		vs.addAll(path+".", broken)
		if ok && len(broken) == 0 {
			p.entries[i] = entry{canonical, path}
			p.updated = append(p.updated, r.ID)
		}
	}
}

func (p *plan) create(records []Record, vs *violations) {
	for n, r := range records {
		path := fmt.Sprintf("creates[%d]", n)
		canonical, broken := r.Canonical(p.zone.origin)
		vs.addAll(path+".", broken)
		if len(broken) == 0 {
			p.entries = append(p.entries, entry{canonical, path})
			p.created++
		}
	}
}

// finish gives IDs; it runs only when nothing can fail any more, so that a refused batch
// draws none.
func (p *plan) finish(newID func() string) (Zone, Applied, error) {
	records := make([]Record, len(p.entries))
	byID := make(map[string]Record, len(p.updated))
	for i, e := range p.entries {
		records[i] = e.Record
		byID[e.ID] = e.Record
	}
	for i := len(records) - p.created; i < len(records); i++ {
		records[i].ID = newID()
		p.applied.Created = append(p.applied.Created, records[i])
	}
	for _, id := range p.updated {
		p.applied.Updated = append(p.applied.Updated, byID[id])
	}
	return Zone{origin: p.zone.origin, records: records}, p.applied, nil
}
