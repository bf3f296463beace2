package compile

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	opsv1 "github.com/breakwater-cdn/breakwater/api/breakwater/ops/v1"
	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

func TestWhoHasDocuments(t *testing.T) {
	for name, change := range map[string]func(*SiteInput){
		"pending":         func(in *SiteInput) { in.Record.Site.State = breakwaterv1.Site_PENDING },
		"moved":           func(in *SiteInput) { in.Record.Site.State = breakwaterv1.Site_MOVED },
		"suspended":       func(in *SiteInput) { in.Record.Site.State = breakwaterv1.Site_SUSPENDED },
		"deleted":         func(in *SiteInput) { in.Record.Site.State = breakwaterv1.Site_DELETED },
		"no state":        func(in *SiteInput) { in.Record.Site.State = 0 },
		"deleted account": func(in *SiteInput) { in.AccountDeleted = true },
		"nothing":         func(in *SiteInput) { in.Record = nil },
	} {
		in := input(t, "testdata/full.json")
		change(&in)
		if docs, err := Site(in); err != nil || len(docs) != 0 {
			t.Errorf("%s: %d documents, %v", name, len(docs), err)
		}
	}
	ids := func(in SiteInput) []string {
		t.Helper()
		docs, err := Site(in)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, d := range docs {
			kinds = append(kinds, d.ID.Kind)
			if !slices.Contains(SiteIDs("shop.example"), d.ID) {
				t.Errorf("SiteIDs lacks %v", d.ID)
			}
		}
		return kinds
	}
	in := input(t, "testdata/full.json")
	if got := ids(in); !slices.Equal(got, []string{"dns", "purge", "shield", "site"}) {
		t.Errorf("a full site has %v", got)
	}
	in.Record.Site.Setup = breakwaterv1.Site_PARTIAL
	in.Record.Purges = nil
	if got := ids(in); !slices.Equal(got, []string{"shield", "site"}) {
		t.Errorf("a partial site has %v", got)
	}
}

// TestSiteIn checks that the channels share a site's documents out without loss.
func TestSiteIn(t *testing.T) {
	in := input(t, "testdata/full.json")
	all, err := Site(in)
	if err != nil {
		t.Fatal(err)
	}
	var parts []Document
	for _, c := range wire.Channels() {
		docs, err := SiteIn(in, c)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, docs...)
	}
	if len(parts) != len(all) {
		t.Fatalf("%d documents in channels, %d in all", len(parts), len(all))
	}
	for _, d := range all {
		if !slices.ContainsFunc(parts, func(p Document) bool { return p.ID == d.ID && p.Sum == d.Sum }) {
			t.Errorf("%v is in no channel", d.ID)
		}
	}
}

// TestDeterministic compiles copies with the maps and the zone in other orders.
func TestDeterministic(t *testing.T) {
	want, err := Site(input(t, "testdata/full.json"))
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		in := input(t, "testdata/full.json")
		slices.Reverse(in.Zone)
		before := proto.Clone(in.Record)
		got, err := Site(in)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(before, in.Record) {
			t.Fatal("the input was changed")
		}
		for i := range want {
			if got[i].ID != want[i].ID || !bytes.Equal(got[i].Bytes, want[i].Bytes) {
				t.Fatalf("%v differs", want[i].ID)
			}
		}
	}
}

// TestNotesDoNotPublish checks that what only people read makes no release.
func TestNotesDoNotPublish(t *testing.T) {
	want, err := Site(input(t, "testdata/full.json"))
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, "testdata/full.json")
	in.Record.Config.Version = 99
	in.Record.Site.Labels = map[string]string{"a": "b"}
	in.Record.Config.ThreatSettings.FirewallEntries[0].Note = "another"
	in.Record.Config.ThreatSettings.FirewallEntries[0].ExpireTime = nil
	in.Record.Config.ThreatSettings.PacketRules[0].Note = ""
	in.Record.Config.ThreatSettings.Etag = "x"
	in.Record.Config.Apps["geo-header"].Settings = nil
	in.Zone[0].Comment = "another"
	got, err := Site(in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i].Sum != want[i].Sum {
			t.Errorf("%v differs", want[i].ID)
		}
	}
}

func TestDocumentSize(t *testing.T) {
	in := input(t, "testdata/full.json")
	in.Limits = &opsv1.Limits{MaxDocumentBytes: 300}
	_, err := Site(in)
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != "maxDocumentBytes" || limit.Maximum != 300 || limit.Value <= 300 {
		t.Errorf("%v", err)
	}
	if _, err := App(&storev1.AppRecord{App: &breakwaterv1.App{Name: "apps/x"}}, &opsv1.Limits{MaxDocumentBytes: 2}); !errors.As(err, &limit) {
		t.Errorf("%v", err)
	}
}

func TestBrokenRecords(t *testing.T) {
	var bad *InvalidError
	active := &breakwaterv1.Site{State: breakwaterv1.Site_ACTIVE}
	if _, err := Site(SiteInput{Record: &storev1.SiteRecord{Site: active}}); !errors.As(err, &bad) {
		t.Errorf("no domain: %v", err)
	}
	if _, err := App(&storev1.AppRecord{}, nil); !errors.As(err, &bad) {
		t.Errorf("no app: %v", err)
	}
	in := input(t, "testdata/full.json")
	in.Zone[1].Content = "not a name at all"
	if _, err := Site(in); !errors.As(err, &bad) {
		t.Errorf("a broken record: %v", err)
	}
	in = input(t, "testdata/full.json")
	in.Record.Config.Origin.Address = "\xff"
	if _, err := Site(in); !errors.As(err, &bad) || bad.Rule != "utf8" {
		t.Errorf("not UTF-8: %v", err)
	}
	in = input(t, "testdata/full.json")
	in.Zone = make([]*breakwaterv1.DnsRecord, maxDNSRecords+1)
	var limit *LimitError
	if _, err := Site(in); !errors.As(err, &limit) || limit.Field != "dnsRecords" {
		t.Errorf("a huge zone: %v", err)
	}
}

// TestLimitsAreFilledIn checks that a limit of zero never stops everything.
func TestLimitsAreFilledIn(t *testing.T) {
	e := effective(&opsv1.Limits{MaxPacketBytes: 9000, MaxRulesPerSite: -5})
	d := DefaultLimits()
	if e.GetMaxPacketBytes() != 9000 || e.GetMaxRulesPerSite() != d.GetMaxRulesPerSite() || e.GetMaxDocumentBytes() != d.GetMaxDocumentBytes() {
		t.Errorf("%v", e)
	}
	if got := effective(&opsv1.Limits{MaxPacketBytes: 1 << 20}).GetMaxPacketBytes(); got != maxIPPacket {
		t.Errorf("packets of %d bytes", got)
	}
}

func FuzzSite(f *testing.F) {
	for _, name := range []string{"testdata/full.json", "testdata/minimal.json"} {
		in := input(f, name)
		b, err := proto.Marshal(in.Record)
		if err != nil {
			f.Fatal(err)
		}
		var zone []byte
		if len(in.Zone) > 0 {
			zone, err = proto.Marshal(&storev1.ZoneChunk{Records: in.Zone})
			if err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b, zone)
	}
	f.Fuzz(func(t *testing.T, record, zone []byte) {
		in := SiteInput{Record: &storev1.SiteRecord{}}
		var chunk storev1.ZoneChunk
		if proto.Unmarshal(record, in.Record) != nil || proto.Unmarshal(zone, &chunk) != nil {
			return
		}
		in.Zone = chunk.GetRecords()
		if in.Record.GetSite() == nil {
			in.Record.Site = &breakwaterv1.Site{Domain: "shop.example"}
		}
		in.Record.Site.State = breakwaterv1.Site_ACTIVE
		docs, err := Site(in)
		if err != nil {
			var limit *LimitError
			var never *ImpossibleError
			var bad *InvalidError
			if !errors.As(err, &limit) && !errors.As(err, &never) && !errors.As(err, &bad) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		size := 0
		for _, d := range docs {
			size += len(d.Bytes)
		}
		// Escapes of a zone's texts are what grows most.
		if maximum := 8*(len(record)+len(zone)) + 4096; size > maximum {
			t.Fatalf("%d bytes became %d", len(record)+len(zone), size)
		}
		again, err := Site(in)
		if err != nil || len(again) != len(docs) {
			t.Fatalf("compiled again: %v", err)
		}
		for i := range docs {
			if again[i].Sum != docs[i].Sum {
				t.Fatalf("%v is not deterministic", docs[i].ID)
			}
		}
	})
}

func BenchmarkSite(b *testing.B) {
	in := input(b, "testdata/full.json")
	for b.Loop() {
		if _, err := Site(in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	threats := &breakwaterv1.ThreatSettings{}
	for range 10_000 {
		threats.FirewallEntries = append(threats.FirewallEntries, &breakwaterv1.ThreatSettings_FirewallEntry{
			Source: &breakwaterv1.ThreatSettings_FirewallEntry_Cidr{Cidr: strings.Repeat("9", 64)},
		})
	}
	if n := len(CheckThreats(threats, nil)); n != maxProblems {
		t.Errorf("%d problems", n)
	}
}
