package change

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Bounds of what one event tells: it is a line in a log, not a copy of the change.
const (
	maxSummary = 1000
	maxFields  = 100
)

// pendingAudits puts the change's events where the sealer finds them.
func (tx *Tx) pendingAudits(tenant resource.Tenant) error {
	info := tx.Call()
	for _, e := range tx.audits {
		fillEvent(e, info, tx.now)
		id := tx.writer.cfg.NewID(tx.now)
		e.Name = resource.AccountName(tenant.Account()) + "/auditEvents/" + id
		if err := tx.Put(tenant.AuditNew(id), e); err != nil {
			return err
		}
	}
	return nil
}

func fillEvent(e *breakwaterv1.AuditEvent, info call.Info, now time.Time) {
	e.CreateTime = timestamppb.New(now)
	if e.GetMethod() == "" {
		e.Method = info.Method()
	}
	e.Principal = "system"
	if info.Principal.Kind != authn.Anonymous {
		e.Principal = info.Principal.ID
		e.OnBehalfOf = info.Principal.OnBehalfOf
	}
	if info.Peer.IsValid() {
		e.SourceAddress = info.Peer.String()
	}
	e.HttpRequestId = info.RequestID
	if runes := []rune(e.GetSummary()); len(runes) > maxSummary {
		e.Summary = string(runes[:maxSummary-1]) + "…"
	}
	if n := len(e.GetChangedFields()); n > maxFields {
		e.ChangedFields = append(e.GetChangedFields()[:maxFields-1:maxFields-1], fmt.Sprintf("(%d more)", n-maxFields+1))
	}
}
