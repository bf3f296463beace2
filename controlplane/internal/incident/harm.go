package incident

import (
	"cmp"
	"slices"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// takenBack tells of a release that was taken back, in rec where that is open. It is a mere
// rollback until somebody is hurt.
func (s *step) takenBack(c *Channel, rec *storev1.IncidentRecord, h Harm) *storev1.IncidentRecord {
	if rec == nil {
		rec = s.start(string(c.Channel), breakwaterv1.Incident_ROLLBACK)
		rec.Incident.Channel = string(c.Channel)
	}
	in, hurt := rec.GetIncident(), len(h.DataCenters) > 0
	if hurt && in.GetCause() == breakwaterv1.Incident_ROLLBACK {
		in.Cause, in.DataCenters = breakwaterv1.Incident_HARMFUL_RELEASE, nil
		s.line(rec, breakwaterv1.Incident_Entry_DETECTED, textDetected(c, h))
	}
	switch {
	case hurt:
		addDataCenters(in, h.DataCenters)
		in.Title = titleHarm(in)
	case in.GetCause() == breakwaterv1.Incident_ROLLBACK:
		addDataCenters(in, h.Reached)
		in.Title = titleTakenBack(in)
	}
	addSites(rec, h.Sites)
	s.line(rec, breakwaterv1.Incident_Entry_ROLLED_BACK, textRolledBack(h))
	rec.LastHarmTime = s.now
	return rec
}

// together makes one of releases that stood on each other and were taken back for one reason,
// as all that did not soak are.
func together(harm []Harm) []Harm {
	var out []Harm
	for _, h := range harm {
		if n := len(out); n > 0 && h.Parent == out[n-1].Last && h.Reason == out[n-1].Reason {
			last := &out[n-1]
			last.Last = h.Release
			last.Changes += h.Changes
			last.Sites = union(last.Sites, h.Sites)
			last.DataCenters, last.Reached = union(last.DataCenters, h.DataCenters), union(last.Reached, h.Reached)
			continue
		}
		h.Last = h.Release
		out = append(out, h)
	}
	return out
}

func union[E cmp.Ordered](a, b []E) []E {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}
