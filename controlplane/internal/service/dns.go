package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/listing"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// DNSScanner finds what a domain has in the DNS today. An [onboard.Checker] is one.
type DNSScanner interface {
	Scan(ctx context.Context, domain string) (onboard.Found, error)
}

// DNSConfig is what the service of DNS records needs.
type DNSConfig struct {
	SiteBase
	// Scanner may be nil: then ScanDnsRecords is not available.
	Scanner DNSScanner
	// ScanLimit bounds a scan; 20 s if zero.
	ScanLimit time.Duration
	// Scans bounds how often a site is scanned in an hour; without one, it is not bounded.
	Scans EventLimiter
}

// scansPerHour is how often a site is scanned: each asks somebody's name servers for more
// than a hundred names, and to have added a domain needs no proof that it is one's own.
const scansPerHour = 10

// DNS implements DnsService. A zone is one value: whatever a call changes of it is stored
// whole or not at all, together with the site's new version.
type DNS struct {
	breakwaterv1.UnimplementedDnsServiceServer
	cfg DNSConfig
}

// NewDNS makes the service of DNS records.
func NewDNS(cfg DNSConfig) *DNS {
	if cfg.ScanLimit <= 0 {
		cfg.ScanLimit = 20 * time.Second
	}
	return &DNS{cfg: cfg}
}

var _ breakwaterv1.DnsServiceServer = (*DNS)(nil)

// read reads a site and its zone as every acknowledged write left them.
func (s *DNS) read(ctx context.Context, parent string) (resource.Name, *storev1.SiteRecord, *sitestate.Zone, error) {
	name, err := siteName(parent)
	if err != nil {
		return name, nil, nil, err
	}
	view, err := s.cfg.Source.Read(ctx)
	if err != nil {
		return name, nil, nil, err
	}
	rec, _, err := siteFrom(view, name)
	if err != nil {
		return name, nil, nil, err
	}
	z, err := sitestate.LoadZone(sitestate.FromView(view), name.Tenant(), name.Site)
	return name, rec, z, err
}

// ListDnsRecords implements DnsService.
func (s *DNS) ListDnsRecords(ctx context.Context, req *breakwaterv1.ListDnsRecordsRequest) (*breakwaterv1.ListDnsRecordsResponse, error) {
	q, err := listing.Parse(req, &breakwaterv1.DnsRecord{}, listing.Options{MaxScan: 50_000})
	if err != nil {
		return nil, err
	}
	_, rec, z, err := s.read(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(z.Records))
	byKey := make(map[string]*breakwaterv1.DnsRecord, len(z.Records))
	for i, r := range z.Records {
		// The ID makes the key unique, and the page token good for as long as it is.
		keys[i] = r.GetName() + "\x00" + r.GetType() + "\x00" + r.GetId()
		byKey[keys[i]] = r
	}
	slices.Sort(keys)
	list, next, err := listing.Page(q, func(after string, yield func(string, *breakwaterv1.DnsRecord) bool) error {
		first, found := slices.BinarySearch(keys, after)
		if found {
			first++
		}
		for _, key := range keys[first:] {
			if !yield(key, dnsShown(byKey[key], rec.GetSite().GetVersion())) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ListDnsRecordsResponse{DnsRecords: list, NextPageToken: next, Etag: dnsZoneEtag(rec, z)}, nil
}

// GetDnsRecord implements DnsService.
func (s *DNS) GetDnsRecord(ctx context.Context, req *breakwaterv1.GetDnsRecordRequest) (*breakwaterv1.DnsRecord, error) {
	name, rec, z, err := s.read(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	for _, r := range z.Records {
		if r.GetId() == req.GetRecordId() {
			return dnsShown(r, rec.GetSite().GetVersion()), nil
		}
	}
	return nil, rpcerr.NotFound(dnsName(name, req.GetRecordId()))
}

func dnsName(site resource.Name, id string) string { return site.SiteName() + "/dnsRecords/" + id }

// ExportDnsRecords implements DnsService.
func (s *DNS) ExportDnsRecords(ctx context.Context, req *breakwaterv1.ExportDnsRecordsRequest) (*breakwaterv1.ExportDnsRecordsResponse, error) {
	name, rec, z, err := s.read(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	return &breakwaterv1.ExportDnsRecordsResponse{ZoneFile: zone.Export(dnsZone(name.Site, z)), Etag: dnsZoneEtag(rec, z)}, nil
}

// ScanDnsRecords implements DnsService. What the zone has already is not proposed.
func (s *DNS) ScanDnsRecords(ctx context.Context, req *breakwaterv1.ScanDnsRecordsRequest) (*breakwaterv1.ScanDnsRecordsResponse, error) {
	name, _, z, err := s.read(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	if s.cfg.Scanner == nil {
		return nil, rpcerr.Unavailable(time.Minute, "this server has no resolver to ask")
	}
	if err := s.takeScan(ctx, name); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, s.cfg.ScanLimit)
	defer cancel()
	found, err := s.cfg.Scanner.Scan(limited, name.Site)
	var failed *onboard.ScanError
	switch {
	case errors.As(err, &failed):
		return nil, rpcerr.Precondition(rpcerr.ReasonInvalidState, name.SiteName(),
			"the DNS gave no usable answer for %s: %s", name.Site, failed.Result.Reason).WithMetadata("result", string(failed.Result.Kind))
	case err != nil:
		return nil, err
	}
	known := map[string]bool{}
	for _, r := range z.Records {
		known[dnsIdentity(dnsPlain(r))] = true
	}
	out := &breakwaterv1.ScanDnsRecordsResponse{}
	for _, r := range found.Records {
		if !known[dnsIdentity(r)] {
			out.Proposals = append(out.Proposals, dnsFrom(r))
		}
	}
	return out, nil
}

// takeScan counts a scan of a site, or says when the next one is possible.
func (s *DNS) takeScan(ctx context.Context, site resource.Name) error {
	if s.cfg.Scans == nil || call.From(ctx).Principal.Unlimited() {
		return nil
	}
	d := s.cfg.Scans.Take(site.SiteName(), scansPerHour)
	if d.Allowed {
		return nil
	}
	return rpcerr.RateLimited("scans", d.RetryAfter, "a site is scanned at most %d times an hour: try again in %s",
		scansPerHour, d.RetryAfter.Round(time.Second))
}

func dnsIdentity(r zone.Record) string {
	return fmt.Sprint(r.Name, "\x00", r.Type, "\x00", r.Priority, "\x00", r.Content)
}
