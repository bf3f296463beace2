package incident

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Bounds of what is kept.
const (
	// MaxKept is how many incidents are kept.
	MaxKept = 500
	// MaxLines is how many lines a timeline has at most.
	MaxLines = 100
	// maxOwnLines is how many of them are written by themselves, but for the last one.
	maxOwnLines = 80
	// maxSites is up to how many sites an incident counts.
	maxSites = 8192
	// maxQuarantines is how many quarantines an incident counts.
	maxQuarantines = 1000
	// maxDataCenters is how many data centers an incident names.
	maxDataCenters = 1000
)

// quiet is how long all must be well before an incident is over.
const quiet = 10 * time.Second

// topicFleet is what lost data centers have in common. The other topics are channels.
const topicFleet = "fleet"

// Changes is what came of a step.
type Changes struct {
	// Put are the incidents that are new or different.
	Put []*storev1.IncidentRecord
	// Remove are the names of those that are too old to keep.
	Remove []string
}

// Empty says that nothing came of it.
func (c Changes) Empty() bool { return len(c.Put) == 0 && len(c.Remove) == 0 }

// Step says how the kept incidents change by the facts. Its arguments are not modified.
func Step(kept []*storev1.IncidentRecord, f Facts) Changes {
	s := &step{facts: f, now: timestamppb.New(f.Now), kept: kept, touched: map[string]*storev1.IncidentRecord{}}
	for i := range f.Channels {
		s.channel(&f.Channels[i])
	}
	s.fleet()
	return s.finish()
}

// step is one step under way.
type step struct {
	facts   Facts
	now     *timestamppb.Timestamp
	kept    []*storev1.IncidentRecord
	touched map[string]*storev1.IncidentRecord
}

// open returns the open incident of a topic to be changed, or nil.
func (s *step) open(topic string) *storev1.IncidentRecord {
	for _, rec := range s.touched {
		if rec.GetTopic() == topic {
			return rec
		}
	}
	for _, rec := range s.kept {
		if rec.GetTopic() == topic && rec.GetIncident().GetState() == breakwaterv1.Incident_OPEN {
			return proto.CloneOf(rec)
		}
	}
	return nil
}

// start opens an incident.
func (s *step) start(topic string, cause breakwaterv1.Incident_Cause) *storev1.IncidentRecord {
	name := "incidents/" + ID(s.facts.Now, topic)
	for slices.ContainsFunc(s.kept, func(rec *storev1.IncidentRecord) bool { return rec.GetIncident().GetName() == name }) {
		name += "-again"
	}
	return &storev1.IncidentRecord{
		Topic: topic,
		Incident: &breakwaterv1.Incident{
			Name: name, State: breakwaterv1.Incident_OPEN, Cause: cause, StartTime: s.now,
		},
	}
}

// touch notes that an incident changed.
func (s *step) touch(rec *storev1.IncidentRecord) {
	rec.Incident.UpdateTime = s.now
	s.touched[rec.GetIncident().GetName()] = rec
}

// line adds a line that nobody wrote. Where there are too many the rest is left out.
func (s *step) line(rec *storev1.IncidentRecord, kind breakwaterv1.Incident_Entry_Kind, text string) {
	in := rec.GetIncident()
	switch n := len(in.GetTimeline()); {
	case kind == breakwaterv1.Incident_Entry_RECOVERED && n < MaxLines:
	case n >= maxOwnLines:
		s.touch(rec)
		return
	case n == maxOwnLines-1:
		kind, text = breakwaterv1.Incident_Entry_UPDATE, textMore
	}
	in.Timeline = append(in.Timeline, &breakwaterv1.Incident_Entry{Time: s.now, Kind: kind, Text: text})
	s.touch(rec)
}

// channel tells what happened in a channel.
func (s *step) channel(c *Channel) {
	topic := string(c.Channel)
	rec := s.open(topic)
	for _, h := range together(c.Harm) {
		rec = s.takenBack(c, rec, h)
	}
	for _, r := range c.Reverts {
		rec = s.reverted(c, rec, r)
	}
	s.quarantines(c, &rec)
	if rec == nil {
		return
	}
	if c.Searching && !rec.GetSearching() {
		s.line(rec, breakwaterv1.Incident_Entry_SEARCHING, textSearching)
	}
	if c.Searching != rec.GetSearching() {
		rec.Searching = c.Searching
		s.touch(rec)
	}
	if c.Exhausted && !rec.GetExhausted() {
		s.line(rec, breakwaterv1.Incident_Entry_HELD, textExhausted(c))
	}
	if c.Exhausted != rec.GetExhausted() {
		rec.Exhausted = c.Exhausted
		s.touch(rec)
	}
	if c.well() && s.calm(rec) {
		s.resolve(rec, textRecovered(rec.GetIncident(), c))
	}
}

// fleet tells which data centers are lost and back.
func (s *step) fleet() {
	rec := s.open(topicFleet)
	var lost []string
	for _, dc := range s.facts.Lost {
		if rec == nil || !slices.Contains(rec.GetAway(), dc) {
			lost = append(lost, dc)
		}
	}
	if len(lost) > 0 {
		if rec == nil {
			rec = s.start(topicFleet, breakwaterv1.Incident_DATA_CENTERS_LOST)
		}
		addDataCenters(rec.GetIncident(), lost)
		rec.Away = slices.Sorted(slices.Values(append(rec.GetAway(), lost...)))
		rec.LastHarmTime = s.now
		rec.Incident.Title = titleLost(rec.GetIncident())
		s.line(rec, breakwaterv1.Incident_Entry_DETECTED, textLost(lost, s.facts.Known))
	}
	if rec == nil {
		return
	}
	var back, away []string
	for _, dc := range rec.GetAway() {
		if slices.Contains(s.facts.Silent, dc) {
			away = append(away, dc)
		} else {
			back = append(back, dc)
		}
	}
	if len(back) > 0 {
		rec.Away, rec.LastHarmTime = away, s.now
		s.line(rec, breakwaterv1.Incident_Entry_UPDATE, textBack(back))
	}
	if len(rec.GetAway()) == 0 && s.calm(rec) {
		s.resolve(rec, textAllBack(rec.GetIncident(), s.now))
	}
}

// calm says whether nothing happened for a while.
func (s *step) calm(rec *storev1.IncidentRecord) bool {
	return !s.facts.Now.Before(rec.GetLastHarmTime().AsTime().Add(quiet))
}

func (s *step) resolve(rec *storev1.IncidentRecord, text string) {
	in := rec.GetIncident()
	in.State, in.ResolveTime = breakwaterv1.Incident_RESOLVED, s.now
	rec.SiteDigests, rec.Away, rec.Searching, rec.Exhausted = nil, nil, false, false
	s.line(rec, breakwaterv1.Incident_Entry_RECOVERED, text)
}

// finish puts together what changed, and what there is no more room for.
func (s *step) finish() Changes {
	var out Changes
	for _, name := range slices.Sorted(maps.Keys(s.touched)) {
		out.Put = append(out.Put, s.touched[name])
	}
	fresh := len(out.Put)
	for _, rec := range s.kept {
		if s.touched[rec.GetIncident().GetName()] != nil {
			fresh--
		}
	}
	if fresh > 0 {
		out.Remove = Surplus(s.kept, fresh)
	}
	return out
}

// Surplus names the incidents to be removed so that there is room for n more: the oldest
// that are over.
func Surplus(kept []*storev1.IncidentRecord, n int) []string {
	over := len(kept) + n - MaxKept
	var out []string
	byName := func(a, b *storev1.IncidentRecord) int {
		return cmp.Compare(a.GetIncident().GetName(), b.GetIncident().GetName())
	}
	for _, rec := range slices.SortedFunc(slices.Values(kept), byName) {
		if len(out) < over && rec.GetIncident().GetState() == breakwaterv1.Incident_RESOLVED {
			out = append(out, rec.GetIncident().GetName())
		}
	}
	return out
}
