package incident

import (
	"maps"
	"slices"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// reverts finds the good releases that operators undid: what they changed is held back.
// Everybody had served them.
func (o *observation) reverts(suspects []*storev1.Suspect) []Revert {
	held := map[int64][]wire.DocumentID{}
	for _, s := range suspects {
		if s.GetOrigin() == storev1.Suspect_REVERT {
			held[s.GetRelease()] = append(held[s.GetRelease()], wire.DocumentID{Kind: s.GetKind(), ID: s.GetId()})
		}
	}
	var out []Revert
	for _, n := range slices.Sorted(maps.Keys(held)) {
		out = append(out, Revert{
			Release: n, DataCenters: slices.Sorted(maps.Keys(o.fleet)), Changes: len(held[n]), Sites: sitesOf(held[n]),
		})
	}
	return out
}

// reverting says whether a revert waits for its release, or that one for its last wave.
func reverting(rec *storev1.RolloutRecord) bool {
	return len(rec.GetReverts()) > 0 || slices.ContainsFunc(rec.GetReleases(), func(p *storev1.ReleaseProgress) bool {
		return p.GetCause() == edgev1.Manifest_REVERT && p.GetLiveTime() == nil
	})
}

// reverted tells of a good release that is undone, once, in rec where that is open.
func (s *step) reverted(c *Channel, rec *storev1.IncidentRecord, r Revert) *storev1.IncidentRecord {
	told := func(other *storev1.IncidentRecord) bool {
		return other.GetTopic() == string(c.Channel) && slices.Contains(other.GetReverts(), r.Release)
	}
	if slices.ContainsFunc(s.kept, told) {
		return rec
	}
	if rec == nil {
		rec = s.start(string(c.Channel), breakwaterv1.Incident_ROLLBACK)
		rec.Incident.Channel = string(c.Channel)
		rec.Incident.Title = titleReverted(rec.GetIncident())
	}
	if rec.GetIncident().GetCause() == breakwaterv1.Incident_ROLLBACK {
		addDataCenters(rec.GetIncident(), r.DataCenters)
	}
	addSites(rec, r.Sites)
	rec.Reverts = append(rec.Reverts, r.Release)
	rec.LastHarmTime = s.now
	s.line(rec, breakwaterv1.Incident_Entry_ROLLED_BACK, textReverted(r))
	return rec
}
