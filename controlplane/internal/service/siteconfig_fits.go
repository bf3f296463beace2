package service

import (
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/compile"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// fits refuses a site that would not compile, such as one with a document over the limits:
// stored, it would stay at its old version at the edge for ever. A site that is not served
// yet is judged as if it were.
func (e *siteEdit) fits(zone []*breakwaterv1.DnsRecord) error {
	limits, err := siteLimits(e.tx)
	if err != nil {
		return err
	}
	rec := &storev1.SiteRecord{Site: proto.CloneOf(e.rec.GetSite()), Config: e.rec.GetConfig(), Purges: e.rec.GetPurges()}
	rec.Site.State = breakwaterv1.Site_ACTIVE
	if _, err := compile.Site(compile.SiteInput{Record: rec, Zone: zone, Limits: limits}); err != nil {
		v, _ := siteProblem("", err)
		return rpcerr.Invalid(v)
	}
	return nil
}
