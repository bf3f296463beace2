package server

import (
	"strings"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/watchcache"
)

// devNames answers the development server's DNS as if every owner had done what their site
// asks for. Of several accounts that claim a domain, the one that came last has done it.
type devNames struct{ cache *watchcache.Cache }

// nameServers is the delegation of a domain.
func (d devNames) nameServers(domain string) []string {
	claims := d.claims(domain)
	if len(claims) == 0 {
		return nil
	}
	return claims[len(claims)-1].GetNameServers()
}

// txt are the texts of a name.
func (d devNames) txt(name string) []string {
	var out []string
	for _, v := range d.verifications(name) {
		if v.GetType() == "TXT" {
			out = append(out, v.GetValue())
		}
	}
	return out
}

// cname is the target of a name. A name that has one has no other records.
func (d devNames) cname(name string) string {
	all := d.verifications(name)
	if len(all) == 0 || all[len(all)-1].GetType() != "CNAME" {
		return ""
	}
	return all[len(all)-1].GetValue()
}

// verifications are the records that sites ask for at a name, which is a label below their
// domain, in the order in which they were added.
func (d devNames) verifications(name string) []*breakwaterv1.Site_Verification {
	_, domain, ok := strings.Cut(name, ".")
	if !ok {
		return nil
	}
	var out []*breakwaterv1.Site_Verification
	for _, c := range d.claims(domain) {
		kv, ok := d.cache.Cached().Get(resource.ForAccount(c.GetAccount()).Site(domain))
		var rec storev1.SiteRecord
		if !ok || proto.Unmarshal(kv.Value, &rec) != nil {
			continue
		}
		if v := rec.GetSite().GetVerification(); v.GetName() == name {
			out = append(out, v)
		}
	}
	return out
}

func (d devNames) claims(domain string) []*storev1.DomainRecord_Claim {
	kv, ok := d.cache.Cached().Get(resource.DomainIndex(domain))
	var rec storev1.DomainRecord
	if !ok || proto.Unmarshal(kv.Value, &rec) != nil {
		return nil
	}
	return rec.GetClaims()
}
