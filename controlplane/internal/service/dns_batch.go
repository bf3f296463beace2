package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// BatchDnsRecords implements DnsService.
func (s *DNS) BatchDnsRecords(ctx context.Context, req *breakwaterv1.BatchDnsRecordsRequest) (*breakwaterv1.BatchDnsRecordsResponse, error) {
	return dnsChange(ctx, s, req.GetParent(), func(e *dnsEdit) (*breakwaterv1.BatchDnsRecordsResponse, error) {
		if err := e.meets(); err != nil {
			return nil, err
		}
		wanted, err := e.wanted(req.GetUpdates())
		if err != nil {
			return nil, err
		}
		batch := zone.Batch{}
		for i, d := range req.GetDeletes() {
			stored, ok := e.byID[d.GetRecordId()]
			if ok && !siteTagMeets(d.GetEtag(), dnsEtag(stored)) {
				return nil, rpcerr.EtagMismatch(dnsName(e.name, d.GetRecordId())).WithMetadata("field", fmt.Sprintf("deletes[%d].etag", i))
			}
			batch.Deletes = append(batch.Deletes, d.GetRecordId())
		}
		for _, r := range wanted {
			batch.Updates = append(batch.Updates, dnsPlain(r))
		}
		for _, r := range req.GetCreates() {
			batch.Creates = append(batch.Creates, dnsPlain(r))
		}
		after, applied, err := dnsZone(e.name.Site, e.zone).Apply(batch, dnsUnlimited, e.newID)
		if err != nil {
			return nil, dnsError(err, false)
		}
		created, _ := e.take(applied.Created, req.GetCreates())
		updated, changed := e.take(applied.Updated, wanted)
		if len(created)+changed+len(applied.Deleted) > 0 {
			summary := fmt.Sprintf("DNS records: %d created, %d changed, %d deleted", len(created), changed, len(applied.Deleted))
			if err := e.commit(after, summary, ""); err != nil {
				return nil, err
			}
		}
		out := &breakwaterv1.BatchDnsRecordsResponse{Deleted: int32(len(applied.Deleted)), Version: e.version(), Etag: e.etag()}
		for _, r := range created {
			out.Created = append(out.Created, dnsShown(r, e.version()))
		}
		for _, r := range updated {
			out.Updated = append(out.Updated, dnsShown(r, e.version()))
		}
		return out, nil
	})
}

// wanted are the records that the updates of a batch make, or every update that can't be
// made.
func (e *dnsEdit) wanted(updates []*breakwaterv1.BatchDnsRecordsRequest_Update) ([]*breakwaterv1.DnsRecord, error) {
	var (
		wanted     []*breakwaterv1.DnsRecord
		violations []rpcerr.Violation
	)
	for i, u := range updates {
		field := fmt.Sprintf("updates[%d]", i)
		if _, ok := e.byID[u.GetRecordId()]; !ok {
			violations = append(violations, rpcerr.Violation{
				Field: field + ".recordId", Rule: string(zone.RuleNotFound), Message: fmt.Sprintf("there is no record %q in this zone", u.GetRecordId()),
			})
			continue
		}
		r, err := e.updated(u.GetRecordId(), u.GetDnsRecord().GetEtag(), u.GetDnsRecord(), u.GetUpdateMask())
		var refused *rpcerr.Error
		if errors.As(err, &refused) && len(refused.Violations) > 0 {
			for _, v := range refused.Violations {
				v.Field = field + "." + v.Field
				violations = append(violations, v)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, r)
	}
	if len(violations) > 0 {
		return nil, rpcerr.Invalid(violations...)
	}
	return wanted, nil
}

// ImportDnsRecords implements DnsService.
func (s *DNS) ImportDnsRecords(ctx context.Context, req *breakwaterv1.ImportDnsRecordsRequest) (*breakwaterv1.ImportDnsRecordsResponse, error) {
	return dnsChange(ctx, s, req.GetParent(), func(e *dnsEdit) (*breakwaterv1.ImportDnsRecordsResponse, error) {
		if err := e.meets(); err != nil {
			return nil, err
		}
		after, imported, err := dnsZone(e.name.Site, e.zone).
			Import(strings.NewReader(req.GetZoneFile()), zone.FileOptions{}, dnsUnlimited, e.newID)
		if err != nil {
			return nil, dnsError(err, false)
		}
		out := &breakwaterv1.ImportDnsRecordsResponse{
			Created: int32(len(imported.Created)), Unchanged: int32(imported.Unchanged),
			Ignored: dnsNotes(imported.Ignored), Warnings: dnsNotes(imported.Warnings),
		}
		e.take(imported.Created, nil)
		if len(imported.Created) > 0 {
			if err := e.commit(after, fmt.Sprintf("DNS records imported: %d", len(imported.Created)), ""); err != nil {
				return nil, err
			}
		}
		out.Version, out.Etag = e.version(), e.etag()
		return out, nil
	})
}

// dnsNotes are notes of an import as an answer has them.
func dnsNotes(notes zone.Notes) []string {
	var out []string
	for _, n := range notes.Listed {
		out = append(out, fmt.Sprintf("line %d: %s", n.Line, n.Message))
	}
	if notes.More > 0 {
		out = append(out, fmt.Sprintf("and up to %d lines more", notes.More))
	}
	return out
}
