package ops_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/incident"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
)

func (w *world) incidents() *ops.Incidents {
	return ops.NewIncidents(w.ctl, func() ops.View { return w.controlCache.Cached() }, places)
}

// current waits until the cache shows all that is stored.
func (w *world) current() {
	w.t.Helper()
	if _, err := w.controlCache.Read(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestIncidents(t *testing.T) {
	w := newWorld(t)
	s := w.incidents()
	create := func(in *breakwaterv1.Incident, options ...string) (*breakwaterv1.Incident, error) {
		ctx := w.as("CreateIncident")
		if len(options) > 0 {
			ctx = w.as("CreateIncident", keyed(options[0], in.String()))
		}
		return s.CreateIncident(ctx, &breakwaterv1.CreateIncidentRequest{Incident: in})
	}
	_, err := create(&breakwaterv1.Incident{DataCenters: []string{"XXX"}})
	is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	if !strings.Contains(err.Error(), "title") && !strings.Contains(rpcerr.Status(err).Message(), "2") {
		t.Errorf("got %v", err)
	}
	in, err := create(&breakwaterv1.Incident{
		Title: "Slow answers", DataCenters: []string{"SJC", "LHR", "SJC"}, Cause: breakwaterv1.Incident_QUARANTINE, AffectedSites: 7,
	}, "k")
	if err != nil || in.GetState() != breakwaterv1.Incident_OPEN || in.GetCause() != breakwaterv1.Incident_OPERATOR_REPORT ||
		in.GetAffectedSites() != 0 || strings.Join(in.GetDataCenters(), " ") != "LHR SJC" || in.GetEtag() == "" {
		t.Fatalf("got %v, %v", in, err)
	}
	name := in.GetName()
	w.clock.Advance(1e9)
	second, err := create(&breakwaterv1.Incident{Title: "Another"})
	if err != nil {
		t.Fatal(err)
	}
	w.audited("operator:ada CreateIncident "+name, "operator:ada CreateIncident "+second.GetName())

	got, err := s.AddIncidentUpdate(w.as("AddIncidentUpdate"), &breakwaterv1.AddIncidentUpdateRequest{Name: name, Text: "We look into it."})
	if err != nil || len(got.GetTimeline()) != 1 || got.GetTimeline()[0].GetText() != "We look into it." || got.GetEtag() != in.GetEtag() {
		t.Fatalf("got %v, %v", got, err)
	}
	update := func(in *breakwaterv1.Incident, paths ...string) (*breakwaterv1.Incident, error) {
		req := &breakwaterv1.UpdateIncidentRequest{Incident: in}
		if len(paths) > 0 {
			req.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
		}
		return s.UpdateIncident(w.as("UpdateIncident"), req)
	}
	got, err = update(&breakwaterv1.Incident{Name: name, State: breakwaterv1.Incident_RESOLVED, Etag: in.GetEtag()})
	if err != nil || got.GetState() != breakwaterv1.Incident_RESOLVED || got.GetResolveTime() == nil || len(got.GetTimeline()) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	_, err = update(&breakwaterv1.Incident{Name: name, Title: "x", Etag: in.GetEtag()})
	is(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch)
	_, err = update(&breakwaterv1.Incident{Name: name}, "title")
	is(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField)
	_, err = update(&breakwaterv1.Incident{Name: "incidents/none", Title: "x"})
	is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	if got, err = update(&breakwaterv1.Incident{Name: name, State: breakwaterv1.Incident_OPEN}); err != nil || got.GetResolveTime() != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	w.audited("operator:ada AddIncidentUpdate "+name, "operator:ada UpdateIncident "+name, "operator:ada UpdateIncident "+name)
}

func TestListIncidents(t *testing.T) {
	w := newWorld(t)
	s := w.incidents()
	var want []string
	for _, id := range []string{"20260101-000000-fleet", "20260101-000000-routine", "20260102-000000-routine", "20260102-000000-routine-again"} {
		state := breakwaterv1.Incident_RESOLVED
		if id == "20260102-000000-routine" {
			state = breakwaterv1.Incident_OPEN
		}
		name := "incidents/" + id
		want = append([]string{name}, want...)
		w.put(w.control, ledger.IncidentKey(id), &storev1.IncidentRecord{Topic: "x", Incident: &breakwaterv1.Incident{
			Name: name, Title: "t", State: state, Timeline: []*breakwaterv1.Incident_Entry{{Text: "line"}},
		}})
	}
	list := func(filter string) []string {
		t.Helper()
		var got []string
		token := ""
		for {
			page, err := s.ListIncidents(w.as("ListIncidents"), &breakwaterv1.ListIncidentsRequest{PageSize: 1, PageToken: token, Filter: filter})
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range page.GetIncidents() {
				got = append(got, in.GetName())
				if len(in.GetTimeline()) != 0 {
					t.Errorf("a list has a timeline: %v", in)
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return got
			}
		}
	}
	if got := list(""); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := list("state = OPEN"); len(got) != 1 || got[0] != "incidents/20260102-000000-routine" {
		t.Errorf("open: %v", got)
	}
	w.current()
	status, err := w.status.GetStatus(t.Context(), &breakwaterv1.GetStatusRequest{})
	if err != nil || len(status.GetIncidents()) != 1 || !strings.Contains(status.GetSummary(), "1 incident is open") {
		t.Errorf("got %v, %v", status, err)
	}
	// Who asks while the store is away is told what is known.
	w.control.SetUnavailable(true)
	got, err := s.GetIncident(t.Context(), &breakwaterv1.GetIncidentRequest{Name: want[1]})
	if err != nil || len(got.GetTimeline()) != 1 {
		t.Errorf("store away: %v, %v", got, err)
	}
	w.control.SetUnavailable(false)
	for _, name := range []string{"incidents/", "incidents/none", "sites/x", "incidents/a/b"} {
		_, err = s.GetIncident(t.Context(), &breakwaterv1.GetIncidentRequest{Name: name})
		is(t, err, codes.NotFound, rpcerr.ReasonNotFound)
	}
}

func TestIncidentsAreBounded(t *testing.T) {
	w := newWorld(t)
	s := w.incidents()
	long := &breakwaterv1.Incident{Name: "incidents/20200101-long", Title: "t", State: breakwaterv1.Incident_OPEN}
	for range incident.MaxLines - 1 {
		long.Timeline = append(long.Timeline, &breakwaterv1.Incident_Entry{Text: "x"})
	}
	w.put(w.control, ledger.IncidentKey("20200101-long"), &storev1.IncidentRecord{Incident: long})
	_, err := s.AddIncidentUpdate(w.as("AddIncidentUpdate"), &breakwaterv1.AddIncidentUpdateRequest{Name: long.GetName(), Text: "x"})
	is(t, err, codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded)
	for i := range incident.MaxKept - 1 {
		id := "2021" + strings.Repeat("x", i/26+1) + string(rune('a'+i%26))
		w.put(w.control, ledger.IncidentKey(id), &storev1.IncidentRecord{Incident: &breakwaterv1.Incident{
			Name: "incidents/" + id, State: breakwaterv1.Incident_RESOLVED,
		}})
	}
	w.current()
	if _, err = s.CreateIncident(w.as("CreateIncident"), &breakwaterv1.CreateIncidentRequest{Incident: &breakwaterv1.Incident{Title: "t"}}); err != nil {
		t.Fatal(err)
	}
	w.current()
	kept, err := incident.Kept(w.controlCache.Cached())
	if err != nil || len(kept) != incident.MaxKept {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	if _, err = s.GetIncident(t.Context(), &breakwaterv1.GetIncidentRequest{Name: long.GetName()}); err != nil {
		t.Errorf("an open incident was removed: %v", err)
	}
}
