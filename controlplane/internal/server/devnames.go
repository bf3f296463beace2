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
func (d devNames) txt(name string) []string { return d.verifications("TXT", name) }

// cname is the target of a name.
func (d devNames) cname(name string) string {
	for _, v := range d.verifications("CNAME", name) {
		return v
	}
	return ""
}

// verifications are what sites ask for at a name, which is a label below their domain.
func (d devNames) verifications(kind, name string) []string {
	_, domain, ok := strings.Cut(name, ".")
	if !ok {
		return nil
	}
	var out []string
	for _, c := range d.claims(domain) {
		kv, ok := d.cache.Cached().Get(resource.ForAccount(c.GetAccount()).Site(domain))
		var rec storev1.SiteRecord
		if !ok || proto.Unmarshal(kv.Value, &rec) != nil {
			continue
		}
		if v := rec.GetSite().GetVerification(); matches(v, kind, name) {
			out = append(out, v.GetValue())
		}
	}
	return out
}

func matches(v *breakwaterv1.Site_Verification, kind, name string) bool {
	return v.GetType() == kind && strings.EqualFold(strings.TrimSuffix(v.GetName(), "."), name)
}

func (d devNames) claims(domain string) []*storev1.DomainRecord_Claim {
	kv, ok := d.cache.Cached().Get(resource.DomainIndex(domain))
	var rec storev1.DomainRecord
	if !ok || proto.Unmarshal(kv.Value, &rec) != nil {
		return nil
	}
	return rec.GetClaims()
}
