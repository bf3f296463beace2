package service

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// matching is as with If-Match.
func (w *siteWorld) matching(method, etag string) context.Context {
	info := call.From(w.as(method))
	info.IfMatch = etag
	return call.With(w.t.Context(), info)
}

// TestDNSIfMatch makes every change of a zone as a whole with the etag of before, and of now.
func TestDNSIfMatch(t *testing.T) {
	w, d, site := newDNSWorld(t)
	zoneEtag := func() string {
		list, err := d.ListDnsRecords(w.as("ListDnsRecords"), &breakwaterv1.ListDnsRecordsRequest{Parent: site})
		if err != nil {
			t.Fatal(err)
		}
		exported, err := d.ExportDnsRecords(w.as("ExportDnsRecords"), &breakwaterv1.ExportDnsRecordsRequest{Parent: site})
		if err != nil || list.GetEtag() == "" || exported.GetEtag() != list.GetEtag() {
			t.Fatalf("etags %q and %q, %v", list.GetEtag(), exported.GetEtag(), err)
		}
		return list.GetEtag()
	}
	name := ""
	changes := map[string]func(ctx context.Context) (etag string, err error){
		"create": func(ctx context.Context) (string, error) {
			_, err := d.CreateDnsRecord(ctx, &breakwaterv1.CreateDnsRecordRequest{
				Parent: site, DnsRecord: &breakwaterv1.DnsRecord{Name: name, Type: "A", Content: "192.0.2.1"},
			})
			return "", err
		},
		"import": func(ctx context.Context) (string, error) {
			out, err := d.ImportDnsRecords(ctx, &breakwaterv1.ImportDnsRecordsRequest{Parent: site, ZoneFile: name + " A 192.0.2.1\n"})
			return out.GetEtag(), err
		},
		"batch": func(ctx context.Context) (string, error) {
			out, err := d.BatchDnsRecords(ctx, &breakwaterv1.BatchDnsRecordsRequest{
				Parent: site, Creates: []*breakwaterv1.DnsRecord{{Name: name, Type: "A", Content: "192.0.2.1"}},
			})
			return out.GetEtag(), err
		},
	}
	old := zoneEtag()
	if _, err := w.addRecord(d, site, "first", "A", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	for what, change := range changes {
		name = what
		_, err := change(w.matching("Change", old))
		wantReason(t, err, codes.Aborted, rpcerr.ReasonEtagMismatch, "")
		answered, err := change(w.matching("Change", zoneEtag()))
		if now := zoneEtag(); err != nil || answered != "" && answered != now {
			t.Errorf("%s: %v, the etag is %q and not %q", what, err, answered, now)
		}
		name = what + "-any"
		if _, err := change(w.matching("Change", "*")); err != nil {
			t.Errorf("%s of whatever there is: %v", what, err)
		}
	}
}

// TestDNSBatchEtags takes the etags of a batch in every form that other calls take.
func TestDNSBatchEtags(t *testing.T) {
	for form, etag := range map[string]func(string) string{
		"bare":   func(e string) string { return e },
		"quoted": func(e string) string { return `"` + e + `"` },
		"weak":   func(e string) string { return `W/"` + e + `"` },
		"any":    func(string) string { return "*" },
	} {
		t.Run(form, func(t *testing.T) {
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
				Deletes: []*breakwaterv1.BatchDnsRecordsRequest_Delete{{RecordId: a.GetId(), Etag: etag(a.GetEtag())}},
				Updates: []*breakwaterv1.BatchDnsRecordsRequest_Update{
					{RecordId: b.GetId(), DnsRecord: &breakwaterv1.DnsRecord{Ttl: 120, Etag: etag(b.GetEtag())}},
				},
			})
			if err != nil || out.GetDeleted() != 1 || len(out.GetUpdated()) != 1 {
				t.Errorf("%v, %v", out, err)
			}
		})
	}
}
