package service

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/masks"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// dnsEdit is one change of one zone.
type dnsEdit struct {
	*siteEdit
	zone *sitestate.Zone
	// byID are the stored records, and those that the change makes of them.
	byID map[string]*breakwaterv1.DnsRecord
}

// dnsUnlimited leaves the count of records to the plan.
var dnsUnlimited = zone.Limits{MaxRecords: math.MaxInt32}

func (s *DNS) open(tx *change.Tx, parent string) (*dnsEdit, error) {
	name, err := siteName(parent)
	if err != nil {
		return nil, err
	}
	e, err := s.cfg.siteOpenWritable(tx, name)
	if err != nil {
		return nil, err
	}
	z, err := sitestate.LoadZone(tx.Get, name.Tenant(), name.Site)
	if err != nil {
		return nil, err
	}
	d := &dnsEdit{siteEdit: e, zone: z, byID: make(map[string]*breakwaterv1.DnsRecord, len(z.Records))}
	for _, r := range z.Records {
		d.byID[r.GetId()] = r
	}
	return d, nil
}

// dnsChange runs one change of one zone.
func dnsChange[R proto.Message](ctx context.Context, s *DNS, parent string, fn func(e *dnsEdit) (R, error)) (R, error) {
	name, err := siteName(parent)
	if err != nil {
		var none R
		return none, err
	}
	return change.Do(ctx, s.cfg.Writer, name.Tenant(), func(tx *change.Tx) (R, error) {
		e, err := s.open(tx, parent)
		if err != nil {
			var none R
			return none, err
		}
		return fn(e)
	})
}

// meets fails unless the zone still has the etag that If-Match names. A change that makes
// records, or changes several, has no one record whose etag that could be.
func (e *dnsEdit) meets() error {
	return siteMeets(e.tx, "", e.etag(), e.name.SiteName()+"/dnsRecords")
}

// etag is the zone's.
func (e *dnsEdit) etag() string { return dnsZoneEtag(e.rec, e.zone) }

// newID makes the ID of a record.
func (e *dnsEdit) newID() string { return e.base.NewID(e.tx.Now()) }

// updated is a stored record as an update under a mask makes it.
func (e *dnsEdit) updated(id, etag string, in *breakwaterv1.DnsRecord, mask *fieldmaskpb.FieldMask) (*breakwaterv1.DnsRecord, error) {
	stored, ok := e.byID[id]
	if !ok {
		return nil, rpcerr.NotFound(dnsName(e.name, id))
	}
	if !siteTagMeets(etag, dnsEtag(stored)) {
		return nil, rpcerr.EtagMismatch(dnsName(e.name, id))
	}
	r, _ := proto.Clone(stored).(*breakwaterv1.DnsRecord)
	if _, err := masks.Apply(r, in, mask, masks.Options{}); err != nil {
		return nil, err
	}
	return r, nil
}

// take notes the records that a batch made, with what the rules of zones do not know, and
// says how many records it created or changed. asked is what was asked for, in order.
func (e *dnsEdit) take(made []zone.Record, asked []*breakwaterv1.DnsRecord) (out []*breakwaterv1.DnsRecord, changed int) {
	now := timestampOf(e.tx.Now())
	for i, m := range made {
		r := dnsFrom(m)
		r.CreateTime, r.UpdateTime = now, now
		if i < len(asked) {
			r.Labels = asked[i].GetLabels()
		}
		if old, ok := e.byID[m.ID]; ok {
			r.CreateTime = old.GetCreateTime()
			if dnsEtag(old) == dnsEtag(r) {
				r.UpdateTime = old.GetUpdateTime()
				changed--
			}
		}
		changed++
		e.byID[m.ID] = r
		out = append(out, r)
	}
	return out, changed
}

// commit stores the zone and the site's new version.
func (e *dnsEdit) commit(after zone.Zone, summary, resourceName string) error {
	if after.Len() > len(e.zone.Records) {
		if err := e.quota("dnsRecords", after.Len(), (*breakwaterv1.Entitlements).GetDnsRecords); err != nil {
			return err
		}
	}
	records := make([]*breakwaterv1.DnsRecord, 0, after.Len())
	for _, r := range after.Records() {
		records = append(records, e.byID[r.ID])
	}
	if err := e.fits(records); err != nil {
		return err
	}
	if err := e.zone.Store(e.tx, e.name.Tenant(), e.name.Site, records); err != nil {
		return err
	}
	e.rec.ZoneGeneration = e.zone.Generation
	return e.commitVersion(siteAudit{resource: resourceName, summary: summary, fields: []string{"dnsRecords"}})
}

// version is the site's newest version.
func (e *dnsEdit) version() int64 { return e.rec.GetSite().GetVersion() }

// CreateDnsRecord implements DnsService.
func (s *DNS) CreateDnsRecord(ctx context.Context, req *breakwaterv1.CreateDnsRecordRequest) (*breakwaterv1.DnsRecord, error) {
	return dnsChange(ctx, s, req.GetParent(), func(e *dnsEdit) (*breakwaterv1.DnsRecord, error) {
		if err := e.meets(); err != nil {
			return nil, err
		}
		batch := zone.Batch{Creates: []zone.Record{dnsPlain(req.GetDnsRecord())}}
		after, applied, err := dnsZone(e.name.Site, e.zone).Apply(batch, dnsUnlimited, e.newID)
		if err != nil {
			return nil, dnsError(err, true)
		}
		made, _ := e.take(applied.Created, []*breakwaterv1.DnsRecord{req.GetDnsRecord()})
		if err := e.commit(after, dnsSummary("created", made[0]), dnsName(e.name, made[0].GetId())); err != nil {
			return nil, err
		}
		return dnsShown(made[0], e.version()), nil
	})
}

func dnsSummary(what string, r *breakwaterv1.DnsRecord) string {
	return fmt.Sprintf("DNS record %s: %s %s", what, r.GetName(), r.GetType())
}

// UpdateDnsRecord implements DnsService.
func (s *DNS) UpdateDnsRecord(ctx context.Context, req *breakwaterv1.UpdateDnsRecordRequest) (*breakwaterv1.DnsRecord, error) {
	in := req.GetDnsRecord()
	return dnsChange(ctx, s, req.GetParent(), func(e *dnsEdit) (*breakwaterv1.DnsRecord, error) {
		if stored, ok := e.byID[req.GetRecordId()]; ok {
			if err := siteMeets(e.tx, in.GetEtag(), dnsEtag(stored), dnsName(e.name, req.GetRecordId())); err != nil {
				return nil, err
			}
		}
		wanted, err := e.updated(req.GetRecordId(), "", in, req.GetUpdateMask())
		if err != nil {
			return nil, err
		}
		batch := zone.Batch{Updates: []zone.Record{dnsPlain(wanted)}}
		after, applied, err := dnsZone(e.name.Site, e.zone).Apply(batch, dnsUnlimited, e.newID)
		if err != nil {
			return nil, dnsError(err, true)
		}
		made, changed := e.take(applied.Updated, []*breakwaterv1.DnsRecord{wanted})
		if changed > 0 {
			if err := e.commit(after, dnsSummary("changed", made[0]), dnsName(e.name, made[0].GetId())); err != nil {
				return nil, err
			}
		}
		return dnsShown(made[0], e.version()), nil
	})
}

// DeleteDnsRecord implements DnsService.
func (s *DNS) DeleteDnsRecord(ctx context.Context, req *breakwaterv1.DeleteDnsRecordRequest) (*breakwaterv1.DeleteDnsRecordResponse, error) {
	return dnsChange(ctx, s, req.GetParent(), func(e *dnsEdit) (*breakwaterv1.DeleteDnsRecordResponse, error) {
		full := dnsName(e.name, req.GetRecordId())
		stored, ok := e.byID[req.GetRecordId()]
		if !ok {
			return nil, rpcerr.NotFound(full)
		}
		if err := siteMeets(e.tx, req.GetEtag(), dnsEtag(stored), full); err != nil {
			return nil, err
		}
		batch := zone.Batch{Deletes: []string{req.GetRecordId()}}
		after, _, err := dnsZone(e.name.Site, e.zone).Apply(batch, dnsUnlimited, e.newID)
		if err != nil {
			return nil, dnsError(err, true)
		}
		if err := e.commit(after, dnsSummary("deleted", stored), full); err != nil {
			return nil, err
		}
		return &breakwaterv1.DeleteDnsRecordResponse{Version: e.version()}, nil
	})
}
