package ops

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/incident"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ledger"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// freshWait bounds how long the public waits for a state that shows every acknowledged
// write. After it the newest state at hand answers: incidents are read most when the rest
// does not work.
const freshWait = 500 * time.Millisecond

// Incidents is the IncidentService: what the public may know, and what operators add.
type Incidents struct {
	breakwaterv1.UnimplementedIncidentServiceServer
	control   *Control
	cached    func() View
	locations []Location // in order of their codes
}

// NewIncidents returns the service. Cached is the newest state at hand, stale or not.
func NewIncidents(control *Control, cached func() View, locations []Location) *Incidents {
	return &Incidents{control: control, cached: cached, locations: byCode(locations)}
}

// ListIncidents lists the kept incidents, newest first.
func (s *Incidents) ListIncidents(
	ctx context.Context, req *breakwaterv1.ListIncidentsRequest,
) (*breakwaterv1.ListIncidentsResponse, error) {
	q, err := listing.Parse(req, &breakwaterv1.Incident{}, listing.Options{Absent: []string{"timeline"}})
	if err != nil {
		return nil, err
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	kept, err := incident.Kept(v)
	if err != nil {
		return nil, err
	}
	items, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.Incident) bool) error {
		for _, rec := range slices.Backward(kept) {
			key := backward(rec.GetIncident().GetName())
			if key <= after {
				continue
			}
			out := public(rec)
			out.Timeline = nil
			if !yield(key, out) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListIncidentsResponse{Incidents: items, NextPageToken: next}, nil
}

// GetIncident returns one incident with its timeline.
func (s *Incidents) GetIncident(ctx context.Context, req *breakwaterv1.GetIncidentRequest) (*breakwaterv1.Incident, error) {
	key, ok := incident.Key(req.GetName())
	if !ok {
		return nil, rpcerr.NotFound(req.GetName())
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	rec := &storev1.IncidentRecord{}
	switch ok, err := load(v, key, rec); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, rpcerr.NotFound(req.GetName())
	}
	return public(rec), nil
}

// CreateIncident opens an incident that operators saw.
func (s *Incidents) CreateIncident(ctx context.Context, req *breakwaterv1.CreateIncidentRequest) (*breakwaterv1.Incident, error) {
	out, repeated, err := Changed(ctx, s.control.Writer, func(tx *change.Tx) (*breakwaterv1.Incident, error) {
		given, now := req.GetIncident(), timestamppb.New(tx.Now())
		id := s.control.NewID(tx.Now())
		in := &breakwaterv1.Incident{
			Name:  "incidents/" + incident.ID(tx.Now(), "report-"+id[max(0, len(id)-6):]),
			Title: given.GetTitle(), DataCenters: sortedUnique(given.GetDataCenters()),
			State: breakwaterv1.Incident_OPEN, Cause: breakwaterv1.Incident_OPERATOR_REPORT, StartTime: now, UpdateTime: now,
		}
		if given.GetState() == breakwaterv1.Incident_RESOLVED {
			in.State, in.ResolveTime = given.GetState(), now
		}
		if violations := s.check(in); len(violations) > 0 {
			return nil, rpcerr.Invalid(violations...)
		}
		if err := s.makeRoom(tx); err != nil {
			return nil, err
		}
		key, _ := incident.Key(in.GetName())
		rec := &storev1.IncidentRecord{Incident: in}
		if err := tx.PutNew(key, rec); err != nil {
			return nil, err
		}
		return public(rec), nil
	})
	if !repeated {
		Audit(ctx, s.control.Logger, orName(out.GetName()), err)
	}
	return out, err
}

func orName(name string) string {
	if name == "" {
		return "incidents"
	}
	return name
}

// makeRoom removes the oldest incidents that are over, where there are too many.
func (s *Incidents) makeRoom(tx *change.Tx) error {
	kvs, _ := tx.Peek(ledger.IncidentsPrefix, incident.MaxKept+1)
	var kept []*storev1.IncidentRecord
	for _, kv := range kvs {
		rec := &storev1.IncidentRecord{}
		if err := proto.Unmarshal(kv.Value, rec); err != nil {
			return fmt.Errorf("ops: record %s: %w", kv.Key, err)
		}
		kept = append(kept, rec)
	}
	surplus := incident.Surplus(kept, 1)
	if len(kept)-len(surplus) >= incident.MaxKept {
		return rpcerr.Failed(codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded, "there are at most %d incidents", incident.MaxKept)
	}
	for _, name := range surplus {
		key, _ := incident.Key(name)
		tx.Delete(key)
	}
	return nil
}

// UpdateIncident changes what operators may change of an incident.
func (s *Incidents) UpdateIncident(ctx context.Context, req *breakwaterv1.UpdateIncidentRequest) (*breakwaterv1.Incident, error) {
	name := req.GetIncident().GetName()
	etag := call.From(ctx).Etag(req.GetIncident().GetEtag())
	return s.edit(ctx, name, func(tx *change.Tx, rec *storev1.IncidentRecord) error {
		if etag != "" && etag != public(rec).GetEtag() {
			return rpcerr.EtagMismatch(name)
		}
		in := rec.GetIncident()
		was := in.GetState()
		if _, err := masks.Apply(in, req.GetIncident(), req.GetUpdateMask(), masks.Options{}); err != nil {
			return err
		}
		in.DataCenters = sortedUnique(in.GetDataCenters())
		if violations := s.check(in); len(violations) > 0 {
			return rpcerr.Invalid(violations...)
		}
		switch {
		case was == in.GetState():
		case in.GetState() == breakwaterv1.Incident_RESOLVED:
			in.ResolveTime = timestamppb.New(tx.Now())
			line(tx, in, breakwaterv1.Incident_Entry_RECOVERED, "An operator closed the incident.")
		default:
			// From now on it is the operators': the tracker would close it again.
			in.ResolveTime, rec.Topic = nil, ""
			line(tx, in, breakwaterv1.Incident_Entry_UPDATE, "An operator opened the incident again.")
		}
		return nil
	})
}

// AddIncidentUpdate adds an operator's words to the timeline.
func (s *Incidents) AddIncidentUpdate(
	ctx context.Context, req *breakwaterv1.AddIncidentUpdateRequest,
) (*breakwaterv1.Incident, error) {
	return s.edit(ctx, req.GetName(), func(tx *change.Tx, rec *storev1.IncidentRecord) error {
		in := rec.GetIncident()
		// The last line is kept for the end.
		if len(in.GetTimeline()) >= incident.MaxLines-1 {
			return rpcerr.Failed(codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded, "a timeline has at most %d lines", incident.MaxLines)
		}
		line(tx, in, breakwaterv1.Incident_Entry_UPDATE, req.GetText())
		return nil
	})
}

// line adds a line where there is room.
func line(tx *change.Tx, in *breakwaterv1.Incident, kind breakwaterv1.Incident_Entry_Kind, text string) {
	if len(in.GetTimeline()) < incident.MaxLines {
		in.Timeline = append(in.GetTimeline(), &breakwaterv1.Incident_Entry{Time: timestamppb.New(tx.Now()), Kind: kind, Text: text})
	}
}

// edit changes one incident.
func (s *Incidents) edit(
	ctx context.Context, name string, fn func(*change.Tx, *storev1.IncidentRecord) error,
) (*breakwaterv1.Incident, error) {
	key, ok := incident.Key(name)
	if !ok {
		return nil, rpcerr.NotFound(name)
	}
	return do(ctx, s.control.Writer, s.control.Logger, name, func(tx *change.Tx) (*breakwaterv1.Incident, error) {
		rec := &storev1.IncidentRecord{}
		if err := tx.Get(key, rec); isNotFound(err) {
			return nil, rpcerr.NotFound(name)
		} else if err != nil {
			return nil, err
		}
		if err := fn(tx, rec); err != nil {
			return nil, err
		}
		rec.Incident.UpdateTime = timestamppb.New(tx.Now())
		if err := tx.Put(key, rec); err != nil {
			return nil, err
		}
		return public(rec), nil
	})
}

// check names what is wrong with what an operator says.
func (s *Incidents) check(in *breakwaterv1.Incident) []rpcerr.Violation {
	var out []rpcerr.Violation
	if in.GetTitle() == "" {
		out = append(out, rpcerr.Violation{Field: "incident.title", Rule: "required", Message: "says what happened, in one line"})
	}
	if in.GetState() == breakwaterv1.Incident_STATE_UNSPECIFIED {
		out = append(out, rpcerr.Violation{Field: "incident.state", Rule: "required", Message: "is OPEN or RESOLVED"})
	}
	for i, dc := range in.GetDataCenters() {
		if _, ok := locate(s.locations, dc); !ok {
			out = append(out, rpcerr.Violation{
				Field: "incident.dataCenters[" + itoa(i) + "]", Rule: "data_center", Message: dc + " is no data center of the fleet",
			})
		}
	}
	return out
}

// view is a linearizable view, or the newest at hand where there is none soon.
func (s *Incidents) view(ctx context.Context) (View, error) {
	bounded, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	v, err := s.control.Read(bounded)
	if err == nil {
		return v, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if v = s.cached(); v.Revision() == 0 {
		return nil, rpcerr.Unavailable(time.Second, "no incident is known yet, because the store does not answer").WithCause(err)
	}
	return v, nil
}

// public is an incident as it is shown.
func public(rec *storev1.IncidentRecord) *breakwaterv1.Incident {
	out := proto.CloneOf(rec.GetIncident())
	out.Etag = resource.Etag(&breakwaterv1.Incident{
		Name: out.GetName(), Title: out.GetTitle(), State: out.GetState(), DataCenters: out.GetDataCenters(),
	})
	return out
}

// backward is a key that orders names from last to first.
func backward(name string) string {
	b := []byte(name)
	for i := range b {
		b[i] = ^b[i]
	}
	// A shorter name with the same beginning comes first, so backward it comes last.
	return fmt.Sprintf("%x~", b)
}

func sortedUnique(texts []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}
