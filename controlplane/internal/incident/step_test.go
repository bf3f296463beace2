package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// story steps through facts and keeps what comes of them.
type story struct {
	t    *testing.T
	now  time.Time
	kept []*storev1.IncidentRecord
}

func newStory(t *testing.T) *story {
	t.Helper()
	return &story{t: t, now: time.Date(2026, 3, 3, 9, 47, 0, 0, time.UTC)}
}

// step steps by the facts, and lets a second pass. Nothing that goes in may change.
func (s *story) step(f Facts) {
	s.t.Helper()
	f.Now = s.now
	// The newest ones are those that steps care about.
	newest := s.kept[max(0, len(s.kept)-5):]
	before := make([]*storev1.IncidentRecord, len(newest))
	for i, rec := range newest {
		before[i] = proto.CloneOf(rec)
	}
	c := Step(s.kept, f)
	for i, rec := range newest {
		if !proto.Equal(rec, before[i]) {
			s.t.Fatalf("the step changed what went in: %v", rec)
		}
	}
	s.keep(c)
	s.now = s.now.Add(time.Second)
}

func (s *story) keep(c Changes) {
	s.t.Helper()
	for _, name := range c.Remove {
		s.kept = slices.DeleteFunc(s.kept, func(r *storev1.IncidentRecord) bool { return r.GetIncident().GetName() == name })
	}
	for _, rec := range c.Put {
		in := rec.GetIncident()
		if n := len(in.GetTimeline()); n > MaxLines {
			s.t.Fatalf("%s has %d lines", in.GetName(), n)
		}
		i := slices.IndexFunc(s.kept, func(r *storev1.IncidentRecord) bool { return r.GetIncident().GetName() == in.GetName() })
		if i < 0 {
			s.kept = append(s.kept, rec)
		} else {
			s.kept[i] = rec
		}
	}
	if len(s.kept) > MaxKept {
		s.t.Fatalf("%d incidents are kept", len(s.kept))
	}
}

// last is the newest incident.
func (s *story) last() *breakwaterv1.Incident {
	s.t.Helper()
	if len(s.kept) == 0 {
		s.t.Fatal("there is no incident")
	}
	return s.kept[len(s.kept)-1].GetIncident()
}

func kinds(in *breakwaterv1.Incident) string {
	var out []string
	for _, e := range in.GetTimeline() {
		out = append(out, e.GetKind().String())
	}
	return strings.Join(out, " ")
}

// routine are the facts of a channel, as well as can be unless changed.
func routine(change func(*Channel)) Facts {
	c := Channel{Channel: wire.Routine, Eligible: 23}
	change(&c)
	return Facts{Channels: []Channel{c}, Known: 23}
}

func well(*Channel) {}

func TestHarmfulRelease(t *testing.T) {
	s := newStory(t)
	s.step(routine(well))
	if len(s.kept) != 0 {
		t.Fatalf("an incident of nothing: %v", s.kept)
	}
	s.step(routine(func(c *Channel) {
		c.Harm = []Harm{{Release: 7, DataCenters: []string{"LHR"}, Changes: 4, Sites: []uint64{1, 2, 3}}}
		c.Searching, c.Recovering, c.Behind = true, true, 1
	}))
	in := s.last()
	if in.GetState() != breakwaterv1.Incident_OPEN || in.GetCause() != breakwaterv1.Incident_HARMFUL_RELEASE || in.GetChannel() != "routine" ||
		in.GetAffectedSites() != 3 || fmt.Sprint(in.GetDataCenters()) != "[LHR]" || in.GetName() != "incidents/20260303-094701-routine" {
		t.Fatalf("got %v", in)
	}
	if got := kinds(in); got != "DETECTED ROLLED_BACK SEARCHING" {
		t.Fatalf("the timeline is %s", got)
	}
	// A trial that hurts is told, the same sites count once, and nothing is said twice.
	trial := func(c *Channel) {
		c.Harm = []Harm{{Release: 8, DataCenters: []string{"LHR"}, Changes: 2, Sites: []uint64{2, 3}, Trial: true}}
		c.Searching = true
	}
	s.step(routine(trial))
	for range 30 {
		s.step(routine(func(c *Channel) { c.Searching = true }))
	}
	if in = s.last(); kinds(in) != "DETECTED ROLLED_BACK SEARCHING ROLLED_BACK" || in.GetAffectedSites() != 3 {
		t.Fatalf("%s, %d sites", kinds(in), in.GetAffectedSites())
	}
	created := s.now
	isolated := func(c *Channel) {
		c.Quarantines = []Quarantine{{Document: "a", Created: created, Accounts: []string{"acme"}}}
	}
	s.step(routine(isolated))
	for range 9 {
		s.step(routine(isolated))
		if s.last().GetState() != breakwaterv1.Incident_OPEN {
			t.Fatalf("over too soon: %v", s.last())
		}
	}
	s.step(routine(well))
	in = s.last()
	if kinds(in) != "DETECTED ROLLED_BACK SEARCHING ROLLED_BACK QUARANTINED RECOVERED" || in.GetState() != breakwaterv1.Incident_RESOLVED ||
		in.GetQuarantinedDocuments() != 1 || in.GetResolveTime() == nil || len(s.kept) != 1 {
		t.Fatalf("%s: %v", kinds(in), in)
	}
	if len(s.kept[0].GetSiteDigests()) != 0 {
		t.Error("sites are remembered after the end")
	}
	// What comes later is another incident.
	s.step(routine(func(c *Channel) { c.Harm = []Harm{{Release: 12, DataCenters: []string{"SJC"}}} }))
	if len(s.kept) != 2 || s.last().GetState() != breakwaterv1.Incident_OPEN {
		t.Fatalf("got %v", s.kept)
	}
}

func TestWhatKeepsAnIncidentOpen(t *testing.T) {
	for name, ill := range map[string]func(*Channel){
		"a search":                func(c *Channel) { c.Searching = true },
		"a search that gave up":   func(c *Channel) { c.Exhausted, c.Suspects = true, 2 },
		"an unfinished revert":    func(c *Channel) { c.Reverting = true },
		"a hurt data center":      func(c *Channel) { c.Recovering = true },
		"one that is behind":      func(c *Channel) { c.Behind = 1 },
		"nobody who takes part":   func(c *Channel) { c.Eligible = 0 },
		"harm again":              func(c *Channel) { c.Harm = []Harm{{Release: 9, DataCenters: []string{"SJC"}}} },
		"everything, and lasting": func(c *Channel) { c.Recovering, c.Behind, c.Exhausted = true, 3, true },
	} {
		s := newStory(t)
		s.step(routine(func(c *Channel) { c.Harm = []Harm{{Release: 7, DataCenters: []string{"LHR"}}} }))
		for range 60 {
			s.step(routine(ill))
		}
		if in := s.last(); in.GetState() != breakwaterv1.Incident_OPEN || len(s.kept) != 1 {
			t.Errorf("%s: %v", name, in)
		}
		for range 12 {
			s.step(routine(well))
		}
		if in := s.last(); in.GetState() != breakwaterv1.Incident_RESOLVED {
			t.Errorf("%s, then well: %v", name, in)
		}
	}
}

func TestQuarantinesThatConcernSeveral(t *testing.T) {
	began := newStory(t).now
	held := func(document, account string, ago time.Duration) Quarantine {
		return Quarantine{Document: document, Created: began.Add(-ago), Accounts: []string{account}, Sites: []uint64{uint64(document[0])}}
	}
	for name, test := range map[string]struct {
		quarantines []Quarantine
		want        int // so many documents are told
	}{
		"one account":           {[]Quarantine{held("a", "acme", 0), held("b", "acme", 0)}, 0},
		"two accounts":          {[]Quarantine{held("a", "acme", 0), held("b", "bolt", 0)}, 2},
		"two, some time apart":  {[]Quarantine{held("a", "acme", recent), held("b", "bolt", 0)}, 2},
		"two, a long time":      {[]Quarantine{held("a", "acme", recent+time.Second), held("b", "bolt", 0)}, 0},
		"two, and an old one":   {[]Quarantine{held("a", "acme", 0), held("b", "bolt", 0), held("c", "core", time.Hour)}, 2},
		"one document again":    {[]Quarantine{held("a", "acme", 0), held("a", "acme", time.Second), held("b", "bolt", 0)}, 2},
		"an account and itself": {[]Quarantine{held("a", "acme", 0), held("a", "acme", time.Second)}, 0},
		"the platform":          {[]Quarantine{{Document: "a", Created: began, Everyone: true}}, 1},
	} {
		s := newStory(t)
		for range 30 {
			s.step(routine(func(c *Channel) { c.Quarantines = test.quarantines }))
		}
		if got := len(s.kept) == 1; got != (test.want > 0) {
			t.Errorf("%s: %v", name, s.kept)
			continue
		}
		if test.want > 0 && (kinds(s.last()) != "QUARANTINED RECOVERED" || int(s.last().GetQuarantinedDocuments()) != test.want) {
			t.Errorf("%s: %v", name, s.last())
		}
		if name == "two accounts" && s.last().GetAffectedSites() != 2 {
			t.Errorf("%d sites", s.last().GetAffectedSites())
		}
	}
}

// One after the other, as refusals come: the second account's opens the incident, and tells
// of the first one's too.
func TestQuarantinesOneAfterTheOther(t *testing.T) {
	s := newStory(t)
	var held []Quarantine
	for i := range 20 {
		held = append(held, Quarantine{Document: fmt.Sprintf("site-%d", i), Created: s.now, Accounts: []string{[]string{"acme", "bolt"}[i/10]}})
		s.step(routine(func(c *Channel) { c.Quarantines = held }))
		if got := len(s.kept); got != i/10 {
			t.Fatalf("%d incidents after %d quarantines", got, i+1)
		}
	}
	if in := s.last(); in.GetQuarantinedDocuments() != 20 || in.GetCause() != breakwaterv1.Incident_QUARANTINE {
		t.Errorf("got %v", in)
	}
}

// A release that was taken back after its first wave is told, though nobody was hurt; what
// hurts meanwhile is worse.
func TestRollbackWithoutHarm(t *testing.T) {
	s := newStory(t)
	s.step(routine(func(c *Channel) {
		c.Harm = []Harm{{Release: 7, Reached: []string{"LHR", "SJC"}, Changes: 1, Sites: []uint64{1}}}
	}))
	in := s.last()
	if in.GetCause() != breakwaterv1.Incident_ROLLBACK || kinds(in) != "ROLLED_BACK" || in.GetAffectedSites() != 1 ||
		in.GetTitle() != "A release of the routine channel was taken back from LHR, SJC" {
		t.Fatalf("got %v", in)
	}
	s.step(routine(func(c *Channel) { c.Harm = []Harm{{Release: 9, DataCenters: []string{"NRT"}}} }))
	if in = s.last(); in.GetCause() != breakwaterv1.Incident_HARMFUL_RELEASE || kinds(in) != "ROLLED_BACK DETECTED ROLLED_BACK" ||
		in.GetTitle() != "A release of the routine channel hurt NRT and was taken back" {
		t.Fatalf("got %v", in)
	}
	s.step(routine(func(c *Channel) { c.Harm = []Harm{{Release: 10, Reached: []string{"SJC"}}} }))
	if text := in.GetTimeline()[0].GetText(); !strings.Contains(text, "taken back from LHR, SJC; 1 change of 1 site") {
		t.Errorf("%q", text)
	}
	if in = s.last(); fmt.Sprint(in.GetDataCenters()) != "[NRT]" || len(s.kept) != 1 {
		t.Errorf("got %v", in)
	}
}

// A good release that is undone is told once, and the incident lasts until that is done.
func TestRevertedRelease(t *testing.T) {
	s := newStory(t)
	held := func(reverting bool) Facts {
		return routine(func(c *Channel) {
			c.Reverts = []Revert{{Release: 4, DataCenters: []string{"LHR", "SJC"}, Changes: 2, Sites: []uint64{1}}}
			c.Reverting = reverting
		})
	}
	for range 30 {
		s.step(held(true))
	}
	in := s.last()
	if len(s.kept) != 1 || in.GetState() != breakwaterv1.Incident_OPEN || in.GetCause() != breakwaterv1.Incident_ROLLBACK ||
		kinds(in) != "ROLLED_BACK" || in.GetAffectedSites() != 1 || len(in.GetDataCenters()) != 2 {
		t.Fatalf("got %v", s.kept)
	}
	// Its documents stay held, and are no news.
	for range 30 {
		s.step(held(false))
	}
	if in = s.last(); len(s.kept) != 1 || in.GetState() != breakwaterv1.Incident_RESOLVED {
		t.Errorf("got %v", s.kept)
	}
}

func TestLostDataCenters(t *testing.T) {
	s := newStory(t)
	facts := func(lost, silent []string) Facts { return Facts{Lost: lost, Silent: silent, Known: 23} }
	s.step(facts(nil, []string{"SJC"}))
	if len(s.kept) != 0 {
		t.Fatal("lost at once")
	}
	sjc := []string{"SJC"}
	s.step(facts(sjc, sjc))
	s.step(facts(sjc, sjc))
	both := []string{"LHR", "SJC"}
	s.step(facts(both, both))
	if in := s.last(); len(s.kept) != 1 || kinds(in) != "DETECTED DETECTED" || fmt.Sprint(in.GetDataCenters()) != "[LHR SJC]" {
		t.Fatalf("got %v", s.kept)
	}
	s.step(facts(sjc, sjc))
	for range 30 {
		s.step(facts(sjc, sjc))
	}
	for range 12 {
		s.step(facts(nil, nil))
	}
	if in := s.last(); len(s.kept) != 1 || kinds(in) != "DETECTED DETECTED UPDATE UPDATE RECOVERED" || in.GetState() != breakwaterv1.Incident_RESOLVED {
		t.Fatalf("%s: %v", kinds(in), in)
	}
}

func TestOperatorsIncidentsAreTheirs(t *testing.T) {
	s := newStory(t)
	s.kept = []*storev1.IncidentRecord{
		{Incident: &breakwaterv1.Incident{Name: "incidents/1", State: breakwaterv1.Incident_OPEN}},
		{Topic: "routine", Incident: &breakwaterv1.Incident{Name: "incidents/2", State: breakwaterv1.Incident_RESOLVED}},
	}
	for range 30 {
		s.step(routine(well))
	}
	if s.kept[0].GetIncident().GetState() != breakwaterv1.Incident_OPEN || len(s.kept[0].GetIncident().GetTimeline()) != 0 {
		t.Errorf("got %v", s.kept[0])
	}
	// What an operator closed does not grow.
	s.step(routine(func(c *Channel) { c.Harm = []Harm{{Release: 7, DataCenters: []string{"LHR"}}} }))
	if len(s.kept) != 3 || len(s.kept[1].GetIncident().GetTimeline()) != 0 {
		t.Errorf("got %v", s.kept)
	}
}

func TestBounds(t *testing.T) {
	s := newStory(t)
	for i := range MaxKept + 20 {
		s.kept = append(s.kept, &storev1.IncidentRecord{Incident: &breakwaterv1.Incident{
			Name: fmt.Sprintf("incidents/2025%04d", i), State: breakwaterv1.Incident_RESOLVED, StartTime: timestamppb.New(s.now),
		}})
	}
	for i := range 100 {
		s.step(routine(func(c *Channel) {
			c.Harm = []Harm{{Release: int64(i), DataCenters: []string{fmt.Sprintf("D%03d", i)}, Sites: []uint64{uint64(i)}}}
		}))
	}
	in := s.last()
	if len(in.GetTimeline()) != maxOwnLines || in.GetTimeline()[maxOwnLines-1].GetText() != textMore || in.GetAffectedSites() != 100 ||
		len(in.GetDataCenters()) != 100 || len(in.GetTitle()) > 200 {
		t.Fatalf("%d lines, %d sites, title %q", len(in.GetTimeline()), in.GetAffectedSites(), in.GetTitle())
	}
	if s.kept[0].GetIncident().GetName() != "incidents/20250021" {
		t.Errorf("the oldest that is kept is %s", s.kept[0].GetIncident().GetName())
	}
	for range 12 {
		s.step(routine(well))
	}
	if in = s.last(); in.GetState() != breakwaterv1.Incident_RESOLVED || !strings.HasSuffix(kinds(in), "RECOVERED") {
		t.Errorf("the end is not told: %s", kinds(in))
	}
}

// TestTakenBackTogether: what is undone together is one line, whatever it was many of.
func TestTakenBackTogether(t *testing.T) {
	s := newStory(t)
	s.step(Facts{Channels: []Channel{{Channel: wire.Routine, Eligible: 3, Harm: []Harm{
		{Release: 5, DataCenters: []string{"SJC"}, Changes: 2, Sites: []uint64{1, 2}, Reason: "late"},
		{Release: 6, Parent: 5, DataCenters: []string{"LHR", "SJC"}, Changes: 1, Sites: []uint64{2}, Reason: "late"},
		{Release: 8, Parent: 6, DataCenters: []string{"SJC"}, Changes: 1, Sites: []uint64{3}, Reason: "another"},
	}}}})
	in := s.kept[0].GetIncident()
	if n := len(in.GetTimeline()); n != 3 || in.GetAffectedSites() != 3 {
		t.Fatalf("%d lines, %d sites", n, in.GetAffectedSites())
	}
	if text := in.GetTimeline()[1].GetText(); !strings.Contains(text, "releases 5 to 6") || !strings.Contains(text, "3 changes of 2 sites") {
		t.Errorf("%q", text)
	}
	if text := in.GetTimeline()[2].GetText(); !strings.Contains(text, "Release 8") {
		t.Errorf("%q", text)
	}
}
