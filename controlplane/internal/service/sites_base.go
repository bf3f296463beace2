package service

import (
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/change"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// SitePlans answers what plans allow. Package billing implements it.
type SitePlans interface {
	// All returns the plans, cheapest first.
	All() []*breakwaterv1.Plan
	// Get returns a plan by its ID.
	Get(id string) (*breakwaterv1.Plan, bool)
	// Cheapest is the ID of the plan that every site begins with.
	Cheapest() string
	// Entitlements returns what a plan allows for one site.
	Entitlements(id string) *breakwaterv1.Entitlements
	// Allows says whether plan id has all of what minimum has.
	Allows(id, minimum string) bool
	// LowestWith returns the cheapest plan whose entitlements satisfy enough.
	LowestWith(enough func(*breakwaterv1.Entitlements) bool) (id string, ok bool)
}

// SiteServing answers how far the edge is. Package propagation implements it.
type SiteServing interface {
	// ServingVersion is the newest version of a record, read at modRevision, that every
	// data center serves; zero before the first.
	ServingVersion(rec *storev1.SiteRecord, modRevision int64) int64
}

// SiteBase is what all services below a site need.
type SiteBase struct {
	Writer *change.Writer
	Source change.Source
	Plans  SitePlans
	// Serving may be nil: then no version is known to be served.
	Serving SiteServing
	// Recent remembers decoded sites; it may be nil.
	Recent *watchcache.Decoded[*storev1.SiteRecord]
	// NewID makes an ID that orders by time and is never used again.
	NewID func(now time.Time) string
}

// siteName parses the name of a site, or of what is below one.
func siteName(name string) (resource.Name, error) {
	n, err := resource.ParseName(name)
	if err != nil {
		return resource.Name{}, err
	}
	if n.Site == "" {
		return resource.Name{}, rpcerr.InvalidField("name", "resource_name", "%q does not name a site", name)
	}
	return n, nil
}

// siteRead reads a site as every acknowledged write left it. The record is shared: nobody
// may change it.
func (b *SiteBase) siteRead(ctx context.Context, name resource.Name) (*storev1.SiteRecord, int64, error) {
	view, err := b.Source.Read(ctx)
	if err != nil {
		return nil, 0, err
	}
	if b.Recent == nil {
		return siteFrom(view, name)
	}
	kv, ok := view.Get(name.Tenant().Site(name.Site))
	if !ok {
		return nil, 0, rpcerr.NotFound(name.SiteName())
	}
	rec, err := b.Recent.Of(kv)
	return rec, kv.ModRevision, err
}

func siteFrom(view change.View, name resource.Name) (*storev1.SiteRecord, int64, error) {
	kv, ok := view.Get(name.Tenant().Site(name.Site))
	if !ok {
		return nil, 0, rpcerr.NotFound(name.SiteName())
	}
	rec := &storev1.SiteRecord{}
	if err := proto.Unmarshal(kv.Value, rec); err != nil {
		return nil, 0, err
	}
	return rec, kv.ModRevision, nil
}

// siteNotYet is the revision of a value that is not stored yet: later than any other.
const siteNotYet = math.MaxInt64

// siteShown is the site as an answer has it.
func (b *SiteBase) siteShown(rec *storev1.SiteRecord, modRevision int64) *breakwaterv1.Site {
	serving := int64(0)
	if b.Serving != nil {
		serving = b.Serving.ServingVersion(rec, modRevision)
	}
	return sitestate.Site(rec, serving)
}

// siteEdit is one change of one site within one transaction.
type siteEdit struct {
	base *SiteBase
	tx   *change.Tx
	name resource.Name
	rec  *storev1.SiteRecord
	// revision is the one that the record was read at.
	revision int64
	// before is the configuration as it was.
	before *breakwaterv1.SiteConfig
	// unparked says that less is kept aside for a better plan than was.
	unparked bool
}

// siteOpen reads a site in order to change it.
func (b *SiteBase) siteOpen(tx *change.Tx, name resource.Name) (*siteEdit, error) {
	e := &siteEdit{base: b, tx: tx, name: name, rec: &storev1.SiteRecord{}}
	key := name.Tenant().Site(name.Site)
	if err := tx.Get(key, e.rec); err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return nil, rpcerr.NotFound(name.SiteName())
		}
		return nil, err
	}
	e.revision = tx.RevisionOf(key)
	if e.rec.GetConfig() == nil {
		e.rec.Config = &breakwaterv1.SiteConfig{}
	}
	sitestate.CompleteConfig(e.rec.GetConfig())
	e.before, _ = proto.Clone(e.rec.GetConfig()).(*breakwaterv1.SiteConfig)
	return e, nil
}

// siteOpenWritable is siteOpen for a change of what is configured, which a deleted site
// does not allow.
func (b *SiteBase) siteOpenWritable(tx *change.Tx, name resource.Name) (*siteEdit, error) {
	e, err := b.siteOpen(tx, name)
	if err != nil {
		return nil, err
	}
	if e.rec.GetSite().GetState() == breakwaterv1.Site_DELETED {
		return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.SiteName(),
			"%s is deleted; bring it back with :undelete first", name.SiteName())
	}
	return e, nil
}

// plan is the ID of the site's plan.
func (e *siteEdit) plan() string { return e.rec.GetSite().GetPlan() }

// free says that nobody pays for the site.
func (e *siteEdit) free() bool { return e.plan() == "" || e.plan() == e.base.Plans.Cheapest() }

// entitlements are what the site's plan allows.
func (e *siteEdit) entitlements() *breakwaterv1.Entitlements {
	return e.base.Plans.Entitlements(e.plan())
}

// siteMeets fails unless the resource still has the etags that the request and If-Match
// name, where they do.
func siteMeets(tx *change.Tx, requested, current, name string) error {
	if siteTagMeets(tx.Call().Etag(requested), current) {
		return nil
	}
	return rpcerr.EtagMismatch(name)
}

// siteTagMeets says whether the entity tag that was sent, if any, is the current one.
func siteTagMeets(sent, current string) bool {
	want := call.EntityTag(sent)
	return want == "" || want == current
}

// sitePrincipal is how the audit log names the caller.
func sitePrincipal(tx *change.Tx) string {
	if p := tx.Call().Principal; p.Kind != authn.Anonymous {
		return p.ID
	}
	return "system"
}

// siteAudit is what the audit log says of a change.
type siteAudit struct {
	// resource is the name of what changed; the site where empty.
	resource string
	summary  string
	fields   []string
}

// commitVersion stores the record as a new version, with its history and audit event.
func (e *siteEdit) commitVersion(a siteAudit) error {
	c := sitestate.Change{
		PrevModRevision: e.revision, Cause: e.tx.Call().Method(), Principal: sitePrincipal(e.tx), ChangedFields: a.fields,
	}
	keep := int(e.entitlements().GetVersionsKept())
	return sitestate.CommitVersion(e.tx, e.rec, c, keep, &breakwaterv1.AuditEvent{Resource: a.resource, Summary: a.summary})
}

// commitTouch stores the record without a new version: the edge does not care.
func (e *siteEdit) commitTouch(a siteAudit) error {
	return sitestate.CommitTouch(e.tx, e.rec, e.revision, &breakwaterv1.AuditEvent{
		Resource: a.resource, Summary: a.summary, ChangedFields: a.fields,
	})
}

// shown is the site as the change leaves it.
func (e *siteEdit) shown() *breakwaterv1.Site { return e.base.siteShown(e.rec, siteNotYet) }
