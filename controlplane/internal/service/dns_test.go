package service

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/authn"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/onboard"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/ratelimit"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/registry"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/resource"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/zone"
)

type fakeScanner struct{ found onboard.Found }

func (s fakeScanner) Scan(context.Context, string) (onboard.Found, error) { return s.found, nil }

func newDNSWorld(t *testing.T) (w *siteWorld, d *DNS, site string) {
	t.Helper()
	w = newSiteWorld(t)
	d = NewDNS(DNSConfig{SiteBase: w.base, Scanner: fakeScanner{onboard.Found{Records: []zone.Record{
		{Name: "shop.example", Type: "A", TTL: 1, Content: "192.0.2.1"},
		{Name: "shop.example", Type: "MX", TTL: 1, Priority: 10, Content: "mail.example.net"},
	}}}})
	return w, d, w.create("acme", "shop.example").GetName()
}

func (w *siteWorld) addRecord(d *DNS, site, name, kind, content string) (*breakwaterv1.DnsRecord, error) {
	return d.CreateDnsRecord(w.as("CreateDnsRecord"), &breakwaterv1.CreateDnsRecordRequest{
		Parent: site, DnsRecord: &breakwaterv1.DnsRecord{Name: name, Type: kind, Content: content},
	})
}

func TestDNSRecords(t *testing.T) {
	w, d, site := newDNSWorld(t)
	www, err := d.CreateDnsRecord(w.as("CreateDnsRecord"), &breakwaterv1.CreateDnsRecordRequest{
		Parent: site, DnsRecord: &breakwaterv1.DnsRecord{
			Name: "WWW", Type: "a", Content: "192.0.2.1", Proxied: true, Labels: map[string]string{"team": "web"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if www.GetName() != "www.shop.example" || www.GetType() != "A" || www.GetTtl() != 1 || www.GetVersion() != 2 || www.GetId() == "" || www.GetEtag() == "" || www.GetLabels()["team"] != "web" {
		t.Errorf("created: %v", www)
	}
	read, err := d.GetDnsRecord(w.as("GetDnsRecord"), &breakwaterv1.GetDnsRecordRequest{Parent: site, RecordId: www.GetId()})
	if err != nil || !proto.Equal(read, www) {
		t.Errorf("read back:\n%v\nwant\n%v, %v", read, www, err)
	}
	rec := w.record("acme", "shop.example")
	if rec.GetZoneGeneration() != 1 || rec.GetSite().GetVersion() != 2 {
		t.Errorf("the site: %v", rec)
	}
	_, err = w.addRecord(d, site, "www", "A", "192.0.2.1")
	wantReason(t, err, codes.AlreadyExists, rpcerr.ReasonAlreadyExists, "name")
	_, err = w.addRecord(d, site, "www", "CNAME", "other.example")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "name")
	_, err = w.addRecord(d, site, "x", "A", "not an address")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "content")
	_, err = w.addRecord(d, site, "x", "A", "")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "content")

	w.clock.Advance(1)
	update := &breakwaterv1.UpdateDnsRecordRequest{
		Parent: site, RecordId: www.GetId(), DnsRecord: &breakwaterv1.DnsRecord{Content: "192.0.2.2", Etag: www.GetEtag()},
	}
	changed, err := d.UpdateDnsRecord(w.as("UpdateDnsRecord"), update)
	if err != nil || changed.GetContent() != "192.0.2.2" || !changed.GetProxied() || changed.GetVersion() != 3 || changed.GetLabels()["team"] != "web" ||
		!proto.Equal(changed.GetCreateTime(), www.GetCreateTime()) || proto.Equal(changed.GetUpdateTime(), www.GetUpdateTime()) {
		t.Errorf("changed: %v, %v", changed, err)
	}
	_, err = d.UpdateDnsRecord(w.as("UpdateDnsRecord"), update)
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	same, err := d.UpdateDnsRecord(w.as("UpdateDnsRecord"), &breakwaterv1.UpdateDnsRecordRequest{
		Parent: site, RecordId: www.GetId(), DnsRecord: &breakwaterv1.DnsRecord{Content: "192.0.2.2"},
	})
	if err != nil || same.GetVersion() != 3 {
		t.Errorf("no change: %v, %v", same, err)
	}
	_, err = d.UpdateDnsRecord(w.as("UpdateDnsRecord"), &breakwaterv1.UpdateDnsRecordRequest{
		Parent: site, RecordId: www.GetId(), DnsRecord: &breakwaterv1.DnsRecord{Content: "10.0.0.1"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"content"}},
	})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "content")

	gone, err := d.DeleteDnsRecord(w.as("DeleteDnsRecord"), &breakwaterv1.DeleteDnsRecordRequest{Parent: site, RecordId: www.GetId()})
	if err != nil || gone.GetVersion() != 4 {
		t.Errorf("deleted: %v, %v", gone, err)
	}
	_, err = d.DeleteDnsRecord(w.as("DeleteDnsRecord"), &breakwaterv1.DeleteDnsRecordRequest{Parent: site, RecordId: www.GetId()})
	wantReason(t, err, codes.NotFound, rpcerr.ReasonNotFound, "")
}

func TestDNSBatch(t *testing.T) {
	w, d, site := newDNSWorld(t)
	a, err := w.addRecord(d, site, "a", "A", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.addRecord(d, site, "b", "A", "192.0.2.2")
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.BatchDnsRecords(w.as("BatchDnsRecords"), &breakwaterv1.BatchDnsRecordsRequest{
		Parent:  site,
		Deletes: []*breakwaterv1.BatchDnsRecordsRequest_Delete{{RecordId: a.GetId(), Etag: a.GetEtag()}},
		Updates: []*breakwaterv1.BatchDnsRecordsRequest_Update{{RecordId: b.GetId(), DnsRecord: &breakwaterv1.DnsRecord{Ttl: 120}}},
		Creates: []*breakwaterv1.DnsRecord{{Name: "a", Type: "CNAME", Content: "b.shop.example"}},
	})
	if err != nil || len(out.GetCreated()) != 1 || len(out.GetUpdated()) != 1 || out.GetDeleted() != 1 || out.GetVersion() != 4 {
		t.Fatalf("%v, %v", out, err)
	}
	if u := out.GetUpdated()[0]; u.GetTtl() != 120 || u.GetContent() != "192.0.2.2" {
		t.Errorf("updated: %v", u)
	}
	_, err = d.BatchDnsRecords(w.as("BatchDnsRecords"), &breakwaterv1.BatchDnsRecordsRequest{
		Parent: site,
		Creates: []*breakwaterv1.DnsRecord{
			{Name: "ok", Type: "A", Content: "192.0.2.9"},
			{Name: "bad", Type: "NOPE", Content: "x"},
		},
		Updates: []*breakwaterv1.BatchDnsRecordsRequest_Update{{RecordId: b.GetId(), DnsRecord: &breakwaterv1.DnsRecord{Content: "x"}}},
	})
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "creates[1].type")
	wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "updates[0].dnsRecord.content")
	_, err = d.BatchDnsRecords(w.as("BatchDnsRecords"), &breakwaterv1.BatchDnsRecordsRequest{
		Parent:  site,
		Deletes: []*breakwaterv1.BatchDnsRecordsRequest_Delete{{RecordId: b.GetId(), Etag: "stale"}},
	})
	wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
	if v := w.get(site).GetVersion(); v != 4 {
		t.Errorf("refused batches made version %d", v)
	}
}

func TestDNSImportExport(t *testing.T) {
	w, d, site := newDNSWorld(t)
	w.plan("acme", "shop.example", "pro")
	file := "$TTL 1h\n@ SOA ns. h. 1 2 3 4 5\n@ A 192.0.2.1\nwww CNAME @\n@ MX 10 mail\nmail A 192.0.2.3\n"
	out, err := d.ImportDnsRecords(w.as("ImportDnsRecords"), &breakwaterv1.ImportDnsRecordsRequest{Parent: site, ZoneFile: file})
	if err != nil || out.GetCreated() != 4 || len(out.GetIgnored()) != 1 || out.GetVersion() != 2 {
		t.Fatalf("%v, %v", out, err)
	}
	again, err := d.ImportDnsRecords(w.as("ImportDnsRecords"), &breakwaterv1.ImportDnsRecordsRequest{Parent: site, ZoneFile: file})
	if err != nil || again.GetCreated() != 0 || again.GetUnchanged() != 4 || again.GetVersion() != 2 {
		t.Errorf("again: %v, %v", again, err)
	}
	_, err = d.ImportDnsRecords(w.as("ImportDnsRecords"), &breakwaterv1.ImportDnsRecordsRequest{Parent: site, ZoneFile: "a A 192.0.2.1\nb A nonsense\n"})
	e := wantReason(t, err, codes.InvalidArgument, rpcerr.ReasonInvalidField, "zoneFile")
	if !strings.HasPrefix(e.Violations[0].Message, "line 2: ") {
		t.Errorf("the refusal says %v", e.Violations)
	}
	changed, err := d.ImportDnsRecords(w.as("ImportDnsRecords"), &breakwaterv1.ImportDnsRecordsRequest{
		Parent: site, ZoneFile: "mail 60 TXT ok\nspf 8000000 TXT v=spf1 -all\n",
	})
	if w := changed.GetWarnings(); err != nil || changed.GetCreated() != 2 || len(changed.GetIgnored()) != 0 || len(w) != 2 ||
		!strings.HasPrefix(w[0], "line 2: the TTL of 8000000 ") || !strings.Contains(w[1], `"v=spf1-all"`) {
		t.Errorf("changed: %v, %v", changed, err)
	}
	exported, err := d.ExportDnsRecords(w.as("ExportDnsRecords"), &breakwaterv1.ExportDnsRecordsRequest{Parent: site})
	if err != nil || !strings.Contains(exported.GetZoneFile(), "mail.shop.example.") {
		t.Errorf("exported: %v, %v", exported, err)
	}
	scan, err := d.ScanDnsRecords(w.as("ScanDnsRecords"), &breakwaterv1.ScanDnsRecordsRequest{Parent: site})
	if err != nil || len(scan.GetProposals()) != 1 || scan.GetProposals()[0].GetType() != "MX" {
		t.Errorf("what is there is proposed too: %v, %v", scan, err)
	}
	list, err := d.ListDnsRecords(w.as("ListDnsRecords"), &breakwaterv1.ListDnsRecordsRequest{Parent: site, PageSize: 3})
	if err != nil || len(list.GetDnsRecords()) != 3 || list.GetDnsRecords()[0].GetName() != "mail.shop.example" {
		t.Fatalf("first page: %v, %v", list, err)
	}
	list, err = d.ListDnsRecords(w.as("ListDnsRecords"), &breakwaterv1.ListDnsRecordsRequest{Parent: site, PageSize: 3, PageToken: list.GetNextPageToken()})
	if err != nil || len(list.GetDnsRecords()) != 3 || list.GetNextPageToken() != "" {
		t.Errorf("last page: %v, %v", list, err)
	}
}

// TestDNSScansAreBounded by site, and not for operators.
func TestDNSScansAreBounded(t *testing.T) {
	w, _, site := newDNSWorld(t)
	d := NewDNS(DNSConfig{
		SiteBase: w.base, Scanner: fakeScanner{}, Scans: ratelimit.NewLimiter(ratelimit.Config{Clock: w.clock, Window: time.Hour}),
	})
	scan := func(ctx context.Context, site string) error {
		_, err := d.ScanDnsRecords(ctx, &breakwaterv1.ScanDnsRecordsRequest{Parent: site})
		return err
	}
	for range scansPerHour {
		if err := scan(w.as("ScanDnsRecords"), site); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, scan(w.as("ScanDnsRecords"), site), codes.ResourceExhausted, rpcerr.ReasonRateLimited, "")
	operator := call.With(t.Context(), call.Info{Principal: authn.Principal{Kind: authn.Operator, ID: "operators/dev"}})
	if err := scan(operator, site); err != nil {
		t.Errorf("an operator: %v", err)
	}
	if err := scan(w.as("ScanDnsRecords"), w.create("acme", "two.example").GetName()); err != nil {
		t.Errorf("another site: %v", err)
	}
	w.clock.Advance(time.Hour / scansPerHour)
	if err := scan(w.as("ScanDnsRecords"), site); err != nil {
		t.Errorf("later: %v", err)
	}
}

// TestDNSLargeZone goes through chunks and back, and leaves none behind.
func TestDNSLargeZone(t *testing.T) {
	w, d, site := newDNSWorld(t)
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "n%d TXT %q %q\n", i, strings.Repeat("x", 250), strings.Repeat("y", 200))
	}
	if _, err := d.ImportDnsRecords(w.as("ImportDnsRecords"), &breakwaterv1.ImportDnsRecordsRequest{Parent: site, ZoneFile: b.String()}); err != nil {
		t.Fatal(err)
	}
	_, err := w.addRecord(d, site, "one-more", "A", "192.0.2.1")
	if e := wantReason(t, err, codes.FailedPrecondition, rpcerr.ReasonQuotaExceeded, "dnsRecords"); e.Metadata["requiredPlan"] != "pro" {
		t.Errorf("the refusal says %v", e.Metadata)
	}
	w.plan("acme", "shop.example", "pro")
	b.Reset()
	for i := range 1300 {
		fmt.Fprintf(&b, "m%d TXT %q %q\n", i, strings.Repeat("x", 250), strings.Repeat("y", 200))
	}
	if _, err := d.ImportDnsRecords(w.as("ImportDnsRecords"), &breakwaterv1.ImportDnsRecordsRequest{Parent: site, ZoneFile: b.String()}); err != nil {
		t.Fatal(err)
	}
	chunks := func() int {
		page, err := w.store.List(t.Context(), registry.ListRequest{Prefix: "registry/state/accounts/acme/zonechunks/"})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.KVs)
	}
	if chunks() < 2 {
		t.Fatalf("%d chunks", chunks())
	}
	n := chunks()
	if _, err := w.addRecord(d, site, "one-more", "A", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if chunks() != n {
		t.Errorf("%d chunks after another change of %d", chunks(), n)
	}
	_, _, z, err := d.read(w.as("ListDnsRecords"), site)
	if err != nil || len(z.Records) != 1501 || z.Generation != 3 {
		t.Errorf("%d records of generation %d, %v", len(z.Records), z.Generation, err)
	}
	var deletes []*breakwaterv1.BatchDnsRecordsRequest_Delete
	for _, r := range z.Records[:900] {
		deletes = append(deletes, &breakwaterv1.BatchDnsRecordsRequest_Delete{RecordId: r.GetId()})
	}
	if _, err := d.BatchDnsRecords(w.as("BatchDnsRecords"), &breakwaterv1.BatchDnsRecordsRequest{Parent: site, Deletes: deletes}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Get(t.Context(), resource.ForAccount("acme").Zone("shop.example")); err != nil || chunks() != 0 {
		t.Errorf("%d chunks of a small zone, %v", chunks(), err)
	}
}
