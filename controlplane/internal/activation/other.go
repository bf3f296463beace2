package activation

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// otherTx writes the events of another account to that account's chain: a change has one
// account of its own, and nobody reads of a neighbour in their audit log.
type otherTx struct {
	*change.Tx
	w      *Worker
	tenant resource.Tenant
}

var _ sitestate.Tx = otherTx{}

// Audit implements [sitestate.Tx].
func (t otherTx) Audit(event *breakwaterv1.AuditEvent) {
	id := t.w.cfg.NewID(t.Now())
	event.Name = resource.AccountName(t.tenant.Account()) + "/auditEvents/" + id
	event.CreateTime = timestamppb.New(t.Now())
	event.Principal = systemPrincipal
	if err := t.Put(t.tenant.AuditNew(id), event); err != nil {
		// Only text that is not UTF-8 can't be put, and none of it is a client's.
		t.w.cfg.Logger.Error("activation: audit event", "error", err)
	}
}
