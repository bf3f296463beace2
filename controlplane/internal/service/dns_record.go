package service

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

// dnsPlain is a record as the rules of zones know it.
func dnsPlain(r *breakwaterv1.DnsRecord) zone.Record {
	return zone.Record{
		ID: r.GetId(), Name: r.GetName(), Type: zone.Type(r.GetType()), TTL: r.GetTtl(), Priority: r.GetPriority(),
		Content: r.GetContent(), Proxied: r.GetProxied(), Comment: r.GetComment(),
	}
}

// dnsFrom is a record of a zone as the API knows it.
func dnsFrom(r zone.Record) *breakwaterv1.DnsRecord {
	return &breakwaterv1.DnsRecord{
		Id: r.ID, Name: r.Name, Type: string(r.Type), Ttl: r.TTL, Priority: r.Priority,
		Content: r.Content, Proxied: r.Proxied, Comment: r.Comment,
	}
}

// dnsZone is a stored zone as the rules of zones know it.
func dnsZone(domain string, z *sitestate.Zone) zone.Zone {
	records := make([]zone.Record, len(z.Records))
	for i, r := range z.Records {
		records[i] = dnsPlain(r)
	}
	return zone.Load(domain, records)
}

// dnsShown is a stored record as an answer has it.
func dnsShown(stored *breakwaterv1.DnsRecord, version int64) *breakwaterv1.DnsRecord {
	r, _ := proto.Clone(stored).(*breakwaterv1.DnsRecord)
	r.Etag, r.Version = dnsEtag(stored), version
	return r
}

// dnsEtag covers what a client may set of one record.
func dnsEtag(r *breakwaterv1.DnsRecord) string {
	covered := dnsFrom(dnsPlain(r))
	covered.Labels = r.GetLabels()
	return resource.Etag(covered)
}

// dnsZoneEtag covers a whole zone. A site that is added again counts its zone's generations
// anew, but has another uid.
func dnsZoneEtag(rec *storev1.SiteRecord, z *sitestate.Zone) string {
	return resource.Etag(&storev1.ZoneRecord{Generation: z.Generation}, &breakwaterv1.Site{Uid: rec.GetSite().GetUid()})
}

// dnsError turns the refusal of a batch into the API's error. Fields are as in a batch; with
// alone they are those of the one record that was asked for.
func dnsError(err error, alone bool) error {
	var (
		invalid *zone.InvalidError
		file    *zone.FileError
	)
	switch {
	case errors.As(err, &file):
		return dnsFileError(file)
	case !errors.As(err, &invalid):
		return err
	}
	violations := make([]rpcerr.Violation, len(invalid.Violations))
	for i, v := range invalid.Violations {
		violations[i] = rpcerr.Violation{Field: dnsField(v.Field, alone), Rule: string(v.Rule), Message: v.Message}
	}
	out := rpcerr.Invalid(violations...)
	if alone && len(violations) == 1 && violations[0].Rule == string(zone.RuleDuplicate) {
		out.Code, out.Reason = codes.AlreadyExists, rpcerr.ReasonAlreadyExists
	}
	if invalid.More > 0 {
		out = out.WithMetadata("moreViolations", fmt.Sprint(invalid.More))
	}
	return out
}

// dnsField is the path of a field in the request. What is wrong with a record as a whole is
// said of its name: there two records meet.
func dnsField(path string, alone bool) string {
	head, rest, _ := strings.Cut(path, ".")
	switch {
	case alone && rest != "":
		return rest
	case alone:
		return "name"
	case strings.HasPrefix(head, "updates[") && rest != "":
		return head + ".dnsRecord." + rest
	}
	return path
}

func dnsFileError(e *zone.FileError) error {
	violations := make([]rpcerr.Violation, len(e.Lines))
	for i, l := range e.Lines {
		message := fmt.Sprintf("line %d: %s", l.Line, l.Message)
		if l.Line == 0 {
			message = l.Message
		}
		if l.Text != "" {
			message += fmt.Sprintf(" (%q)", l.Text)
		}
		violations[i] = rpcerr.Violation{Field: "zoneFile", Rule: string(l.Rule), Message: message}
	}
	out := rpcerr.Invalid(violations...)
	if e.More > 0 {
		out = out.WithMetadata("moreViolations", fmt.Sprint(e.More))
	}
	return out
}
