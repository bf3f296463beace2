package sitestate

import (
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Tx is what a change is written to. A change.Tx is one.
type Tx interface {
	Puts
	// Audit adds an event to the change.
	Audit(event *breakwaterv1.AuditEvent)
	// Now is the time of the change.
	Now() time.Time
}

// CommitVersion stores the record as a new version: the value, the version in the history,
// of which at most keep are kept, and the audit event, whose resource is the site where it
// names none.
func CommitVersion(tx Tx, rec *storev1.SiteRecord, c Change, keep int, event *breakwaterv1.AuditEvent) error {
	c.Now = tx.Now()
	version := NewVersion(rec, c)
	tenant, domain := Tenant(rec), rec.GetSite().GetDomain()
	if err := tx.Put(tenant.Version(domain, version.GetNumber()), version); err != nil {
		return err
	}
	for _, n := range Retain(rec, keep) {
		tx.Delete(tenant.Version(domain, n))
	}
	event.Version, event.ChangedFields = version.GetNumber(), c.ChangedFields
	return store(tx, rec, event)
}

// CommitTouch stores the record without a new version: the edge does not care. A nil event
// is not audited.
func CommitTouch(tx Tx, rec *storev1.SiteRecord, prevModRevision int64, event *breakwaterv1.AuditEvent) error {
	Touch(rec, prevModRevision)
	return store(tx, rec, event)
}

func store(tx Tx, rec *storev1.SiteRecord, event *breakwaterv1.AuditEvent) error {
	if event != nil {
		if event.GetResource() == "" {
			event.Resource = rec.GetSite().GetName()
		}
		tx.Audit(event)
	}
	return tx.Put(Tenant(rec).Site(rec.GetSite().GetDomain()), rec)
}
