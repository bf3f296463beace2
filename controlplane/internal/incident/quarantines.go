package incident

import (
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// recent is how old quarantines may be to be told together: those of two accounts within it
// are an incident. It is as long as a soak is by default.
const recent = 10 * time.Minute

// quarantines counts the documents that were isolated of late. Those of one account are told
// only where an incident is open: they are their owner's business. Each refusal is a release
// of its own, so accounts are counted over all of them.
func (s *step) quarantines(c *Channel, to **storev1.IncidentRecord) {
	fresh := slices.DeleteFunc(slices.Clone(c.Quarantines), func(q Quarantine) bool {
		return s.facts.Now.Sub(q.Created) > recent || s.told(q.key())
	})
	if len(fresh) == 0 {
		return
	}
	rec := *to
	if rec == nil {
		if !several(fresh) {
			return
		}
		rec = s.start(string(c.Channel), breakwaterv1.Incident_QUARANTINE)
		rec.Incident.Channel = string(c.Channel)
		rec.Incident.Title = titleQuarantine(c)
	}
	for _, q := range fresh {
		if len(rec.GetQuarantines()) < maxQuarantines {
			rec.Quarantines = append(rec.Quarantines, q.key())
		}
		addSites(rec, q.Sites)
	}
	rec.Incident.QuarantinedDocuments = documents(rec.GetQuarantines())
	rec.LastHarmTime = s.now
	s.line(rec, breakwaterv1.Incident_Entry_QUARANTINED, textQuarantined(len(fresh)))
	*to = rec
}

// told says whether a kept incident counted a quarantine.
func (s *step) told(key string) bool {
	has := func(rec *storev1.IncidentRecord) bool { return slices.Contains(rec.GetQuarantines(), key) }
	for _, rec := range s.touched {
		if has(rec) {
			return true
		}
	}
	return slices.ContainsFunc(s.kept, has)
}

// several says whether quarantines concern more than one account.
func several(quarantines []Quarantine) bool {
	accounts := map[string]bool{}
	for _, q := range quarantines {
		if q.Everyone {
			return true
		}
		for _, a := range q.Accounts {
			accounts[a] = true
		}
	}
	return len(accounts) > 1
}

// documents is of how many documents the quarantines are.
func documents(keys []string) int32 {
	seen := map[string]bool{}
	for _, key := range keys {
		seen[documentOf(key)] = true
	}
	return int32(len(seen))
}
