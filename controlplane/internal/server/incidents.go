package server

import (
	"context"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/incident"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/propagation"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/service/ops"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/statusfile"
)

// openIncidents makes what tells the public what went wrong.
func (s *services) openIncidents(r *rooms, control *ops.Control, locations []ops.Location) {
	s.incidents = ops.NewIncidents(control, func() ops.View { return r.control.Cached() }, locations)
	s.tracker = incident.New(incident.Config{
		Control: r.edge, View: func() incident.View { return r.control.Cached() },
		Documents: incident.Documents(propagation.Manifests(r.edge, s.trust)), Owners: r.ownersOf,
		Day: r.day, Machine: r.machine, Logger: r.log,
	})
}

// ownersOf is the account whose site a domain is, by the newest state at hand.
func (r *rooms) ownersOf(name string) []string {
	kv, ok := r.state.Cached().Get(resource.DomainIndex(name))
	var rec storev1.DomainRecord
	if !ok || proto.Unmarshal(kv.Value, &rec) != nil || rec.GetActiveAccount() == "" {
		return nil
	}
	return []string{rec.GetActiveAccount()}
}

// statusFile keeps the public status as a file.
func (r *rooms) statusFile(s *services) *statusfile.Writer {
	return statusfile.New(statusfile.Config{
		Path: r.cfg.fileOr(r.cfg.StatusFile, "status.json"), Signer: r.keys.signer, Clock: r.machine, Logger: r.log,
		Status: func(ctx context.Context) (*breakwaterv1.NetworkStatus, error) {
			return s.status.GetStatus(ctx, &breakwaterv1.GetStatusRequest{})
		},
	})
}
