package compile

import (
	"strings"

	edgev1 "github.com/breakwater-cdn/breakwater/api/breakwater/edge/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// dnsDocument writes a zone as it is answered: records of one name and type have one TTL,
// and are proxied together.
func dnsDocument(in SiteInput) (*edgev1.DnsDocument, error) {
	domain := in.Record.GetSite().GetDomain()
	records := make([]zone.Record, 0, len(in.Zone))
	for _, r := range in.Zone {
		records = append(records, zone.Record{
			ID: r.GetId(), Name: r.GetName(), Type: zone.Type(r.GetType()), TTL: r.GetTtl(),
			Priority: r.GetPriority(), Content: r.GetContent(), Proxied: r.GetProxied(),
		})
	}
	doc := &edgev1.DnsDocument{Domain: domain, NameServers: in.Record.GetSite().GetNameServers()}
	for _, set := range zone.Load(domain, records).RRsets() {
		for _, r := range set.Records {
			rr, err := r.RR()
			if err != nil {
				return nil, invalid("dnsRecords."+r.ID, "record", "%s %s is not valid: %v", r.Name, r.Type, err)
			}
			doc.Records = append(doc.Records, &edgev1.DnsDocument_Record{
				Name: r.Name, Type: string(r.Type), Ttl: int32(set.TTL), Proxied: set.Proxied,
				Content: strings.TrimPrefix(rr.String(), rr.Header().String()),
			})
		}
	}
	return doc, nil
}
