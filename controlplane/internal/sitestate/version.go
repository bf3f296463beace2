package sitestate

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
)

// Bounds of what a record keeps.
const (
	// MaxRecent is how many older versions' revisions a record holds.
	MaxRecent = 32
	// maxDrop is how many versions one change drops at most, after a plan sank.
	maxDrop = 100
	// maxChangedFields is how many fields a version names.
	maxChangedFields = 100
)

// Change is what a version remembers of how it came to be.
type Change struct {
	// Now is the time of the change.
	Now time.Time
	// PrevModRevision is the revision of the value that is changed; zero for a new site.
	PrevModRevision int64
	// Cause is what made the version, such as `UpdateSettings`.
	Cause string
	// Principal is who made it, as the audit log names them.
	Principal string
	// ChangedFields are the fields that changed, at most 100 of which are kept.
	ChangedFields []string
}

// NewVersion makes the record's next version, after the caller changed what shall change,
// and returns what is kept of it in the history.
func NewVersion(rec *storev1.SiteRecord, c Change) *breakwaterv1.Version {
	site := rec.GetSite()
	if old := site.GetVersion(); old > 0 {
		recent := []*storev1.VersionRevision{{Version: old, Revision: RevisionOfVersion(rec, c.PrevModRevision)}}
		recent = append(recent, rec.GetRecentVersions()...)
		rec.RecentVersions = recent[:min(len(recent), MaxRecent)]
	} else {
		rec.OldestVersion = 1
	}
	rec.VersionRevision = 0
	site.Version++
	site.UpdateTime = timestamppb.New(c.Now)
	config := rec.GetConfig()
	config.Name, config.Version = site.GetName(), site.GetVersion()
	kept, _ := proto.Clone(config).(*breakwaterv1.SiteConfig)
	return &breakwaterv1.Version{
		Name:          resource.VersionName(Account(rec), site.GetDomain(), site.GetVersion()),
		Number:        site.GetVersion(),
		CreateTime:    timestamppb.New(c.Now),
		Principal:     c.Principal,
		Cause:         c.Cause,
		ChangedFields: c.ChangedFields[:min(len(c.ChangedFields), maxChangedFields)],
		Config:        kept,
	}
}

// Touch prepares the record for a change that does not affect the edge: it notes the
// revision that stored the newest version before the value gets another one.
func Touch(rec *storev1.SiteRecord, prevModRevision int64) {
	rec.VersionRevision = RevisionOfVersion(rec, prevModRevision)
}

// RevisionOfVersion is the registry revision that stored the newest version of a record
// that was read at modRevision.
func RevisionOfVersion(rec *storev1.SiteRecord, modRevision int64) int64 {
	if rec.GetVersionRevision() != 0 {
		return rec.GetVersionRevision()
	}
	return modRevision
}

// Retain moves the oldest kept version up, so that at most keep are kept, and returns the
// numbers to drop, at most 100.
func Retain(rec *storev1.SiteRecord, keep int) (drop []int64) {
	keep = max(keep, 1)
	for rec.GetSite().GetVersion()-rec.GetOldestVersion() >= int64(keep) && len(drop) < maxDrop {
		drop = append(drop, rec.GetOldestVersion())
		rec.OldestVersion++
	}
	return drop
}
