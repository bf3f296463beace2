package zone

import (
	"cmp"
	"slices"
	"strings"
)

// Zone is the records of one site. It is a value: nothing changes one in place, and a copy
// shares its records. The zero value is not a zone; use [New] or [Load].
type Zone struct {
	origin  string
	records []Record
}

// New is the empty zone of the site origin, a canonical domain.
func New(origin string) Zone { return Zone{origin: origin} }

// Load is a zone from records as [Zone.Records] gave them, such as from a store. It does not
// check them again. The slice belongs to the zone from now on.
func Load(origin string, records []Record) Zone { return Zone{origin: origin, records: records} }

// Origin is the site's own name.
func (z Zone) Origin() string { return z.origin }

// Len is the number of records.
func (z Zone) Len() int { return len(z.records) }

// Records are the records in the order in which they were made. The caller must not change
// the slice.
func (z Zone) Records() []Record { return z.records }

// Record finds a record by its ID.
func (z Zone) Record(id string) (Record, bool) {
	i := slices.IndexFunc(z.records, func(r Record) bool { return r.ID == id })
	if i < 0 {
		return Record{}, false
	}
	return z.records[i], true
}

// RRset is the records of one name and type: the unit in which DNS answers.
type RRset struct {
	Name string
	Type Type
	// TTL is what all of them are served with, in seconds.
	TTL uint32
	// Proxied tells whether the name is answered with the edge's addresses. One proxied
	// record among several is enough: otherwise the others would give the origin away.
	Proxied bool
	// Records are in canonical order.
	Records []Record
}

// RRsets groups the records in canonical order: by name from the site's own name down, then
// by type, priority and content. The order does not depend on how the zone came to be.
func (z Zone) RRsets() []RRset {
	var sets []RRset
	for _, r := range z.Sorted() {
		if n := len(sets); n == 0 || sets[n-1].Name != r.Name || sets[n-1].Type != r.Type {
			sets = append(sets, RRset{Name: r.Name, Type: r.Type, TTL: r.servedTTL()})
		}
		s := &sets[len(sets)-1]
		s.TTL = min(s.TTL, r.servedTTL())
		s.Proxied = s.Proxied || r.Proxied
		s.Records = append(s.Records, r)
	}
	return sets
}

// Sorted is a copy of the records in canonical order.
func (z Zone) Sorted() []Record {
	type keyed struct {
		labels []string
		record Record
	}
	all := make([]keyed, len(z.records))
	for i, r := range z.records {
		labels := strings.Split(r.Name, ".")
		slices.Reverse(labels)
		all[i] = keyed{labels, r}
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		return cmp.Or(
			slices.Compare(a.labels, b.labels),
			cmp.Compare(a.record.Type, b.record.Type),
			cmp.Compare(a.record.Priority, b.record.Priority),
			cmp.Compare(a.record.Content, b.record.Content),
		)
	})
	out := make([]Record, len(all))
	for i := range all {
		out[i] = all[i].record
	}
	return out
}
